//! The end of an account (H3): what it removes, what refuses it, and what may happen at the same time.

use std::collections::BTreeSet;
use std::time::Duration;

use fakes::toss::{Call, Fault, How};
use futures_util::future::join_all;
use http::Method;
use http::header::SET_COOKIE;
use market_api::ledger;
use market_api::payments::{ChargeError, ChargeOrder};
use serde_json::{Value, json};
use shared::ids::MemberId;
use shared::money::Won;
use shared::text::Language;
use sqlx::{AssertSqlSafe, Row as _, query};

use crate::on_both;
use crate::payments::{CHARGE, REFUND, SAVE};
use crate::products::{data, spot, spot_with};
use crate::site::{Answer, Cookies, HOOK, Site};
use crate::support::{On, eventually};
use crate::trades::{DATA, WIFI, give_cash, purchase, time};

on_both! {
    closed_account_leaves_no_personal_data_and_the_books_intact,
    every_reason_against_closing_is_named_in_order,
    active_offers_are_deleted_with_the_account,
    files_of_a_closed_account_are_removed,
    order_of_a_closed_account_is_never_charged,
    payment_captured_after_the_account_closed_is_given_back,
    last_administrator_stays,
    closed_account_stays_closed,
    pending_events_do_not_bring_the_name_back,
    closing_and_a_purchase_race,
    closing_and_a_charge_race,
    closing_and_a_new_offer_race,
    closing_and_a_login_race,
    closing_twice_at_once_closes_once,
}

const ME: &str = "/api/members/me";
const NEUTRAL: &str = "탈퇴한 회원";

async fn leave(site: &Site, who: &Cookies) -> Answer {
    site.ask(Method::DELETE, ME).by(who).send().await
}

async fn post(site: &Site, who: &Cookies, path: &str, form: &Value) -> Answer {
    site.ask(Method::POST, path).by(who).json(form).send().await
}

/// The reasons of a refusal.
fn reasons(answer: &Answer) -> Vec<String> {
    answer.is(409, 2015);
    let reasons = answer.json()["data"]["reasons"].clone();
    serde_json::from_value(reasons).unwrap()
}

async fn books_are_intact(site: &Site) {
    assert_eq!(ledger::verify(site.market.db()).await.unwrap(), []);
}

async fn charge(site: &Site, who: &Cookies, order: &str, amount: i64) -> Answer {
    let saved = json!({"orderId": order, "amount": amount});
    post(site, who, SAVE, &saved).await.is(200, 0);
    let key = site.toss.authorize(order, amount, How::Card);
    let form = json!({"paymentKey": key, "orderId": order, "amount": amount});
    post(site, who, CHARGE, &form).await
}

/// Pays all cash of a member out.
async fn cash_out(site: &Site, who: &Cookies) {
    let cash = site.data(who, "/api/members/cash").await["cash"].clone();
    let form = json!({"requestId": "all", "refundAmount": cash});
    post(site, who, REFUND, &form).await.is(200, 0);
    eventually("the refund is paid", async || {
        site.clock.advance(Duration::from_secs(1));
        site.number("select count(*) from refund where state = 'OPEN'")
            .await
            == 0
    })
    .await;
}

/// The offer that this member made last.
async fn offer(site: &Site, who: &Cookies, path: &str, form: &Value) -> u32 {
    post(site, who, path, form).await.is(200, 0);
    let id = site.number("select max(id) from product").await;
    id.try_into().unwrap()
}

