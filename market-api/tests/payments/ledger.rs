//! Verification of the ledger: each invariant of payments reports the rows that violate it, and no others.

use fakes::payout::PayoutFault;
use fakes::toss::{Call, Fault, How};
use market_api::ledger;
use market_api::payments::{ChargeAnswer, ChargeOrder};
use shared::money::Won;

use crate::fixtures::member;
use crate::on_both;
use crate::support::On;
use crate::support::vandal::{Spoiling, Vandal, invariants_of, spoiling};
use crate::till::{Till, order_id};

on_both!(each_invariant_reports_its_violations_only);

/// See [`open`] for the rows.
const SPOILINGS: &[Spoiling] = &[
    // A reversal of what was refunded before, with all that belongs to one.
    spoiling(
        "charge-is-given-back-once",
        "charge 1: captured 3000, refunded 3000, reserved 0, reversed 1",
        &[
            "update charge set reversed = 1 where id = 1",
            "insert into gateway_cancel (id, transaction_key, charge_id, amount, canceled_at, created_at) \
             values (50, 'k', 1, 1, 1, 1)",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'reversal', 50, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_earned', 1, 1), (50, 1, 'pg_receivable', null, -1)",
            "update wallet set earned = earned - 1 where member_id = 1",
            "insert into trade (id, member_id, kind, price, month, created_at) \
             values (50, 1, 'REFUND', 1, 202611, 1)",
            "insert into outbox_number (aggregate, last) values ('trade:50', 1)",
        ],
    ),
    spoiling(
        "charge-equals-its-legs-and-cancels",
        "charge 2: refunded -1, reserved 0, reversed 0",
        &["update charge set refunded = 1499 where id = 2"],
    ),
    spoiling(
        "charge-equals-its-legs-and-cancels",
        "charge 2: refunded 0, reserved 1, reversed -1",
        &["update charge set reserved = 1, reversed = 499 where id = 2"],
    ),
    spoiling(
        "charge-has-one-leg-in-flight",
        "charge 2: busy leg 3, in flight 0",
        &["update charge set busy_leg = 3 where id = 2"],
    ),
    spoiling(
        "canceled-leg-is-one-cancel-at-the-gateway",
        "leg 3: amount 1500, canceled 1500",
        &["update gateway_cancel set charge_id = 1 where id = 3"],
    ),
    spoiling(
        "captured-charge-has-its-trade",
        "charge 0, trade 50",
        &[
            "insert into trade (id, member_id, kind, price, month, created_at) \
             values (50, 1, 'CHARGE', 0, 202611, 1)",
            "insert into outbox_number (aggregate, last) values ('trade:50', 1)",
        ],
    ),
    spoiling(
        "payment-has-its-journal",
        "repayment 1: moved -299, in the books -300",
        &["update debt_repayment set amount = 299"],
    ),
    spoiling(
        "payment-has-its-journal",
        "charge 50: moved 0, in the books 5",
        &[
            "insert into journal (id, kind, ref_id, created_at) values (50, 'charge', 50, 1)",
            "insert into posting (journal_id, line, account, amount) \
             values (50, 0, 'pg_receivable', 5), (50, 1, 'opening', -5)",
            "insert into journal (id, kind, ref_id, created_at) values (51, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, amount) \
             values (51, 0, 'pg_receivable', -5), (51, 1, 'opening', 5)",
        ],
    ),
    spoiling(
        "in-transit-equals-open-refunds",
        "refund 3: open 1000, in transit 1005",
        &[
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'in_transit', 3, -5), (50, 1, 'opening', null, 5)",
        ],
    ),
    // Another won from the charged part; the wallet and the books agree.
    spoiling(
        "refund-took-its-buckets",
        "refund 2: charged -1, earned 1",
        &[
            "update posting set amount = 1501 where journal_id = 10 and account = 'wallet_charged'",
            "update posting set amount = 99 where journal_id = 10 and account = 'wallet_earned'",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_charged', 1, -1), (50, 1, 'wallet_earned', 1, 1)",
        ],
    ),
    spoiling(
        "refund-is-its-legs-and-returns",
        "refund 2: DONE, amount 1600, charged 1500, earned 100, returned 100, legs 2",
        &["update refund_leg set bucket = 'CHARGED' where id = 4"],
    ),
    spoiling(
        "refund-is-its-legs-and-returns",
        "refund 3: DONE, amount 1000, charged 0, earned 1000, returned 0, legs 1",
        &["update refund set state = 'DONE', next_check_at = null where id = 3"],
    ),
    spoiling(
        "refund-is-its-legs-and-returns",
        "refund 1: DONE, amount 3500, charged 3000, earned 500, returned 0, legs 2",
        &["update refund_leg set n = 3 where id = 2"],
    ),
    spoiling(
        "refund-trade-is-what-left",
        "refund 1: amount 3500, returned 0, trade 3499",
        &[
            "update trade set price = 3499 where id = 2",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_earned', 1, -1), (50, 1, 'opening', null, 1)",
            "update wallet set earned = earned + 1 where member_id = 1",
        ],
    ),
    spoiling(
        "reversals-have-their-trades",
        "member 1: reversed 500, in trades 499",
        &[
            "update trade set price = 499 where id = 4",
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_earned', 1, -1), (50, 1, 'opening', null, 1)",
            "update wallet set earned = earned + 1 where member_id = 1",
        ],
    ),
    spoiling(
        "debt-equals-books",
        "member 3: owed 701, books 700",
        &["update wallet set owed = 701 where member_id = 3"],
    ),
    spoiling(
        "suspense-equals-its-payments",
        "payment 1: canceled 899, cancels 900",
        &["update suspense_payment set canceled = 899, next_check_at = 1"],
    ),
    spoiling(
        "accounts-equal-payments",
        "bank: payments -500, books -495",
        &[
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, amount) \
             values (50, 0, 'bank', 5), (50, 1, 'opening', -5)",
        ],
    ),
    spoiling(
        "accounts-equal-payments",
        "pg_receivable: payments 0, books 5",
        &[
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, amount) \
             values (50, 0, 'pg_receivable', 5), (50, 1, 'opening', -5)",
        ],
    ),
    // The member got five won for nothing; the wallet and the books agree.
    spoiling(
        "cash-equals-trades",
        "member 1: cash less debt -495, trades -500",
        &[
            "insert into journal (id, kind, ref_id, created_at) values (50, 'test', 1, 1)",
            "insert into posting (journal_id, line, account, owner, amount) \
             values (50, 0, 'wallet_earned', 1, -5), (50, 1, 'opening', null, 5)",
            "update wallet set earned = earned + 5 where member_id = 1",
        ],
    ),
    spoiling(
        "open-payment-is-checked-again",
        "charge 3: UNKNOWN",
        &["update charge set next_check_at = null where id = 3"],
    ),
    spoiling(
        "open-payment-is-checked-again",
        "refund 3: OPEN",
        &["update refund set next_check_at = null where id = 3"],
    ),
    spoiling(
        "payment-has-one-event-per-transition",
        "trade 5: events 1, transitions 2",
        &["update outbox_number set last = 1 where aggregate = 'trade:5'"],
    ),
    spoiling(
        "payment-has-one-event-per-transition",
        "trade 1: events 0, transitions 1",
        &["delete from outbox_number where aggregate = 'trade:1'"],
    ),
];

