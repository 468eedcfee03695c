//! Receipts of each kind of trade, for their own member only.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::products;
use crate::site::{Cookies, Site};
use crate::support::{NOON_MS, On};
use crate::trades::{DATA, HOTSPOT, SCRAP, WIFI, give_cash, purchase, time};

on_both! {
    receipt_of_a_purchase_and_of_its_sale,
    receipt_of_a_purchase_in_parts_lists_its_offers,
    receipt_of_booked_time_has_its_hours,
    receipt_of_a_charge_shows_how_it_was_paid,
    receipt_of_a_refund_shows_what_came_back,
    receipt_of_another_members_trade_is_unknown,
}

const NOON: &str = "2026-11-15T12:00:00.000";

/// A seller (사람 1) and a buyer (사람 2) with 10,000 won earned each.
async fn stage(on: On, more: &[&str]) -> (Site, Cookies, Cookies) {
    let site = Site::start_with(on, more).await;
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    give_cash(&site, 10_000).await;
    (site, seller, buyer)
}

async fn post(site: &Site, who: &Cookies, path: &str, form: &Value) -> Value {
    let answer = site.ask(Method::POST, path).by(who).json(form).send().await;
    answer.is(200, 0);
    answer.json()["data"].clone()
}

/// The id of an offer of this member.
async fn offer(site: &Site, seller: &Cookies, kind: &str, form: &Value) -> u32 {
    post(site, seller, &format!("/api/products/{kind}"), form).await;
    let id = site.number("select max(id) from product").await;
    u32::try_from(id).unwrap()
}

async fn receipt(site: &Site, who: &Cookies, trade: &Value) -> Value {
    site.data(who, &format!("/api/trades/{trade}/receipt"))
        .await
}

/// The sale of this purchase.
async fn sale_of(site: &Site, purchase: &Value) -> Value {
    let sale = format!("select min(id) from trade where purchase_id = {purchase}");
    json!(site.number(&sale).await)
}

async fn receipt_of_a_purchase_and_of_its_sale(on: On) {
    let (site, seller, buyer) = stage(on, &["--data-fee=1000"]).await;
    let form = json!({ "price": 1_000, "dataAmount": 1.0, "isSplitType": true });
    let id = offer(&site, &seller, "mobile-data", &form).await;
    site.sql("update wallet set charged = 30, earned = 9970")
        .await;
    let order = purchase(id).unwrap();
    let bought = post(&site, &buyer, DATA, &order).await["tradeId"].clone();
    let number = |trade: &Value| format!("20261115-{:06}", trade.as_i64().unwrap());
    let line = json!({
        "productId": id, "memberName": "사람 1", "title": null, "dataAmount": 0.1, "timeAmount": null,
        "startTime": null, "endTime": null, "price": 100,
    });
    let expected = json!({
        "number": number(&bought), "kind": "PURCHASE", "tradeId": bought,
        "tradeType": "PURCHASE_MOBILE_SINGLE", "issuedAt": NOON, "createdAt": NOON,
        "member": { "name": "사람 2" }, "counterparty": { "name": "사람 1" }, "lines": [line],
        "total": 100, "fee": null, "paidFrom": { "charged": 30, "earned": 70 }, "charge": null,
        "refund": null,
    });
    assert_eq!(receipt(&site, &buyer, &bought).await, expected);
    let sold = sale_of(&site, &bought).await;
    let expected = json!({
        "number": number(&sold), "kind": "SALE", "tradeId": sold, "tradeType": "SALE_MOBILE_DATA",
        "issuedAt": NOON, "createdAt": NOON, "member": { "name": "사람 1" },
        "counterparty": { "name": "사람 2" }, "lines": [line], "total": 90, "fee": 10,
        "paidFrom": null, "charge": null, "refund": null,
    });
    assert_eq!(receipt(&site, &seller, &sold).await, expected);
}