/// Every column that has this text: `table.column`.
async fn columns_with(site: &Site, on: On, text: &str) -> BTreeSet<String> {
    let columns = match on {
        On::Postgres => {
            "select cast(table_name as text), cast(column_name as text) \
             from information_schema.columns where table_schema = 'public'"
        }
        On::Sqlite => {
            "select m.name, c.name from sqlite_master m join pragma_table_info(m.name) c \
             where m.type = 'table' and m.sql not like 'create virtual%'"
        }
    };
    let mut connection = site.market.db().read().await.unwrap();
    let columns = query(columns).fetch_all(&mut *connection).await.unwrap();
    assert!(columns.len() > 150, "{}", columns.len());
    let mut found = BTreeSet::new();
    for row in columns {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let count = format!(
            "select count(*) from \"{table}\" where cast(\"{column}\" as text) like '%{text}%'"
        );
        let row = query(AssertSqlSafe(count)).fetch_one(&mut *connection);
        if row.await.unwrap().get::<i64, _>(0) > 0 {
            found.insert(format!("{table}.{column}"));
        }
    }
    found
}

const ADDRESS: &str = "서울 마포구 어딘가 77";

/// What identifies the seller of [`trade_and_offer`].
const PERSONAL: [&str; 5] = [
    "naver-1",
    "person1@example.com",
    "사람 1",
    ADDRESS,
    "37.51234",
];

/// A sale of the seller, and a hotspot with texts about the person.
async fn trade_and_offer(site: &Site, seller: &Cookies, buyer: &Cookies) {
    let form = data(1).unwrap();
    let product = offer(site, seller, "/api/products/mobile-data", &form).await;
    let charged = charge(site, buyer, "order-of-the-buyer", 1_000).await;
    charged.is(200, 0);
    let bought = post(site, buyer, DATA, &purchase(product).unwrap()).await;
    bought.is(200, 0);
    let mut form = spot(1).unwrap();
    form["address"] = json!(ADDRESS);
    form["content"] = json!("문의는 person1@example.com");
    form["latitude"] = json!(37.512_345_6);
    offer(site, seller, "/api/products/hotspot", &form).await;
}

async fn closed_account_leaves_no_personal_data_and_the_books_intact(on: On) {
    let site = Site::start(on).await;
    let seller = site.log_in("naver", 1).await;
    let id = site.id(&seller).await;
    let buyer = site.log_in("kakao", 2).await;
    trade_and_offer(&site, &seller, &buyer).await;
    let other = site.log_in("naver", 1).await;
    for text in PERSONAL {
        assert!(!columns_with(&site, on, text).await.is_empty(), "{text}");
    }
    assert_eq!(reasons(&leave(&site, &seller).await), ["CASH"]);
    cash_out(&site, &seller).await;
    let trades = "select count(*) from trade";
    let (trades_before, old_session) = (site.number(trades).await, seller.only_refresh());

    let left = leave(&site, &seller).await;
    left.is(200, 0);
    let cleared = left.headers.get_all(SET_COOKIE).iter();
    let cleared: Vec<_> = cleared.map(|one| one.to_str().unwrap()).collect();
    assert!(
        cleared.iter().any(|one| one.starts_with("accessToken=;"))
            && cleared.iter().any(|one| one.starts_with("refreshToken=;"))
            && cleared.iter().all(|one| one.contains("Max-Age=0")),
        "{cleared:?}"
    );
    for tokens in [&seller, &old_session, &other] {
        let ask = site.ask(Method::GET, "/api/members/info").by(tokens);
        ask.send().await.is(401, 2007);
        leave(&site, tokens).await.is(401, 2007);
    }
    let bearer = site
        .ask(Method::GET, "/api/members/cash")
        .bearer(seller.access.as_ref().unwrap());
    bearer.send().await.is(401, 2007);

    for text in PERSONAL {
        let found = columns_with(&site, on, text).await;
        assert_eq!(found, BTreeSet::new(), "{text}");
    }
    // What others see of it.
    let info = format!("/api/members/info?memberId={id}");
    let info = site.data(&buyer, &info).await;
    assert_eq!(
        (&info["name"], &info["profileImageUrl"], &info["tradeCount"]),
        (&json!(NEUTRAL), &Value::Null, &json!(0))
    );
    assert_eq!(site.number(trades).await, trades_before);
    let history = "/api/trades/purchase-history?size=9";
    assert_eq!(site.data(&buyer, history).await["tradeCount"], 1);
    let bought = "select max(id) from trade where kind = 'PURCHASE_MOBILE_SINGLE'";
    let receipt = format!("/api/trades/{}/receipt", site.number(bought).await);
    let receipt = site.data(&buyer, &receipt).await.to_string();
    assert!(receipt.contains(NEUTRAL), "{receipt}");
    books_are_intact(&site).await;

    // The same person is a new member; nothing leads to the old one.
    let back = site.log_in("naver", 1).await;
    assert_ne!(site.id(&back).await, id);
    assert_eq!(
        columns_with(&site, on, "naver-1").await,
        BTreeSet::from(["member.provider_id".to_owned()])
    );
    let old = format!("select count(*) from member where id = {id} and closed_at is not null");
    assert_eq!(site.number(&old).await, 1);
    let mine = site.data(&back, "/api/members/export").await;
    assert_eq!((&mine["trades"], &mine["offers"]), (&json!([]), &json!([])));
    books_are_intact(&site).await;
}

