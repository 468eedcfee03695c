//! Verification of the ledger: each invariant reports the rows that violate it, and no others.

use std::process::{Output, Stdio};

use market_api::db::DbUrl;
use market_api::ledger;
use tokio::process::Command;

use crate::bookings;
use crate::fixtures::SEOUL;
use crate::on_both;
use crate::shop::Shop;
use crate::support::On;
use crate::support::vandal::{Spoiling, Vandal, invariants_of, spoiling, verified};

on_both!(
    each_invariant_reports_its_violations_only,
    program_prints_violations_and_fails,
);

/// See [`open`] for the rows.
const SPOILINGS: &[Spoiling] = &[
    spoiling(
        "journal-sums-to-zero",
        "journal 5: sum 5, lines 3",
        &["insert into posting (journal_id, line, account, amount) values (5, 9, 'opening', 5)"],
    ),
    spoiling(
        "journal-sums-to-zero",
        "journal 50: sum 0, lines 0",
        &["insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)"],
    ),
    spoiling(
        "wallet-charged-equals-books",
        "member 1: wallet 5, books 0",
        &["update wallet set charged = 5 where member_id = 1"],
    ),
    spoiling(
        "wallet-earned-and-credits-equal-books",
        "member 2: wallet and credits 7001, books 7000",
        &["update wallet set earned = earned + 1 where member_id = 2"],
    ),
    // A credit folded without its amount: the member lost it.
    spoiling(
        "wallet-earned-and-credits-equal-books",
        "member 1: wallet and credits 11800, books 14800",
        &["update credit set folded = 1 where journal_id = 5"],
    ),
    spoiling(
        "credit-has-its-posting",
        "journal 5, member 4: credit 7",
        &["insert into credit (journal_id, member_id, amount, folded) values (5, 4, 7, 1)"],
    ),
    spoiling(
        "income-has-its-credit",
        "journal 2, member 2: posting -10000",
        &["delete from credit where journal_id = 2"],
    ),
    spoiling(
        "wallet-not-negative",
        "member 4: charged 0, earned 9900",
        &[
            "update wallet set owed = -1 where member_id = 4",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'opening', 50, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'receivable', 4, -1), (50, 1, 'opening', null, 1)",
        ],
    ),
    spoiling(
        "wallet-not-negative",
        "member 4: charged -5, earned 9900",
        &[
            "update wallet set charged = -5 where member_id = 4",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'opening', 50, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_charged', 4, 5), (50, 1, 'opening', null, -5)",
        ],
    ),
    spoiling(
        "member-has-a-wallet",
        "member 50",
        &[
            "insert into member (id, provider, provider_id, name, role, created_at, updated_at) \
           values (50, 'KAKAO', '50', 'm', 'ROLE_MEMBER', 1, 1)",
        ],
    ),
    spoiling(
        "units-listed-are-left-sold-or-returned",
        "product 1: listed 15, left 0, sold 15, returned 1",
        &["update product set units_returned = 1 where id = 1"],
    ),
    spoiling(
        "units-listed-are-left-sold-or-returned",
        "product 2: listed 5, left 2, sold 3, returned 0",
        &["update product set state = 'SOLD_OUT' where id = 2"],
    ),
    spoiling(
        "units-sold-equal-sales",
        "product 2: sold 4, in sales 3",
        &["update product set units_left = 1, units_sold = 4 where id = 2"],
    ),
    spoiling(
        "whole-offer-sold-once",
        "product 2: sales 2",
        &["update product set split = 0 where id = 2"],
    ),
    spoiling(
        "bought-at-most-two-gigabytes",
        "member 2, month 202611: bought 21",
        &[
            "update member_month set bought = 21 where member_id = 2",
            "update trade set units = 21 where id = 1",
            "update trade_detail set units = 21 where trade_id = 1",
        ],
    ),
    spoiling(
        "bought-equals-purchases",
        "member 2, month 202611: bought 14, in purchases 15",
        &["update member_month set bought = 14 where member_id = 2"],
    ),
    spoiling(
        "listed-and-sold-at-most-two-gigabytes-and-in-the-plan",
        "member 1, month 202611: left and sold 20, plan 19",
        &["update member_month set providing = 19 where member_id = 1"],
    ),
    spoiling(
        "listed-and-sold-at-most-two-gigabytes-and-in-the-plan",
        "member 1, month 202611: left and sold 21, plan 100",
        &["update product set units_listed = 6, units_left = 3 where id = 2"],
    ),
    spoiling(
        "purchase-is-paid",
        "trade 1: price 3000, charged 1, earned 3000, sales 1 of 3000",
        &["update trade set charged = 1 where id = 1"],
    ),
    spoiling(
        "sale-has-its-purchase",
        "trade 50",
        &[
            "insert into trade (id, member_id, kind, price, month, created_at) \
             values (50, 1, 'SALE_WIFI', 0, 202611, 1)",
        ],
    ),
    // The debit is in a journal of its own: the books balance, but not those of the trade.
    spoiling(
        "purchase-is-in-the-books",
        "trade 1: price 3000, debited 2999",
        &[
            "update posting set amount = 2999 where journal_id = 5 and owner = 2",
            "insert into posting (journal_id, line, account, amount) values (5, 9, 'opening', 1)",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_earned', 2, 1), (50, 1, 'opening', null, -1)",
        ],
    ),
    // The seller gets less than the price minus the fee, and the rest from elsewhere.
    spoiling(
        "sale-is-in-the-books",
        "trade 1, member 1: income 3000, credited 2900",
        &[
            "update posting set amount = -2900 where journal_id = 5 and owner = 1",
            "update credit set amount = 2900 where journal_id = 5",
            "insert into posting (journal_id, line, account, amount) values (5, 9, 'opening', -100)",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_earned', 1, -100), (50, 1, 'opening', null, 100)",
            "update wallet set earned = earned + 100 where member_id = 1",
        ],
    ),
    spoiling(
        "trade-journal-has-its-purchase",
        "journal 50: trade 99",
        &[
            "insert into journal (id, kind, ref_id, created_at) values (50, 'trade', 99, 1)",
            "insert into posting (journal_id, line, account, amount) \
             values (50, 0, 'opening', 5), (50, 1, 'opening', -5)",
        ],
    ),
    spoiling(
        "details-add-up-to-the-trade",
        "trade 1: price 3000, details 3000",
        &["update trade_detail set units = 14 where trade_id = 1"],
    ),
    spoiling(
        "time-bought-has-its-booking",
        "trade 7: minutes 30, price 1500",
        &["delete from booking"],
    ),
    spoiling(
        "time-bought-has-its-booking",
        "trade 7: minutes 20, price 1500",
        &["update trade set minutes = 20 where id in (7, 8)"],
    ),
    spoiling(
        "time-bought-has-its-booking",
        "trade 7: minutes 30, price 1500",
        &["update booking set buyer_id = 4"],
    ),
    spoiling(
        "booking-has-its-purchase-and-sale",
        "booking 7",
        &["update trade set minutes = 29 where id = 8"],
    ),
    // An hour later than the request.
    spoiling(
        "booking-is-of-its-request",
        "booking 7: wanted 1794711600000 to 1794713400000, booked 1794715200000 to 1794717000000, \
         bought 1794711600000",
        &[
            "update booking set wanted_start = wanted_start - 3600000, wanted_end = wanted_end - 3600000",
        ],
    ),
    // Bought when it was over.
    spoiling(
        "booking-is-of-its-request",
        "booking 7: wanted 1794715200000 to 1794717000000, booked 1794715200000 to 1794717000000, \
         bought 1794718800000",
        &["update trade set created_at = created_at + 7200000 where id = 7"],
    ),
    spoiling(
        "bookings-fit-the-capacity",
        "booking 7: number 1 at 1794715200000, capacity 0",
        &["update booking set capacity = 0"],
    ),
    spoiling(
        "booking-is-announced-once-or-scheduled",
        "booking 7: events 2, jobs 2",
        &["update outbox_number set last = 2 where aggregate = 'trade:7'"],
    ),
    spoiling(
        "booking-is-announced-once-or-scheduled",
        "booking 7: events 1, jobs 1",
        &["delete from schedule where name = 'booking-end'"],
    ),
    spoiling(
        "purchase-has-its-event",
        "trade 3",
        &["delete from outbox_number where aggregate = 'trade:3'"],
    ),
    spoiling(
        "rating-equals-reviews",
        "member 1: rating 80 of 2, in reviews 35 of 1",
        &["delete from review where id = 1"],
    ),
    // The mean stays: 4.0.
    spoiling(
        "rating-equals-reviews",
        "member 1: rating 40 of 1, in reviews 80 of 2",
        &["update member set rating_sum = 40, rating_count = 1 where id = 1"],
    ),
    spoiling(
        "offer-shows-the-mean",
        "product 3: rate 3999, ratings 80 of 2",
        &["update product set seller_rate = 3999 where id = 3"],
    ),
    spoiling(
        "offer-shows-the-mean",
        "product 50: rate 1, ratings 0 of 0",
        &[
            "insert into product (id, member_id, kind, state, price, seller_rate, created_at, updated_at) \
             values (50, 4, 'WIFI', 'ACTIVE', 1, 1, 1, 1)",
        ],
    ),
    // By the seller, about the trade's member.
    spoiling(
        "review-is-between-the-parties",
        "review 1: trade 1",
        &["update review set reviewer_id = 4 where id = 1"],
    ),
    spoiling(
        "review-is-between-the-parties",
        "review 1: trade 1",
        &[
            "update review set reviewee_id = 4 where id = 1",
            "update member set rating_sum = 45, rating_count = 1 where id = 4",
            "update member set rating_sum = 35, rating_count = 1 where id = 1",
            "update product set seller_rate = 3500 where member_id = 1",
        ],
    ),
    // Of two sellers.
    spoiling(
        "review-is-between-the-parties",
        "review 1: trade 1",
        &[
            "insert into trade (id, member_id, kind, price, purchase_id, month, created_at) \
             values (50, 4, 'SALE_WIFI', 0, 1, 202611, 1)",
        ],
    ),
];

