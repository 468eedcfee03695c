//! Charges over HTTP, in the order in which the front end calls them.

use std::time::Duration;

use fakes::toss::{Call, Fault, FaultPlan, How, Rates};
use futures_util::future::join_all;
use http::Method;
use market_api::ledger;
use serde_json::{Value, json};

use crate::on_both;
use crate::site::{Answer, Cookies, HOOK, Site};
use crate::support::{On, eventually};

on_both! {
    front_end_charges_and_reloads_its_success_page,
    two_tabs_charge_once,
    tampered_amount_is_refused_before_the_gateway,
    order_belongs_to_its_first_saver,
    order_is_replaced_until_it_is_confirmed,
    charge_after_ten_minutes_is_declined,
    declined_card_is_declined_for_ever,
    payment_pays_one_order,
    unknown_outcome_is_being_verified_and_then_charged,
    deposit_charges_when_it_arrives,
    amounts_are_whole_won_within_bounds,
    defect_3_charge_is_bound_to_its_saved_order,
    defect_4_no_lock_is_held_while_the_gateway_is_called,
    webhook_is_a_pointer_and_never_believed,
    webhook_queries_a_charge_once_in_five_seconds,
    payment_captured_before_its_order_is_never_credited,
    unknown_order_that_is_saved_meanwhile_is_a_charge,
    second_payment_of_an_order_is_held_and_reported,
    without_a_gateway_nothing_is_charged,
    orders_of_a_day_are_limited,
    confirmations_in_flight_are_limited,
    refunds_are_listed_page_by_page,
    refund_without_a_certain_answer_is_being_verified,
}

pub(crate) const SAVE: &str = "/api/payments/save-amount";
pub(crate) const VERIFY: &str = "/api/payments/verify-amount";
pub(crate) const CHARGE: &str = "/api/payments/charge";
pub(crate) const REFUND: &str = "/api/payments/refund";
const CHARGES: &str = "/api/payments/charges?size=20";

/// An order id in the front end's form.
fn order(name: &str) -> String {
    format!("order-00000000-0000-4000-8000-{name:0>12}")
}

async fn post(site: &Site, who: &Cookies, path: &str, body: &Value) -> Answer {
    let ask = site.ask(Method::POST, path).by(who);
    ask.json(body).send().await
}

async fn save(site: &Site, who: &Cookies, order: &str, amount: i64) -> Answer {
    let body = json!({"orderId": order, "amount": amount});
    post(site, who, SAVE, &body).await
}

async fn verify(site: &Site, who: &Cookies, order: &str, amount: i64) -> Answer {
    let body = json!({"orderId": order, "amount": amount});
    post(site, who, VERIFY, &body).await
}

async fn charge(site: &Site, who: &Cookies, key: &str, order: &str, amount: i64) -> Answer {
    let body = json!({"paymentKey": key, "orderId": order, "amount": amount});
    post(site, who, CHARGE, &body).await
}

async fn cash(site: &Site, who: &Cookies) -> i64 {
    let data = site.data(who, "/api/members/cash").await;
    data["cash"].as_i64().unwrap()
}

/// The state of the caller's newest charge.
async fn state(site: &Site, who: &Cookies) -> String {
    let page = site.data(who, CHARGES).await;
    page["data"][0]["state"].as_str().unwrap().to_owned()
}

async fn is_soon(site: &Site, who: &Cookies, expected: &str) {
    eventually(expected, async || state(site, who).await == expected).await;
}

/// The ledger holds.
async fn close(site: &Site) {
    assert_eq!(ledger::verify(site.market.db()).await.unwrap(), []);
}