async fn every_reason_against_closing_is_named_in_order(on: On) {
    let site = Site::start(on).await;
    let (who, seller) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let (id, month) = (site.id(&who).await, 202_611);
    let id = i64::try_from(id).unwrap();
    let spot = offer(&site, &seller, "/api/products/wifi", &spot(1).unwrap()).await;
    give_cash(&site, 500).await;
    let form = time(WIFI, spot, 10).unwrap();
    post(&site, &who, WIFI, &form).await.is(200, 0);
    // The seller's side of the booking counts, too, and so does income that is not folded yet.
    site.sql("update wallet set earned = 0").await;
    let of_seller = leave(&site, &seller).await;
    assert_eq!(reasons(&of_seller), ["CASH", "BOOKING"]);
    assert_eq!(reasons(&leave(&site, &who).await), ["BOOKING"]);

    site.sql(&format!(
        "insert into trade (member_id, kind, price, month, created_at) \
         values ({id}, 'REFUND', 100, {month}, 1)"
    ))
    .await;
    site.sql(&format!(
        "insert into refund (member_id, request_id, amount, charged, earned, remain_cash, trade_id, \
         created_at) select {id}, 'r', 100, 100, 0, 0, max(id), 1 from trade"
    ))
    .await;
    site.sql(&format!(
        "insert into charge (order_id, member_id, amount, created_at) values ('order-1', {id}, 100, 1)"
    ))
    .await;
    assert_eq!(reasons(&leave(&site, &who).await), ["REFUND", "BOOKING"]);
    for state in ["CONFIRMING", "UNKNOWN", "WAITING"] {
        site.sql(&format!("update charge set state = '{state}'"))
            .await;
        let found = reasons(&leave(&site, &who).await);
        assert_eq!(found, ["CHARGE", "REFUND", "BOOKING"], "{state}");
    }
    // Another amount was captured, or a second payment: money of the member that is not given back yet.
    site.sql("update charge set state = 'MISMATCH'").await;
    for reference in ["(select max(id) from charge)", "null"] {
        site.sql(&format!(
            "insert into suspense_payment (payment_key, order_id, charge_id, captured, created_at) \
             values ('key', 'order-1', {reference}, 100, 1)"
        ))
        .await;
        let found = reasons(&leave(&site, &who).await);
        assert_eq!(found, ["CHARGE", "REFUND", "BOOKING"], "{reference}");
        site.sql("delete from suspense_payment").await;
    }
    site.sql(&format!(
        "update wallet set charged = 1, owed = 5 where member_id = {id}"
    ))
    .await;
    let all = ["CASH", "DEBT", "REFUND", "BOOKING"];
    assert_eq!(reasons(&leave(&site, &who).await), all);
    // A refusal changes nothing.
    let open = format!("select count(*) from member where id = {id} and closed_at is null");
    assert_eq!(site.number(&open).await, 1);
    site.data(&who, "/api/members/info").await;

    site.sql("update wallet set charged = 0, owed = 0").await;
    site.sql("update refund set state = 'DONE'").await;
    site.sql("update charge set state = 'FAILED'").await;
    assert_eq!(reasons(&leave(&site, &who).await), ["BOOKING"]);
    site.wait(Duration::from_secs(600));
    leave(&site, &who).await.is(200, 0);
}