/// The tables that spoilings change.
const TABLES: [&str; 13] = [
    "member",
    "wallet",
    "journal",
    "posting",
    "credit",
    "trade",
    "outbox_number",
    "charge",
    "refund",
    "refund_leg",
    "suspense_payment",
    "gateway_cancel",
    "debt_repayment",
];

/// Members 1 to 3 with an opening balance of 5,000 won each:
///
/// | member | charges | refunds | legs |
/// |---|---|---|---|
/// | 1 | 1: 3,000; 2: 2,000, of which 500 were reversed | 1: 3,500, paid; 2: 1,600, of which 100 came back | 1 and 3 cancels, 2 and 4 payouts |
/// | 2 | 3: unknown; 6: in suspense | 3: 1,000, open | 5, a payout |
/// | 3 | 4: 1,000, reversed and owed; 5: 500, reversed | | |
async fn open(on: On) -> Till {
    let till = Till::open(on).await;
    till.shop.members(3, 5_000).await;
    till.charge(1, "order-1", 3_000).await;
    till.settle(1).await;
    till.refund(1, "paid", 3_500).await.unwrap();
    till.settle(1).await;
    let second = till.charge(1, "order-2", 2_000).await;
    till.settle(1).await;
    assert!(till.toss.dashboard_cancel(&second.key, 500));
    till.settle(1).await;
    till.payout.close_account("1");
    till.refund(1, "back", 1_600).await.unwrap();
    till.settle(1).await;

    // A charge of member 2 whose outcome stays unknown, and a payout that the provider never had.
    let unknown = [Fault::LostBefore; 30];
    till.toss.script(Call::Confirm, "order-3", &unknown);
    till.toss.script(Call::Get, "order-3", &unknown);
    pay(&till, "order-3", 700, 700).await;
    till.payout.script("refund-3-1", &[PayoutFault::LostBefore]);
    till.refund(2, "open", 1_000).await.unwrap();
    till.settle(2).await;

    let reversed = till.charge(3, "order-4", 1_000).await;
    let offer = till.shop.market.offer_as(2, 6_000, 10, false).await;
    till.shop.buy(3, offer.unwrap(), None).await.unwrap();
    till.settle(1).await;
    assert!(till.toss.dashboard_cancel(&reversed.key, 1_000));
    till.settle(1).await;
    let offer = till.shop.market.offer_as(3, 300, 3, false).await;
    till.shop.buy(2, offer.unwrap(), None).await.unwrap();
    let reversed = till.charge(3, "order-5", 500).await;
    till.settle(1).await;
    assert!(till.toss.dashboard_cancel(&reversed.key, 500));
    till.settle(1).await;
    // Paid with another amount.
    pay(&till, "order-6", 800, 900).await;
    till.settle(2).await;
    till.verify().await;
    till
}

/// A payment of member 2 that does not become a charge at once.
async fn pay(till: &Till, order: &str, amount: i64, paid: i64) {
    let won = Won::new(amount);
    let saved = till.payments.save_order(member(2), order_id(order), won);
    saved.await.unwrap();
    let key = till.toss.authorize(order, paid, How::Card);
    if paid != amount {
        assert!(till.toss.capture(&key));
    }
    let answer = till.payments.charge(ChargeOrder {
        member: member(2),
        key: key.try_into().unwrap(),
        order: order_id(order),
        amount: won,
    });
    assert_eq!(answer.await.unwrap(), ChargeAnswer::BeingVerified);
}

async fn each_invariant_reports_its_violations_only(on: On) {
    let till = open(on).await;
    let base = &till.shop.market.base;
    let mut vandal = Vandal::connect(on, &base.url, &TABLES).await;
    vandal.check(&base.db, SPOILINGS).await;
    till.verify().await;
}

#[test]
fn each_invariant_has_a_spoiling() {
    let names = invariants_of(SPOILINGS);
    assert_eq!(names.len(), ledger::payment_invariants(), "{names:?}");
}