async fn receipt_of_a_purchase_in_parts_lists_its_offers(on: On) {
    let (site, seller, buyer) = stage(on, &[]).await;
    let other = site.log_in("kakao", 3).await;
    let data = |price: i64| json!({ "price": price, "dataAmount": 0.5, "isSplitType": false });
    let one = offer(&site, &seller, "mobile-data", &data(500)).await;
    let two = offer(&site, &other, "mobile-data", &data(400)).await;
    let part = |id: u32| json!({ "productId": id, "mobileDataId": id, "purchaseAmount": 0.5 });
    let form =
        json!({ "totalAmount": 1.0, "totalPrice": 900, "combinations": [part(one), part(two)] });
    let bought = post(&site, &buyer, SCRAP, &form).await["tradeId"].clone();
    let shown = receipt(&site, &buyer, &bought).await;
    let lines = shown["lines"].as_array().unwrap();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (&line["memberName"], &line["dataAmount"], &line["price"]))
        .collect();
    let expected = [("사람 1", 0.5, 500), ("사람 3", 0.5, 400)]
        .map(|(name, amount, price)| (json!(name), json!(amount), json!(price)));
    let expected: Vec<_> = expected.iter().map(|(a, b, c)| (a, b, c)).collect();
    assert_eq!(lines, expected);
    // Two sellers: neither is the one.
    assert_eq!(shown["counterparty"], Value::Null);
    assert_eq!(
        (&shown["total"], &shown["kind"]),
        (&json!(900), &json!("PURCHASE"))
    );
    let sold = receipt(&site, &seller, &sale_of(&site, &bought).await).await;
    assert_eq!(sold["lines"].as_array().unwrap().len(), 1);
    assert_eq!((&sold["total"], &sold["fee"]), (&json!(500), &json!(0)));
}

async fn receipt_of_booked_time_has_its_hours(on: On) {
    let (site, seller, buyer) = stage(on, &[]).await;
    for (path, kind) in [(WIFI, "wifi"), (HOTSPOT, "hotspot")] {
        let form = products::spot(1).unwrap();
        let id = offer(&site, &seller, kind, &form).await;
        let order = time(path, id, 30).unwrap();
        let bought = post(&site, &buyer, path, &order).await["tradeId"].clone();
        let line = json!({
            "productId": id, "memberName": "사람 1", "title": form["title"], "dataAmount": null,
            "timeAmount": 30, "startTime": NOON, "endTime": "2026-11-15T12:30:00.000", "price": 1_500,
        });
        let sold = sale_of(&site, &bought).await;
        for (who, trade) in [(&buyer, &bought), (&seller, &sold)] {
            let shown = receipt(&site, who, trade).await;
            assert_eq!(shown["lines"], json!([line]));
        }
    }
}

/// A trade of the buyer's that only moves cash.
async fn cash_trade(site: &Site, who: &Cookies, kind: &str, amount: i64) -> (Value, u64) {
    let member = site.id(who).await;
    site.sql(&format!(
        "insert into trade (member_id, kind, price, month, created_at) \
         values ({member}, '{kind}', {amount}, 202611, {NOON_MS})"
    ))
    .await;
    let trade = site.number("select max(id) from trade").await;
    (json!(trade), member)
}

async fn receipt_of_a_charge_shows_how_it_was_paid(on: On) {
    let (site, _, buyer) = stage(on, &[]).await;
    let (trade, member) = cash_trade(&site, &buyer, "CHARGE", 5_000).await;
    site.sql(&format!(
        "insert into charge (order_id, member_id, amount, state, method, receipt_url, captured_at, captured, \
         refunded, reversed, trade_id, created_at) values ('order-1', {member}, 5000, 'CAPTURED', '카드', \
         'https://pay.example/receipt?a=1', {NOON_MS}, 5000, 700, 300, {trade}, 1)"
    ))
    .await;
    let shown = receipt(&site, &buyer, &trade).await;
    let expected = json!({
        "paymentId": 1, "orderId": "order-1", "method": "카드", "approvedAt": NOON,
        "receiptUrl": "https://pay.example/receipt?a=1", "canceled": 1_000,
    });
    assert_eq!(shown["charge"], expected);
    assert_eq!(
        (&shown["kind"], &shown["total"]),
        (&json!("CHARGE"), &json!(5_000))
    );
    let none = [
        &shown["lines"],
        &shown["fee"],
        &shown["counterparty"],
        &shown["paidFrom"],
        &shown["refund"],
    ];
    assert_eq!(
        none,
        [
            &json!([]),
            &Value::Null,
            &Value::Null,
            &Value::Null,
            &Value::Null
        ]
    );
    // A page would run it.
    site.sql("update charge set receipt_url = 'javascript:alert(1)'")
        .await;
    assert_eq!(
        receipt(&site, &buyer, &trade).await["charge"]["receiptUrl"],
        Value::Null
    );
}