async fn active_offers_are_deleted_with_the_account(on: On) {
    let site = Site::start(on).await;
    let (who, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let lists = [
        ("mobile-data", data(1)),
        ("wifi", spot(1)),
        ("hotspot", spot(1)),
    ];
    let mut made = Vec::new();
    for (kind, form) in lists {
        let path = format!("/api/products/{kind}");
        made.push((kind, offer(&site, &who, &path, &form.unwrap()).await));
    }
    let listed = async |kind: &str| {
        let path = format!("/api/products/{kind}?size=9&latitude=37.5&longitude=127");
        let page = site.data(&other, &path).await;
        page["data"].as_array().unwrap().len()
    };
    for (kind, _) in &made {
        assert_eq!(listed(kind).await, 1, "{kind}");
    }
    leave(&site, &who).await.is(200, 0);
    for (kind, id) in made {
        assert_eq!(listed(kind).await, 0, "{kind}");
        let detail = format!("/api/products/{kind}/{id}");
        let ask = site.ask(Method::GET, &detail).by(&other);
        ask.send().await.is(400, 3003);
    }
    let derived = "select count(*) from product where state = 'DELETED' \
        and coalesce(units_left, 0) = 0 and coalesce(units_returned, 10) = 10";
    assert_eq!(site.number(derived).await, 3);
    books_are_intact(&site).await;
}

async fn files_of_a_closed_account_are_removed(on: On) {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
    let site = Site::start(on).await;
    let (who, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let place = async || {
        let names = json!({"filenames": ["a.png"]});
        let answer = post(&site, &who, "/api/images/presign", &names).await;
        let one = answer.json()["data"][0].clone();
        let url = one["url"].as_str().unwrap().to_owned();
        let put = site.ask_url(Method::PUT, &url).body(PNG).send().await;
        assert_eq!(put.status, 200);
        one["publicUrl"].as_str().unwrap().to_owned()
    };
    let (face, sold, unsold) = (place().await, place().await, place().await);
    place().await;
    let shown = json!({"imageUrl": face});
    post(&site, &who, "/api/members/profile-image", &shown)
        .await
        .is(200, 0);
    let of_sold = offer(&site, &who, "/api/products/wifi", &spot_with(&sold)).await;
    offer(&site, &who, "/api/products/wifi", &spot_with(&unsold)).await;
    give_cash(&site, 500).await;
    let form = time(WIFI, of_sold, 10).unwrap();
    post(&site, &buyer, WIFI, &form).await.is(200, 0);
    site.sql("update wallet set earned = 0").await;
    site.sql("update credit set folded = 1").await;
    site.wait(Duration::from_secs(600));
    assert_eq!(site.number("select count(*) from upload").await, 4);

    leave(&site, &who).await.is(200, 0);
    eventually("the files are removed", async || {
        site.number("select count(*) from upload").await == 1
    })
    .await;
    for (url, status) in [(&face, 404), (&unsold, 404), (&sold, 200)] {
        let read = site.ask_url(Method::GET, url).send().await;
        assert_eq!(read.status, status, "{url}");
    }
    let history = "/api/trades/purchase-history?size=9";
    let history = site.data(&buyer, history).await;
    let row = &history["trades"]["data"][0];
    assert_eq!(row["productImageUrl"], json!(sold));
}

/// The order was saved before, and its payment is confirmed by a request that had passed its checks.
async fn order_of_a_closed_account_is_never_charged(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let id = site.id(&who).await;
    let order = "order-of-the-past";
    let saved = json!({"orderId": order, "amount": 1_000});
    post(&site, &who, SAVE, &saved).await.is(200, 0);
    leave(&site, &who).await.is(200, 0);
    let key = site.toss.authorize(order, 1_000, How::Card);
    let form = json!({"paymentKey": key, "orderId": order, "amount": 1_000});
    post(&site, &who, CHARGE, &form).await.is(401, 2007);
    let late = ChargeOrder {
        member: MemberId::try_from(id).unwrap(),
        key: key.try_into().unwrap(),
        order: order.to_owned().try_into().unwrap(),
        amount: Won::new(1_000),
    };
    let charged = site.market.payments().charge(late).await;
    assert_eq!(charged, Err(ChargeError::Declined));
    assert_eq!(site.toss.calls(Call::Confirm, order), 0);
    books_are_intact(&site).await;
}

async fn payment_captured_after_the_account_closed_is_given_back(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let orders = ["order-never-sent", "order-declined"];
    let mut keys = Vec::new();
    for (order, how) in orders
        .into_iter()
        .zip([How::Card, How::Declined("REJECT_CARD_PAYMENT".to_owned())])
    {
        let saved = json!({"orderId": order, "amount": 1_000});
        post(&site, &who, SAVE, &saved).await.is(200, 0);
        keys.push(site.toss.authorize(order, 1_000, how));
    }
    let form = json!({"paymentKey": keys[1], "orderId": orders[1], "amount": 1_000});
    post(&site, &who, CHARGE, &form).await.is(400, 5001);
    leave(&site, &who).await.is(200, 0);
    for (order, key) in orders.iter().zip(&keys) {
        assert!(site.toss.capture(key), "{order}");
        let body = json!({"data": {"orderId": order}}).to_string();
        let hook = site.ask(Method::POST, &format!("/hooks/toss/{HOOK}"));
        assert_eq!(hook.body(body).send().await.status, 200);
        eventually("it is given back", async || {
            site.clock.advance(Duration::from_secs(1));
            site.toss
                .booked(key)
                .is_some_and(|payment| payment.cancelled == 1_000)
        })
        .await;
    }
    eventually("the books have it", async || {
        site.number("select count(*) from suspense_payment where canceled = captured")
            .await
            == 2
    })
    .await;
    let credited = "select cast(sum(charged + earned) as bigint) from wallet";
    assert_eq!(site.number(credited).await, 0);
    let reason = "select count(*) from charge where state = 'MISMATCH' \
        and last_code = 'ACCOUNT_CLOSED'";
    assert_eq!(site.number(reason).await, 2);
    books_are_intact(&site).await;
}

async fn last_administrator_stays(on: On) {
    let site = Site::start(on).await;
    let (first, second) = (site.admin().await, site.log_in("kakao", 1).await);
    assert_eq!(reasons(&leave(&site, &first).await), ["ADMIN"]);
    let id = site.id(&second).await;
    site.sql(&format!(
        "update member set role = 'ROLE_ADMIN', blocked = 1 where id = {id}"
    ))
    .await;
    // A blocked administrator cannot act.
    assert_eq!(reasons(&leave(&site, &first).await), ["ADMIN"]);
    site.sql("update member set blocked = 0").await;
    let both = join_all([leave(&site, &first), leave(&site, &second)]).await;
    let (closed, refused): (Vec<_>, Vec<_>) = both.iter().partition(|one| one.status == 200);
    assert_eq!((closed.len(), refused.len()), (1, 1), "{both:?}");
    assert_eq!(reasons(refused[0]), ["ADMIN"]);
}

async fn closed_account_stays_closed(on: On) {
    let site = Site::start(on).await;
    let (admin, who) = (site.admin().await, site.log_in("kakao", 1).await);
    let id = site.id(&who).await;
    leave(&site, &who).await.is(200, 0);
    for command in ["unblock", "block"] {
        let path = format!("/api/admin/members/{id}/{command}");
        let ask = site.ask(Method::POST, &path).by(&admin);
        ask.send().await.is(400, 2005);
    }
    let closed = format!("select count(*) from member where id = {id} and blocked = 1");
    assert_eq!(site.number(&closed).await, 1);
    // Requests that had passed their checks change nothing, and report nothing.
    let member = MemberId::try_from(id).unwrap();
    let members = site.market.members();
    members
        .set_language(member, Language::English)
        .await
        .unwrap();
    let url = "https://pictures.example/a.png".to_owned();
    members.set_profile_image(member, url).await.unwrap();
    members.become_member(member).await.unwrap();
    let changed = format!(
        "select count(*) from member where id = {id} and (image_url is not null or language = 'en')"
    );
    assert_eq!(site.number(&changed).await, 0);
    let last = format!(
        "select count(*) from outbox where aggregate = 'member:{id}' and kind = 'member.closed' \
         and aggregate_seq = (select last from outbox_number where aggregate = 'member:{id}')"
    );
    assert_eq!(site.number(&last).await, 1);
}

/// The chat server is away: the profile's events wait, one of them for an operator.
async fn pending_events_do_not_bring_the_name_back(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let id = site.id(&who).await;
    let language = json!({"language": "en"});
    post(&site, &who, "/api/members/language", &language)
        .await
        .is(200, 0);
    site.sql("update outbox set dead_at = 1, dead_reason = 'test' where aggregate_seq = 1")
        .await;
    leave(&site, &who).await.is(200, 0);
    let mut connection = site.market.db().read().await.unwrap();
    let events = format!(
        "select kind, body from outbox where aggregate = 'member:{id}' order by aggregate_seq"
    );
    let rows = query(AssertSqlSafe(events)).fetch_all(&mut *connection);
    let rows = rows.await.unwrap();
    let kinds: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let expected = [
        "member.updated",
        "member.updated",
        "session.revoked",
        "member.closed",
    ];
    assert_eq!(kinds, expected);
    for (nth, row) in (1..).zip(&rows) {
        let body: Value = serde_json::from_str(row.get(1)).unwrap();
        assert_eq!(body["aggregateSeq"], json!(nth));
        if nth <= 2 {
            assert_eq!(body["data"]["name"], json!(NEUTRAL));
        }
    }
}

/// Runs races, each in a site with fresh members: how often which side won depends on the machine.
async fn closing_and_a_purchase_race(on: On) {
    let site = Site::start(on).await;
    for nth in 0..6 {
        let seller = site.log_in("kakao", 10 + nth).await;
        let product = offer(
            &site,
            &seller,
            "/api/products/mobile-data",
            &data(1).unwrap(),
        )
        .await;
        let mut buyers = Vec::new();
        for of in 0..3 {
            let buyer = site.log_in("google", 10 + 3 * nth + of).await;
            let order = format!("order-{nth}-{of}");
            charge(&site, &buyer, &order, 1_000).await.is(200, 0);
            buyers.push(buyer);
        }
        let form = purchase(product).unwrap();
        let buying = join_all(buyers.iter().map(|buyer| post(&site, buyer, DATA, &form)));
        let (left, bought) = tokio::join!(leave(&site, &seller), buying);
        let sold = bought.iter().filter(|answer| answer.status == 200).count();
        for answer in bought.iter().filter(|answer| answer.status != 200) {
            assert!([3003, 4003].contains(&answer.code()), "{answer:?}");
        }
        if left.status == 200 {
            assert_eq!(sold, 0, "{bought:?}");
        } else {
            assert_eq!(reasons(&left), ["CASH"]);
            assert!(sold > 0, "{bought:?}");
        }
    }
    books_are_intact(&site).await;
}

async fn closing_and_a_charge_race(on: On) {
    let site = Site::start(on).await;
    for nth in 0..8_u32 {
        let who = site.log_in("kakao", 10 + u64::from(nth)).await;
        let order = format!("order-race-{nth}");
        let saved = json!({"orderId": order, "amount": 1_000});
        post(&site, &who, SAVE, &saved).await.is(200, 0);
        let key = site.toss.authorize(&order, 1_000, How::Card);
        let slow = Fault::Delay(Duration::from_millis(20));
        site.toss.script(Call::Confirm, &order, &[slow]);
        let form = json!({"paymentKey": key, "orderId": order, "amount": 1_000});
        let (left, charged) = tokio::join!(leave(&site, &who), post(&site, &who, CHARGE, &form));
        if left.status == 200 {
            assert!([5001, 2007].contains(&charged.code()), "{charged:?}");
            assert_eq!(site.toss.calls(Call::Confirm, &order), 0);
        } else {
            let found = reasons(&left);
            assert!(found == ["CHARGE"] || found == ["CASH"], "{found:?}");
            charged.is(200, 0);
        }
    }
    let stranded = "select count(*) from wallet w join member m on m.id = w.member_id \
        where m.closed_at is not null and w.charged + w.earned + w.owed > 0";
    assert_eq!(site.number(stranded).await, 0);
    books_are_intact(&site).await;
}

async fn closing_and_a_new_offer_race(on: On) {
    let site = Site::start(on).await;
    for nth in 0..6 {
        let who = site.log_in("kakao", 10 + nth).await;
        let (data, spot) = (data(1).unwrap(), spot(1).unwrap());
        let (left, of_data, of_spot) = tokio::join!(
            leave(&site, &who),
            post(&site, &who, "/api/products/mobile-data", &data),
            post(&site, &who, "/api/products/hotspot", &spot),
        );
        left.is(200, 0);
        for answer in [of_data, of_spot] {
            let told = (answer.status, answer.code());
            assert!([(200, 0), (401, 2007)].contains(&told), "{answer:?}");
        }
    }
    let left_over = "select count(*) from product where state = 'ACTIVE'";
    assert_eq!(site.number(left_over).await, 0);
    books_are_intact(&site).await;
}

/// The login finds the old account, or makes a new one; it never revives the old one.
async fn closing_and_a_login_race(on: On) {
    let site = Site::start(on).await;
    for nth in 0..6 {
        let person = 10 + nth;
        let who = site.log_in("kakao", person).await;
        let old = site.id(&who).await;
        // Another address each time, so that the login writes.
        let changed = format!("update member set email = 'a{nth}@example.com' where id = {old}");
        site.sql(&changed).await;
        let back = site.come_back("kakao", person).await;
        let (left, back) = tokio::join!(leave(&site, &who), back.send());
        left.is(200, 0);
        let mut cookies = Cookies::default();
        cookies.take(&back.headers);
        if cookies.access.is_some() {
            let info = site.ask(Method::GET, "/api/members/info").by(&cookies);
            let info = info.send().await;
            match info.status {
                200 => assert_ne!(info.json()["data"]["memberId"].as_u64(), Some(old)),
                _ => assert!([2007, 2012].contains(&info.code()), "{info:?}"),
            }
        } else {
            assert!(back.location().contains("error=2012"), "{back:?}");
        }
        let again = site.log_in("kakao", person).await;
        assert_ne!(site.id(&again).await, old);
        let kept = format!(
            "select count(*) from member where id = {old} and closed_at is not null \
             and email is null and name = '{NEUTRAL}'"
        );
        assert_eq!(site.number(&kept).await, 1);
    }
}

async fn closing_twice_at_once_closes_once(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let answers = join_all((0..8).map(|_| leave(&site, &who))).await;
    let closed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(closed, 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.is(401, 2007);
    }
    let events = "select count(*) from outbox where kind = 'member.closed'";
    assert_eq!(site.number(events).await, 1);
}

/// The documented answer that needs an account to spare.
pub(crate) async fn answers(site: &Site) {
    let who = site.log_in("kakao", 5).await;
    leave(site, &who).await.is(200, 0);
}