/// The tables that spoilings change.
const TABLES: [&str; 13] = [
    "review",
    "member",
    "wallet",
    "member_month",
    "product",
    "journal",
    "posting",
    "credit",
    "trade",
    "trade_detail",
    "booking",
    "outbox_number",
    "schedule",
];

/// Four purchases: 2 buys product 1 as a whole (trades 1 and 2, journal 5), 3 and 4 parts of product 2
/// (trades 3 to 6, journals 6 and 7), and 3 time on product 3 (trades 7 and 8, journal 8). 2 and 3 review 1 (reviews 1
/// and 2: 4.5 and 3.5 stars).
async fn open(on: On) -> Shop {
    let shop = Shop::open(on).await;
    shop.members(4, 10_000).await;
    let market = &shop.market;
    market.offer_as(1, 3_000, 15, false).await.unwrap();
    market.offer_as(1, 500, 5, true).await.unwrap();
    market.spot(1, 500, SEOUL).await;
    shop.buy(2, 1, None).await.unwrap();
    shop.buy(3, 2, Some(2)).await.unwrap();
    shop.buy(4, 2, Some(1)).await.unwrap();
    let time = bookings::order(3, "13:00", "13:30");
    shop.buy_time(3, time, None).await.unwrap();
    shop.review(2, 1, 4.5).await.unwrap();
    shop.review(3, 3, 3.5).await.unwrap();
    shop.verify().await;
    shop
}