async fn receipt_of_a_refund_shows_what_came_back(on: On) {
    let (site, _, buyer) = stage(on, &[]).await;
    // What came back has lowered the trade.
    let (trade, member) = cash_trade(&site, &buyer, "REFUND", 900).await;
    let shown = receipt(&site, &buyer, &trade).await;
    // Of a charge that was cancelled at the gateway.
    assert_eq!(
        (&shown["refund"], &shown["total"]),
        (&Value::Null, &json!(900))
    );
    site.sql(&format!(
        "insert into refund (member_id, request_id, amount, charged, earned, returned_earned, remain_cash, trade_id, \
         created_at) values ({member}, 'r-1', 1000, 600, 400, 100, 0, {trade}, 1)"
    ))
    .await;
    let shown = receipt(&site, &buyer, &trade).await;
    let mut expected = json!({
        "refundId": 1, "requested": 1_000, "returned": 100, "paid": 0, "state": "OPEN", "legs": [],
    });
    assert_eq!(shown["refund"], expected);
    assert_eq!(
        (&shown["kind"], &shown["total"]),
        (&json!("REFUND"), &json!(900))
    );
    site.sql(&format!(
        "insert into charge (order_id, member_id, amount, created_at) values ('order-1', {member}, 5000, 1)"
    ))
    .await;
    site.sql(
        "insert into refund_leg (refund_id, n, kind, bucket, charge_id, amount, state, created_at) values \
         (1, 2, 'PAYOUT', 'EARNED', null, 300, 'DONE', 1), (1, 1, 'CANCEL', 'CHARGED', 1, 600, 'DONE', 1), \
         (1, 3, 'PAYOUT', 'EARNED', null, 100, 'REFUSED', 1)",
    )
    .await;
    site.sql("update refund set state = 'DONE'").await;
    expected["paid"] = json!(900);
    expected["state"] = json!("DONE");
    expected["legs"] = json!([
        { "kind": "CANCEL", "amount": 600, "state": "DONE" },
        { "kind": "PAYOUT", "amount": 300, "state": "DONE" },
        { "kind": "PAYOUT", "amount": 100, "state": "REFUSED" },
    ]);
    assert_eq!(receipt(&site, &buyer, &trade).await["refund"], expected);
}

/// Each side sees its own trade only, and nobody else either of them.
async fn receipt_of_another_members_trade_is_unknown(on: On) {
    let (site, seller, buyer) = stage(on, &[]).await;
    let stranger = site.log_in("kakao", 3).await;
    let admin = site.admin().await;
    let id = offer(&site, &seller, "mobile-data", &products::data(1).unwrap()).await;
    let order = purchase(id).unwrap();
    let bought = post(&site, &buyer, DATA, &order).await["tradeId"].clone();
    let sold = sale_of(&site, &bought).await;
    let (charge, _) = cash_trade(&site, &buyer, "CHARGE", 5_000).await;
    let unknown = site
        .ask(Method::GET, "/api/trades/2147483647/receipt")
        .by(&buyer);
    let unknown = unknown.send().await;
    unknown.is(400, 4000);
    for (trade, owner) in [(&bought, &buyer), (&sold, &seller), (&charge, &buyer)] {
        let path = format!("/api/trades/{trade}/receipt");
        site.ask(Method::GET, &path).send().await.is(401, 2014);
        for who in [&seller, &buyer, &stranger, &admin] {
            let answer = site.ask(Method::GET, &path).by(who).send().await;
            if who == owner {
                answer.is(200, 0);
            } else {
                answer.is(400, 4000);
                assert_eq!(answer.text, unknown.text, "the same as of no trade");
            }
        }
    }
}