async fn front_end_charges_and_reloads_its_success_page(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("1");
    let saved = save(&site, &who, &order, 10_000).await;
    assert_eq!(
        (saved.status, saved.json()["code"].as_u64()),
        (200, Some(0))
    );
    let key = site.toss.authorize(&order, 10_000, How::Card);
    verify(&site, &who, &order, 10_000).await.is(200, 0);
    let first = charge(&site, &who, &key, &order, 10_000).await;
    first.is(200, 0);
    let data = &first.json()["data"];
    assert!(data["paymentId"].is_u64(), "{first:?}");
    assert_eq!(data["totalAmount"], json!(10_000));
    assert_eq!(data.as_object().unwrap().len(), 2, "{first:?}");
    // Reloaded, and reached again by the back button: the whole sequence once more.
    for _ in 0..3 {
        save(&site, &who, &order, 10_000).await.is(200, 0);
        verify(&site, &who, &order, 10_000).await.is(200, 0);
        let again = charge(&site, &who, &key, &order, 10_000).await;
        assert_eq!((again.status, &again.text), (200, &first.text));
    }
    assert_eq!(site.toss.calls(Call::Confirm, &order), 1);
    assert_eq!(cash(&site, &who).await, 10_000);
    let history = "/api/trades/cash-history?year=2026&month=11&size=9";
    let history = site.data(&who, history).await;
    let summary = &history["cashHistoryMonthlySummary"];
    assert_eq!(
        (&summary["totalCharge"], &summary["total"]),
        (&json!(10_000), &json!(10_000))
    );
    let row = &history["cashHistorySummary"]["data"][0];
    assert_eq!(row["classification"], json!("충전"));
    assert_eq!(
        (&row["tradeType"], &row["price"]),
        (&json!("CHARGE"), &json!(10_000))
    );
    let events = "select count(*) from outbox where kind = 'cash.charged'";
    assert_eq!(site.number(events).await, 1);
    close(&site).await;
}

async fn two_tabs_charge_once(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("2");
    save(&site, &who, &order, 5_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 5_000, How::Card);
    let slow = Fault::Delay(Duration::from_millis(500));
    site.toss.script(Call::Confirm, &order, &[slow]);
    let tabs = (0..10).map(|_| charge(&site, &who, &key, &order, 5_000));
    let answers = join_all(tabs).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (200, &answers[0].text));
    }
    assert_eq!(site.toss.calls(Call::Confirm, &order), 1);
    assert_eq!(cash(&site, &who).await, 5_000);
    close(&site).await;
}

async fn tampered_amount_is_refused_before_the_gateway(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("3");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    // The front end reads the code of a successful response.
    verify(&site, &who, &order, 100_000).await.is(200, 5003);
    charge(&site, &who, &key, &order, 100_000)
        .await
        .is(400, 5003);
    assert_eq!(site.toss.calls(Call::Confirm, &order), 0);
    assert_eq!(
        (cash(&site, &who).await, state(&site, &who).await),
        (0, "CREATED".to_owned())
    );
    // The gateway captured another amount than the order's: suspense, and given back.
    let cheap = site.toss.authorize(&order, 900, How::Card);
    site.toss.capture(&cheap);
    assert_eq!(
        hook(
            &site,
            HOOK,
            &json!({"data": {"orderId": order}}).to_string()
        )
        .await,
        200
    );
    is_soon(&site, &who, "MISMATCH").await;
    eventually("it is given back", async || {
        site.toss
            .booked(&cheap)
            .is_some_and(|payment| payment.cancelled == 900)
    })
    .await;
    eventually("the books have it", async || {
        site.number("select count(*) from suspense_payment where canceled = captured")
            .await
            == 1
    })
    .await;
    assert_eq!(cash(&site, &who).await, 0);
    charge(&site, &who, &key, &order, 1_000).await.is(400, 5001);
    close(&site).await;
}

