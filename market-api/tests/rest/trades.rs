//! The trades' part of the contract. `tests/trades` tests their behaviour.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::products;
use crate::site::{Answer, Ask, Cookies, Site};
use crate::support::{On, eventually};

on_both! {
    defect_6_purchase_succeeds_while_nobody_can_be_notified,
    running_server_announces_start_and_end_of_bought_time,
}

pub(crate) const DATA: &str = "/api/trades/mobile-data/default";
pub(crate) const SCRAP: &str = "/api/trades/mobile-data/scrap";
pub(crate) const WIFI: &str = "/api/trades/wifi";
pub(crate) const HOTSPOT: &str = "/api/trades/hotspot";

/// A part of a split offer; see `products::data`.
pub(crate) fn purchase(product: u32) -> Option<Value> {
    Some(json!({ "productId": product, "mobileDataId": product, "dataAmount": 0.1 }))
}

/// A combination of one part, for this price.
pub(crate) fn combination(product: u32, price: i64) -> Option<Value> {
    let part = json!({ "productId": product, "mobileDataId": product, "purchaseAmount": 0.1 });
    Some(json!({ "totalAmount": 0.1, "totalPrice": price, "combinations": [part] }))
}

/// Ten minutes on a spot and more, from the site's noon on.
pub(crate) fn time(path: &str, product: u32, minutes: u32) -> Option<Value> {
    let mut form = json!({
        "productId": product, "startTime": "2026-11-15T12:00:00",
        "endTime": format!("2026-11-16T12:{minutes:02}:00"),
    });
    let item = if path == WIFI { "wifiId" } else { "hotspotId" };
    form[item] = json!(product);
    Some(form)
}