async fn each_invariant_reports_its_violations_only(on: On) {
    let shop = open(on).await;
    let base = &shop.market.base;
    let mut vandal = Vandal::connect(on, &base.url, &TABLES).await;
    vandal.check(&base.db, SPOILINGS).await;
    shop.verify().await;
    // At most a hundred rows of one invariant are printed.
    let members = "with recursive n (id) as (select 101 union all select id + 1 from n where id < 300) \
                   insert into member (id, provider, provider_id, name, role, created_at, updated_at) \
                   select id, 'NAVER', 'n' || id, 'm', 'ROLE_MEMBER', 1, 1 from n";
    vandal.run(members).await;
    let found = verified(&base.db).await;
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "member-has-a-wallet: and more");
}

#[test]
fn each_invariant_has_a_spoiling() {
    let names = invariants_of(SPOILINGS);
    // Those of payments have theirs beside the tests of payments.
    let expected = ledger::invariants() - ledger::payment_invariants();
    assert_eq!(names.len(), expected, "{names:?}");
}

/// Runs `market-api verify-ledger` on this database.
async fn verify_by_program(db: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_market-api"));
    program.args(["verify-ledger", "--db", db]);
    program.stdin(Stdio::null()).kill_on_drop(true);
    program.output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn program_prints_violations_and_fails(on: On) {
    let shop = open(on).await;
    let base = &shop.market.base;
    let url = match &base.url {
        DbUrl::Postgres(url) => url.expose().clone(),
        DbUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
    };
    let verified = verify_by_program(&url).await;
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let holds = format!("the ledger holds: {} invariants\n", ledger::invariants());
    assert_eq!(text(&verified.stdout), holds);

    let mut vandal = Vandal::connect(on, &base.url, &TABLES).await;
    vandal.run("update wallet set charged = 5, owed = -1").await;
    let verified = verify_by_program(&url).await;
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let printed = text(&verified.stdout);
    assert_eq!(printed.lines().count(), 12, "{printed}");
    assert!(printed.contains("wallet-charged-equals-books: member 1: wallet 5, books 0\n"));
    assert!(printed.contains("wallet-not-negative: member 4: charged 5, earned 9900\n"));
    let error = text(&verified.stderr);
    assert!(
        error.contains("12 rows violate an invariant of the ledger"),
        "{error}"
    );
}

/// An empty database would hold all invariants.
#[tokio::test]
async fn program_refuses_a_wrong_url() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.db");
    let verified = verify_by_program(&format!("sqlite:{}", missing.display())).await;
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(
        text(&verified.stderr).contains("missing.db"),
        "{verified:?}"
    );
    assert_eq!(text(&verified.stdout), "");
    assert!(!missing.exists());
    let verified = verify_by_program("postgres://nobody@127.0.0.1:1/nothing").await;
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let verified = verify_by_program("mysql://localhost/market").await;
    assert_eq!(verified.status.code(), Some(64), "{verified:?}");
    assert_eq!(text(&verified.stdout), "");
}