async fn order_belongs_to_its_first_saver(on: On) {
    let site = Site::start(on).await;
    let (who, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let order = order("4");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    save(&site, &other, &order, 1_000).await.is(400, 5003);
    verify(&site, &other, &order, 1_000).await.is(200, 5003);
    charge(&site, &other, &key, &order, 1_000)
        .await
        .is(400, 5003);
    assert_eq!(site.data(&other, CHARGES).await["data"], json!([]));
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    charge(&site, &other, &key, &order, 1_000)
        .await
        .is(400, 5003);
    assert_eq!(
        (cash(&site, &who).await, cash(&site, &other).await),
        (1_000, 0)
    );
    close(&site).await;
}

async fn order_is_replaced_until_it_is_confirmed(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("5");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    save(&site, &who, &order, 2_000).await.is(200, 0);
    verify(&site, &who, &order, 1_000).await.is(200, 5003);
    verify(&site, &who, &order, 2_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 2_000, How::Card);
    charge(&site, &who, &key, &order, 2_000).await.is(200, 0);
    save(&site, &who, &order, 3_000).await.is(400, 5003);
    verify(&site, &who, &order, 2_000).await.is(200, 0);
    close(&site).await;
}

async fn charge_after_ten_minutes_is_declined(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("6");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    site.wait(Duration::from_secs(601));
    for _ in 0..2 {
        charge(&site, &who, &key, &order, 1_000).await.is(400, 5001);
    }
    assert_eq!(
        (cash(&site, &who).await, state(&site, &who).await),
        (0, "FAILED".to_owned())
    );
    assert_eq!(site.toss.totals().captured, 0);
    close(&site).await;
}

async fn declined_card_is_declined_for_ever(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("7");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let how = How::Declined("REJECT_CARD_PAYMENT".to_owned());
    let key = site.toss.authorize(&order, 1_000, how);
    for _ in 0..2 {
        charge(&site, &who, &key, &order, 1_000).await.is(400, 5001);
    }
    assert_eq!(site.toss.calls(Call::Confirm, &order), 1);
    assert_eq!(cash(&site, &who).await, 0);
    close(&site).await;
}

async fn payment_pays_one_order(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let (first, second) = (order("8"), order("9"));
    for order in [&first, &second] {
        save(&site, &who, order, 1_000).await.is(200, 0);
    }
    let key = site.toss.authorize(&first, 1_000, How::Card);
    charge(&site, &who, &key, &first, 1_000).await.is(200, 0);
    charge(&site, &who, &key, &second, 1_000)
        .await
        .is(400, 5001);
    assert_eq!(site.toss.calls(Call::Confirm, &second), 0);
    assert_eq!(cash(&site, &who).await, 1_000);
    // The order can still be paid.
    let key = site.toss.authorize(&second, 1_000, How::Card);
    charge(&site, &who, &key, &second, 1_000).await.is(200, 0);
    assert_eq!(cash(&site, &who).await, 2_000);
    close(&site).await;
}

async fn unknown_outcome_is_being_verified_and_then_charged(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("10");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    site.toss.script(Call::Confirm, &order, &[Fault::LostAfter]);
    charge(&site, &who, &key, &order, 1_000).await.is(202, 5008);
    assert_eq!(
        (cash(&site, &who).await, state(&site, &who).await),
        (0, "UNKNOWN".to_owned())
    );
    let ready = site.ask_url(Method::GET, &format!("{}/readyz", site.admin_base));
    assert_eq!(ready.send().await.json()["gateway"], json!("unavailable"));
    site.wait(Duration::from_secs(5));
    is_soon(&site, &who, "CAPTURED").await;
    let again = charge(&site, &who, &key, &order, 1_000).await;
    again.is(200, 0);
    assert_eq!(again.json()["data"]["totalAmount"], json!(1_000));
    assert_eq!(site.toss.calls(Call::Confirm, &order), 1);
    assert_eq!(cash(&site, &who).await, 1_000);
    close(&site).await;
}

async fn deposit_charges_when_it_arrives(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let (paid, unpaid) = (order("11"), order("12"));
    for order in [&unpaid, &paid] {
        save(&site, &who, order, 3_000).await.is(200, 0);
    }
    let late = site.toss.authorize(&unpaid, 3_000, How::VirtualAccount);
    charge(&site, &who, &late, &unpaid, 3_000)
        .await
        .is(202, 5008);
    let key = site.toss.authorize(&paid, 3_000, How::VirtualAccount);
    charge(&site, &who, &key, &paid, 3_000).await.is(202, 5008);
    let rows = site.data(&who, CHARGES).await;
    for row in rows["data"].as_array().unwrap() {
        assert_eq!(row["state"], json!("WAITING"), "{rows}");
        assert!(row["dueAt"].is_string(), "{rows}");
    }
    site.wait(Duration::from_secs(3_000));
    assert!(site.toss.deposit(&key));
    assert!(site.toss.run_webhooks().await > 0);
    is_soon(&site, &who, "CAPTURED").await;
    assert_eq!(cash(&site, &who).await, 3_000);
    charge(&site, &who, &key, &paid, 3_000).await.is(200, 0);
    // Without a deposit it ends at its due time.
    site.wait(Duration::from_secs(30 * 24 * 3_600));
    let who = site.log_in("kakao", 1).await;
    eventually("it expires", async || {
        let rows = site.data(&who, CHARGES).await;
        let states = rows["data"].as_array().unwrap().iter();
        let expired = states
            .filter(|row| row["state"] == json!("EXPIRED"))
            .count();
        expired == 1
    })
    .await;
    charge(&site, &who, &late, &unpaid, 3_000)
        .await
        .is(400, 5001);
    close(&site).await;
}

async fn amounts_are_whole_won_within_bounds(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("13");
    for amount in ["0", "-1", "10000001", "9223372036854775807"] {
        let body = format!(r#"{{"orderId": "{order}", "amount": {amount}}}"#);
        let ask = site.ask(Method::POST, SAVE).by(&who);
        ask.body(body).send().await.is(400, 5002);
    }
    for amount in [
        "1.5",
        "1.0",
        "\"1000\"",
        "1e3",
        "1e400",
        "NaN",
        "null",
        "true",
        "9223372036854775808",
        "",
    ] {
        for path in [SAVE, VERIFY, CHARGE] {
            let body =
                format!(r#"{{"paymentKey": "k", "orderId": "{order}", "amount": {amount}}}"#);
            let ask = site.ask(Method::POST, path).by(&who);
            ask.body(body).send().await.is(400, 1006);
        }
    }
    for order in [
        "",
        "12345",
        &"x".repeat(65),
        "order 12345",
        "주문번호입니다",
        "a'; drop--",
    ] {
        save(&site, &who, order, 1_000).await.is(400, 1006);
    }
    let doubled = format!(r#"{{"orderId": "{order}", "amount": 1, "amount": 2}}"#);
    let ask = site.ask(Method::POST, SAVE).by(&who);
    ask.body(doubled).send().await.is(400, 1006);
    for key in ["", "a b", &"k".repeat(201), "k\u{0}"] {
        charge(&site, &who, key, &order, 1_000).await.is(400, 1006);
    }
    assert_eq!(site.number("select count(*) from charge").await, 0);
    save(&site, &who, &order, 10_000_000).await.is(200, 0);
    assert_eq!(cash(&site, &who).await, 0);
    close(&site).await;
}

async fn defect_3_charge_is_bound_to_its_saved_order(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    // Never saved: the first site confirmed it.
    let unknown = order("14");
    let key = site.toss.authorize(&unknown, 1_000, How::Card);
    verify(&site, &who, &unknown, 1_000).await.is(200, 5003);
    charge(&site, &who, &key, &unknown, 1_000)
        .await
        .is(400, 5003);
    assert_eq!(site.toss.calls(Call::Confirm, &unknown), 0);
    // Saved on one instance, verified and charged on another: nothing is in a session.
    let second = site.second(&[]).await;
    let order = order("15");
    save(&site, &who, &order, 2_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 2_000, How::Card);
    verify(&second, &who, &order, 2_000).await.is(200, 0);
    charge(&second, &who, &key, &order, 2_000).await.is(200, 0);
    assert_eq!(cash(&site, &who).await, 2_000);
    let rows = "select count(*) from charge where state = 'CAPTURED'";
    assert_eq!(site.number(rows).await, 1);
    close(&site).await;
}

async fn defect_4_no_lock_is_held_while_the_gateway_is_called(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let (slow, quick) = (order("16"), order("17"));
    for order in [&slow, &quick] {
        save(&site, &who, order, 1_000).await.is(200, 0);
    }
    let slow_key = site.toss.authorize(&slow, 1_000, How::Card);
    let quick_key = site.toss.authorize(&quick, 1_000, How::Card);
    // Longer than a client waits, and than the rest of the test takes on a busy machine.
    let hangs = Fault::Delay(Duration::from_secs(20));
    site.toss.script(Call::Confirm, &slow, &[hangs]);
    let slow_charge = charge(&site, &who, &slow_key, &slow, 1_000);
    let meanwhile = async {
        eventually("the gateway is called", async || {
            site.toss.calls(Call::Confirm, &slow) == 1
        })
        .await;
        // The same wallet, while the first call hangs.
        charge(&site, &who, &quick_key, &quick, 1_000)
            .await
            .is(200, 0);
        assert_eq!(cash(&site, &who).await, 1_000);
    };
    let (slow_answer, ()) = tokio::join!(slow_charge, meanwhile);
    slow_answer.is(202, 5008);
    eventually("the first is charged, too", async || {
        cash(&site, &who).await == 2_000
    })
    .await;
    close(&site).await;
}

async fn hook(site: &Site, secret: &str, body: &str) -> u16 {
    let ask = site.ask(Method::POST, &format!("/hooks/toss/{secret}"));
    ask.body(body.to_owned()).send().await.status
}

async fn webhook_is_a_pointer_and_never_believed(on: On) {
    let site = Site::start(on).await;
    let (who, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let order = order("18");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    let forged = |amount: i64, status: &str| {
        let payment =
            json!({"orderId": order, "paymentKey": key, "status": status, "totalAmount": amount});
        json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": payment}).to_string()
    };
    for secret in ["", "x", &HOOK[1..], &format!("{HOOK}x")] {
        assert_eq!(hook(&site, secret, &forged(1_000, "DONE")).await, 404);
    }
    assert_eq!(site.number("select count(*) from webhook").await, 0);
    // A charge that nobody confirmed, another amount, an order of another environment, garbage: stored, no won moves.
    let unknown =
        json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "order-elsewhere"}});
    let bodies = [
        forged(1_000, "DONE"),
        forged(9_999_999, "DONE"),
        forged(1_000, "CANCELED"),
        unknown.to_string(),
        "{".to_owned(),
        String::new(),
        r#"{"data": {"orderId": 7}}"#.to_owned(),
        "\0\u{1b}[31m".to_owned(),
        format!(
            r#"{{"eventType": "{}", "orderId": "x"}}"#,
            "E".repeat(9_000)
        ),
    ];
    for body in &bodies {
        assert_eq!(hook(&site, HOOK, body).await, 200, "{body}");
    }
    assert_eq!(hook(&site, HOOK, &"x".repeat(1 << 20)).await, 413);
    assert_eq!(site.number("select count(*) from webhook").await, 9);
    eventually("the order is queried", async || {
        site.toss.calls(Call::Get, &order) > 0
    })
    .await;
    eventually("the unknown order is queried", async || {
        site.toss.calls(Call::Get, "order-elsewhere") > 0
    })
    .await;
    assert_eq!(
        (cash(&site, &who).await, state(&site, &who).await),
        (0, "CREATED".to_owned())
    );
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    // A cancel that never was, and a charge said to be another member's.
    assert_eq!(hook(&site, HOOK, &forged(1_000, "CANCELED")).await, 200);
    site.wait(Duration::from_secs(6));
    assert_eq!(
        (cash(&site, &who).await, cash(&site, &other).await),
        (1_000, 0)
    );
    // Captured money of an order that is not ours is held and reported, never given back.
    let stray = site.toss.authorize("order-elsewhere", 700, How::Card);
    assert!(site.toss.capture(&stray));
    assert_eq!(hook(&site, HOOK, &unknown.to_string()).await, 200);
    eventually("it is in suspense", async || {
        site.number("select count(*) from suspense_payment").await == 1
    })
    .await;
    site.wait(Duration::from_secs(3_600));
    assert_eq!(site.toss.booked(&stray).unwrap().cancelled, 0);
    close(&site).await;
}

async fn webhook_queries_a_charge_once_in_five_seconds(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("19");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    let body =
        json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": order}}).to_string();
    let flood = (0..100).map(|_| hook(&site, HOOK, &body));
    assert!(join_all(flood).await.iter().all(|status| *status == 200));
    eventually("it is queried", async || {
        site.toss.calls(Call::Get, &order) == 1
    })
    .await;
    for _ in 0..100 {
        assert_eq!(hook(&site, HOOK, &body).await, 200);
    }
    // The time stands still: nothing more is due.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(site.toss.calls(Call::Get, &order), 1);
    site.wait(Duration::from_secs(5));
    eventually("it is queried again", async || {
        site.toss.calls(Call::Get, &order) == 2
    })
    .await;
    assert_eq!(cash(&site, &who).await, 1_000);
    close(&site).await;
}

/// A payment of another environment under the same key, whose order a member saves here.
async fn payment_captured_before_its_order_is_never_credited(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("23");
    let key = site.toss.authorize(&order, 1_000, How::Card);
    assert!(site.toss.capture(&key));
    assert_eq!(hook(&site, HOOK, &pointer(&order)).await, 200);
    let held = "select count(*) from suspense_payment";
    eventually("it is in suspense", async || site.number(held).await == 1).await;
    save(&site, &who, &order, 1_000).await.is(200, 0);
    charge(&site, &who, &key, &order, 1_000).await.is(202, 5008);
    site.wait(Duration::from_secs(5));
    is_soon(&site, &who, "MISMATCH").await;
    charge(&site, &who, &key, &order, 1_000).await.is(400, 5001);
    assert_eq!(cash(&site, &who).await, 0);
    assert_eq!(site.toss.booked(&key).unwrap().cancelled, 0);
    close(&site).await;
}

async fn unknown_order_that_is_saved_meanwhile_is_a_charge(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("24");
    let key = site.toss.authorize(&order, 1_000, How::Card);
    site.toss.script(Call::Get, &order, &[Fault::ServerError]);
    assert_eq!(hook(&site, HOOK, &pointer(&order)).await, 200);
    eventually("the unknown order is queried in vain", async || {
        site.toss.calls(Call::Get, &order) == 1
    })
    .await;
    save(&site, &who, &order, 1_000).await.is(200, 0);
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    site.wait(Duration::from_secs(120));
    let jobs = "select count(*) from schedule where name = 'stray-payment'";
    eventually("the job has ended", async || site.number(jobs).await == 0).await;
    assert_eq!(
        site.number("select count(*) from suspense_payment").await,
        0
    );
    assert_eq!(cash(&site, &who).await, 1_000);
    close(&site).await;
}

async fn second_payment_of_an_order_is_held_and_reported(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("25");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    // As if the gateway had answered with the other payment of the order.
    let other = "update charge set payment_key = 'another' where state = 'CAPTURED'";
    site.sql(other).await;
    assert_eq!(hook(&site, HOOK, &pointer(&order)).await, 200);
    let held = "select count(*) from suspense_payment where needs_attention = 1";
    eventually("it is in suspense", async || site.number(held).await == 1).await;
    assert!(site.toss.dashboard_cancel(&key, 400));
    site.wait(Duration::from_secs(5));
    assert_eq!(hook(&site, HOOK, &pointer(&order)).await, 200);
    let given = "select canceled from suspense_payment";
    eventually("its cancel is not the charge's", async || {
        site.number(given).await == 400
    })
    .await;
    assert_eq!(cash(&site, &who).await, 1_000);
    close(&site).await;
}

/// A notification that names an order.
fn pointer(order: &str) -> String {
    json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": order}}).to_string()
}

async fn without_a_gateway_nothing_is_charged(on: On) {
    let site = Site::start_with(on, &["--toss-secret-key=off"]).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("20");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    charge(&site, &who, &key, &order, 1_000).await.is(503, 1010);
    assert_eq!(state(&site, &who).await, "CREATED");
    let ready = site.ask_url(Method::GET, &format!("{}/readyz", site.admin_base));
    assert_eq!(ready.send().await.json()["gateway"], json!("missing"));
    close(&site).await;
}

async fn orders_of_a_day_are_limited(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    fill_orders(&site, &who).await;
    save(&site, &who, &order("21"), 1_000).await.is(429, 1009);
    let other = site.log_in("kakao", 2).await;
    save(&site, &other, &order("21"), 1_000).await.is(200, 0);
    site.wait(Duration::from_secs(24 * 3_600));
    let who = site.log_in("kakao", 1).await;
    save(&site, &who, &order("22"), 1_000).await.is(200, 0);
}

/// E3: a gateway that hangs holds a bounded number of requests; what is refused was not begun.
async fn confirmations_in_flight_are_limited(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let orders: Vec<_> = (0..80).map(|nth| order(&format!("5{nth:02}"))).collect();
    let mut keys = Vec::new();
    for order in &orders {
        save(&site, &who, order, 1_000).await.is(200, 0);
        keys.push(site.toss.authorize(order, 1_000, How::Card));
        let hangs = Fault::Delay(Duration::from_secs(12));
        site.toss.script(Call::Confirm, order, &[hangs]);
    }
    let charges = orders.iter().zip(&keys);
    let charges = charges.map(|(order, key)| charge(&site, &who, key, order, 1_000));
    let answers = join_all(charges).await;
    let mut refused = 0;
    for (answer, order) in answers.iter().zip(&orders) {
        // The gateway takes longer than a client waits.
        if answer.status != 202 {
            answer.is(503, 5006);
            assert_eq!(site.toss.calls(Call::Confirm, order), 0);
            refused += 1;
        }
    }
    assert!(refused > 0);
    // It can be charged as soon as there is room.
    let free = answers
        .iter()
        .position(|answer| answer.status == 503)
        .unwrap();
    let (order, key) = (&orders[free], &keys[free]);
    site.toss.script(Call::Confirm, order, &[]);
    eventually("there is room", async || {
        [200, 202].contains(&charge(&site, &who, key, order, 1_000).await.status)
    })
    .await;
    close(&site).await;
}

/// As many orders as a member may save in a day.
async fn fill_orders(site: &Site, who: &Cookies) {
    let (member, now) = (site.id(who).await, site.now_ms());
    site.sql(&format!(
        "with recursive n (n) as (select 1 union all select n + 1 from n where n < 200) \
         insert into charge (order_id, member_id, amount, created_at) \
         select 'filled-' || n, {member}, 1000, {now} from n"
    ))
    .await;
}

async fn refunds_are_listed_page_by_page(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("41");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    for (nth, remain) in [(1, 700), (2, 400), (3, 100)] {
        let accepted = refund(&site, &who, &format!("request-{nth}"), 300).await;
        accepted.is(200, 0);
        assert_eq!(accepted.json()["data"]["remainCash"], json!(remain));
    }
    eventually("the refunds are paid", async || {
        // Two cancels of a charge keep their distance.
        site.clock.advance(Duration::from_secs(1));
        site.number("select count(*) from refund where state = 'DONE'")
            .await
            == 3
    })
    .await;
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/api/payments/refunds?size=2&cursorId={after}");
        let page = site.data(&who, &path).await;
        for row in page["data"].as_array().unwrap() {
            let sums = ["amount", "canceled", "paidOut", "returned"];
            assert_eq!(sums.map(|sum| row[sum].clone()), [300, 300, 0, 0]);
            assert_eq!(row["state"], json!("DONE"));
            listed.push(row["requestId"].as_str().unwrap().to_owned());
        }
        match page["pageInfo"]["nextCursorId"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(listed, ["request-3", "request-2", "request-1"]);
    // Another member has none.
    let other = site.log_in("naver", 3).await;
    let page = site.data(&other, "/api/payments/refunds?size=9").await;
    assert_eq!(page["data"], json!([]));
    close(&site).await;
}

async fn refund_without_a_certain_answer_is_being_verified(on: On) {
    let site = Site::start(on).await;
    let who = site.log_in("kakao", 1).await;
    let order = order("42");
    save(&site, &who, &order, 1_000).await.is(200, 0);
    let key = site.toss.authorize(&order, 1_000, How::Card);
    charge(&site, &who, &key, &order, 1_000).await.is(200, 0);
    site.toss.script(Call::Cancel, &order, &[Fault::LostAfter]);
    refund(&site, &who, "request", 300).await.is(200, 0);
    let path = "/api/payments/refunds?size=1";
    let sums = async || {
        let row = site.data(&who, path).await["data"][0].clone();
        let sums = ["canceled", "returned", "verifying"];
        (row["state"].clone(), sums.map(|sum| row[sum].as_i64()))
    };
    eventually("the cancel is sent", async || {
        sums().await == (json!("OPEN"), [0, 0, 300].map(Some))
    })
    .await;
    eventually("the gateway is queried", async || {
        site.clock.advance(Duration::from_secs(10));
        sums().await == (json!("DONE"), [300, 0, 0].map(Some))
    })
    .await;
    close(&site).await;
}

/// Valid requests for each operation: the charge is of an order that nobody saved.
pub(crate) fn routes() -> Vec<(Method, &'static str, Option<Value>)> {
    let saved = json!({"orderId": "order-contract", "amount": 1_000});
    vec![
        (Method::POST, SAVE, Some(saved.clone())),
        (Method::POST, VERIFY, Some(saved)),
        (Method::GET, "/api/payments/charges?size=2", None),
        (
            Method::POST,
            REFUND,
            Some(json!({"requestId": "contract", "refundAmount": 1})),
        ),
        (Method::GET, "/api/payments/refunds?size=2", None),
    ]
}

/// The documented answers that need the gateway.
pub(crate) async fn answers(site: &Site, who: &Cookies, blocked: &Cookies) {
    let (order, lost) = (order("31"), order("32"));
    for order in [&order, &lost] {
        save(site, who, order, 1_000).await.is(200, 0);
    }
    let key = site.toss.authorize(&order, 1_000, How::Card);
    let ask = site.ask(Method::POST, CHARGE);
    let body = json!({"paymentKey": key, "orderId": order, "amount": 1_000});
    ask.json(&body).send().await.is(401, 2014);
    post(site, blocked, CHARGE, &body).await.is(403, 2012);
    let ask = site.ask(Method::POST, CHARGE).by(who);
    ask.body("x".repeat(1 << 20)).send().await.is(413, 1008);
    charge(site, who, &key, &order, 1_000).await.is(200, 0);
    charge(site, who, &key, &order, 1_001).await.is(400, 5003);
    refunds(site, who).await;
    let down = FaultPlan {
        confirm: Rates {
            lost_before: 1_000,
            ..Rates::default()
        },
        ..FaultPlan::default()
    };
    site.toss.set_plan(down);
    let key = site.toss.authorize(&lost, 1_000, How::Card);
    charge(site, who, &key, &lost, 1_000).await.is(202, 5008);
    site.toss.set_plan(FaultPlan::default());
    save(site, who, &order, 0).await.is(400, 5002);
    fill_orders(site, who).await;
    save(site, who, "order-of-many", 1_000).await.is(429, 1009);
    assert_eq!(hook(site, HOOK, "{}").await, 200);
    assert_eq!(hook(site, "another", "{}").await, 404);
    assert_eq!(hook(site, HOOK, &"x".repeat(1 << 20)).await, 413);
    let get = site
        .ask(Method::GET, "/api/payments/charges?size=0")
        .by(who);
    get.send().await.is(400, 1006);
    let without = site.second(&["--toss-secret-key=off"]).await;
    charge(&without, who, &key, &lost, 1_000)
        .await
        .is(503, 1010);
    refund(&without, who, "without", 1).await.is(503, 1010);
}

async fn refund(site: &Site, who: &Cookies, request: &str, amount: i64) -> Answer {
    let body = json!({"requestId": request, "refundAmount": amount});
    post(site, who, REFUND, &body).await
}

/// The documented answers about refunds, of a member with some cash.
async fn refunds(site: &Site, who: &Cookies) {
    let had = cash(site, who).await;
    let first = refund(site, who, "r", 1).await;
    first.is(200, 0);
    assert_eq!(
        first.json()["data"],
        json!({"refundPrice": 1, "remainCash": had - 1})
    );
    let again = refund(site, who, "r", 1).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    refund(site, who, "r", 2).await.is(400, 5005);
    refund(site, who, "", 1).await.is(400, 5004);
    for amount in [0, -1, i64::MIN, had, i64::MAX] {
        refund(site, who, "other", amount).await.is(400, 5007);
    }
    let beyond = r#"{"requestId": "other", "refundAmount": 9223372036854775808}"#;
    for body in [
        beyond,
        r#"{"refundAmount": 1}"#,
        r#"{"requestId": "other"}"#,
    ] {
        let ask = site.ask(Method::POST, REFUND).by(who);
        ask.body(body).send().await.is(400, 1006);
    }
    let get = site.ask(Method::GET, "/api/payments/refunds?size=0");
    get.by(who).send().await.is(400, 1006);
    // 50 of a day, in rows that are not open.
    let id = site.id(who).await;
    site.sql(&format!(
        "with recursive n (nth) as (select 2 union all select nth + 1 from n where nth < 50) \
         insert into trade (member_id, kind, price, month, created_at) \
         select {id}, 'REFUND', 0, 202611, 1 from n"
    ))
    .await;
    site.sql(&format!(
        "insert into refund (member_id, request_id, amount, charged, earned, returned_charged, \
         remain_cash, state, trade_id, created_at) \
         select {id}, 'day ' || id, 1, 1, 0, 1, 0, 'DONE', id, \
         (select max(created_at) from refund) from trade where kind = 'REFUND' and price = 0"
    ))
    .await;
    refund(site, who, "one too many", 1).await.is(429, 1009);
}