/// The products' requests, and before the last one, which deletes product 1, a valid request for each
/// operation of trades: on the caller's own products, so that nothing is bought.
pub(crate) fn with_offers(
    mut products: Vec<(Method, &'static str, Option<Value>)>,
) -> Vec<(Method, &'static str, Option<Value>)> {
    let own = [
        (Method::POST, DATA, purchase(1)),
        (Method::POST, SCRAP, combination(1, 10)),
        (Method::POST, WIFI, time(WIFI, 2, 10)),
        (Method::POST, HOTSPOT, time(HOTSPOT, 3, 10)),
        (Method::GET, "/api/trades/purchase-history?size=2", None),
        (
            Method::GET,
            "/api/trades/cash-history?year=2026&month=11&size=2",
            None,
        ),
        // No trade of the caller's.
        (Method::GET, "/api/trades/77/receipt", None),
    ];
    let last = products.len() - 1;
    products.splice(last..last, own);
    products
}

/// Gives every member this much cash.
pub(crate) async fn give_cash(site: &Site, won: i64) {
    site.sql(&format!("update wallet set earned = {won}")).await;
}

/// The documented answers that need a seller and a buyer.
pub(crate) async fn purchases(site: &Site, seller: &Cookies, buyer: &Cookies) {
    give_cash(site, 10_000).await;
    let offer = async |path: &str, form: Option<Value>| {
        let ask = site.ask(Method::POST, path).by(seller);
        ask.json(&form.unwrap()).send().await.is(200, 0);
        let id = site.number("select max(id) from product").await;
        u32::try_from(id).unwrap()
    };
    let id = offer("/api/products/mobile-data", products::data(1)).await;
    purchase_of(site, buyer, DATA, purchase(id).unwrap(), 10).await;
    histories(site, buyer).await;
    scrap(site, buyer, id).await;
    for (path, kind) in [(WIFI, "wifi"), (HOTSPOT, "hotspot")] {
        let spot = offer(&format!("/api/products/{kind}"), products::spot(1)).await;
        let form = time(path, spot, 30).unwrap();
        let bought = purchase_of(site, buyer, path, form.clone(), 1_500).await;
        let data = &bought["data"];
        assert_eq!(
            (&data["price"], &data["startTime"], &data["endTime"]),
            (
                &json!(1_500),
                &json!("2026-11-15T12:00:00.000"),
                &json!("2026-11-15T12:30:00.000"),
            )
        );
        // Without a key: the times are one.
        let again = site.ask(Method::POST, path).by(buyer).json(&form);
        let again = again.send().await;
        assert_eq!((again.json(), replayed(&again)), (bought, Some("true")));
        let refused = async |name: &str, value: Value, status, code| {
            let mut form = time(path, spot, 40).unwrap();
            form[name] = value;
            let ask = site.ask(Method::POST, path).by(buyer).json(&form);
            ask.send().await.is(status, code);
        };
        refused("productId", json!(77), 400, 3002).await;
        let item = if path == WIFI { "wifiId" } else { "hotspotId" };
        refused(item, json!(77), 400, 3010).await;
        refused("endTime", json!("2026-11-15T12:00:00"), 400, 3007).await;
        refused("endTime", json!("2026-11-15T18:01:00"), 400, 4006).await;
        let full = format!("update spot set capacity = 1 where product_id = {spot}");
        site.sql(&full).await;
        refused("price", json!(2_000), 409, 4009).await;
    }
}

/// A purchase under a key, its replay, and the refusals of a key and of a price; returns the response.
async fn purchase_of(site: &Site, buyer: &Cookies, path: &str, form: Value, price: i64) -> Value {
    let keyed = |key: &'static str, form: &Value| -> Ask<'_> {
        let ask = site.ask(Method::POST, path).by(buyer);
        ask.header("idempotency-key", key).json(form)
    };
    let mut other = form.clone();
    other["price"] = json!(7);
    let refused = keyed("b", &other).send().await;
    refused.is(409, 4008);
    assert_eq!(refused.json()["data"]["price"], price);
    let first = keyed("a", &form).send().await;
    first.is(200, 0);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let again = keyed("a", &form).send().await;
    assert_eq!(replayed(&again), Some("true"));
    assert_eq!(again.text, first.text);
    keyed("a", &other).send().await.is(422, 5009);
    first.json()
}

/// The first site pushed to the seller within the purchase, which failed with the push. The site's chat server is
/// unreachable.
async fn defect_6_purchase_succeeds_while_nobody_can_be_notified(on: On) {
    let site = Site::start(on).await;
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    give_cash(&site, 10_000).await;
    let offer = site.ask(Method::POST, "/api/products/mobile-data");
    let offer = offer.by(&seller).json(&products::data(1).unwrap());
    offer.send().await.is(200, 0);
    let posts = "market_relay_posts_total{outcome=\"away\"}";
    eventually("the chat server is found away", async || {
        let metrics = format!("{}/metrics", site.admin_base);
        let page = site.ask_url(Method::GET, &metrics).send().await.text;
        page.lines()
            .any(|line| line.starts_with(posts) && !line.ends_with(" 0"))
    })
    .await;
    let ask = site.ask(Method::POST, DATA).by(&buyer);
    ask.json(&purchase(1).unwrap()).send().await.is(200, 0);
    let waiting = "select count(*) from outbox where kind = 'trade.completed' and dead_at is null";
    assert_eq!(site.number(waiting).await, 1);
}

/// The jobs are the server's own: nothing here runs them.
async fn running_server_announces_start_and_end_of_bought_time(on: On) {
    let site = Site::start(on).await;
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    give_cash(&site, 10_000).await;
    let offer = site.ask(Method::POST, "/api/products/wifi").by(&seller);
    let spot = products::spot(1).unwrap();
    offer.json(&spot).send().await.is(200, 0);
    let ask = site.ask(Method::POST, WIFI).by(&buyer);
    let form = time(WIFI, 1, 10).unwrap();
    ask.json(&form).send().await.is(200, 0);
    let announced = async |kind: &str| {
        let count = format!("select count(*) from outbox where kind = '{kind}'");
        site.number(&count).await == 1
    };
    eventually("the start is announced", async || {
        announced("wifi.started").await
    })
    .await;
    assert!(!announced("wifi.ended").await);
    site.clock.advance(std::time::Duration::from_secs(600));
    eventually("the end is announced", async || {
        announced("wifi.ended").await
    })
    .await;
}

/// The old body, and a fresh quote for one that is outdated.
async fn scrap(site: &Site, buyer: &Cookies, id: u32) {
    let keyed = |key: &'static str, form: Value| -> Ask<'_> {
        let ask = site.ask(Method::POST, SCRAP).by(buyer);
        ask.header("idempotency-key", key).json(&form)
    };
    let form = combination(id, 10).unwrap();
    keyed("s", form.clone()).send().await.is(200, 0);
    let mut outdated = form;
    outdated["totalPrice"] = json!(11);
    keyed("s", outdated.clone()).send().await.is(422, 5009);
    let refused = keyed("t", outdated.clone()).send().await;
    refused.is(409, 4008);
    let quote = &refused.json()["data"];
    assert_eq!(
        (&quote["totalAmount"], &quote["totalPrice"]),
        (&json!(0.1), &json!(10))
    );
    assert_eq!(quote["combinations"][0]["productId"], id);
    // The quote is the body of the purchase.
    keyed("t", quote.clone()).send().await.is(200, 0);
    outdated["totalAmount"] = json!(0.25);
    keyed("u", outdated).send().await.is(400, 1006);
}

/// One purchase for 10 won, field by field.
async fn histories(site: &Site, buyer: &Cookies) {
    let history = site
        .data(buyer, "/api/trades/purchase-history?cursorId=0&size=5")
        .await;
    assert_eq!(history["tradeCount"], 1);
    let row = &history["trades"]["data"][0];
    let id = &row["tradeId"];
    let expected = json!({
        "tradeId": id, "tradeType": "PURCHASE_MOBILE_SINGLE", "dataAmount": 0.1, "timeAmount": 0,
        "title": "", "productImageUrl": null, "reviewed": false,
        "createdAt": "2026-11-15T12:00:00.000",
    });
    assert_eq!(*row, expected);
    let path = "/api/trades/cash-history?year=2026&month=11&cursorId=0&size=5";
    let history = site.data(buyer, path).await;
    let summary = json!({
        "totalPurchase": 10, "totalSelling": 0, "totalCharge": 0, "totalRefund": 0, "total": -10,
    });
    assert_eq!(history["cashHistoryMonthlySummary"], summary);
    let expected = json!({
        "tradeId": id, "tradeType": "PURCHASE_MOBILE_SINGLE", "price": 10,
        "description": "데이터 0.1GB 구매", "classification": "구매",
        "createdAt": "2026-11-15T12:00:00.000",
    });
    let page = json!({
        "data": [expected], "pageInfo": { "nextCursorId": null, "hasNext": false, "size": 5 },
    });
    assert_eq!(history["cashHistorySummary"], page);
    let receipt = site.data(buyer, &format!("/api/trades/{id}/receipt")).await;
    assert_eq!(receipt["tradeId"], *id);
    for query in [
        "0/receipt",
        "purchase-history?size=0",
        "cash-history?year=2026&month=13",
        "cash-history?month=1",
    ] {
        let path = format!("/api/trades/{query}");
        site.ask(Method::GET, &path)
            .by(buyer)
            .send()
            .await
            .is(400, 1006);
    }
}

fn replayed(answer: &Answer) -> Option<&str> {
    let header = answer.headers.get("idempotent-replayed")?;
    header.to_str().ok()
}
