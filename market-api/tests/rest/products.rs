//! The products' part of the contract, and lists after a crash. `tests/products` tests their behaviour.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::site::{Cookies, Site};
use crate::support::{On, eventually};

on_both! {
    lists_follow_a_change_whose_process_has_ended,
}

pub(crate) fn spot(product: u32) -> Option<Value> {
    Some(json!({
        "productId": product, "price": 500, "title": "t", "latitude": 37.5, "longitude": 127.0,
        "startTime": "2026-11-15T09:00:00", "endTime": "2026-11-15T18:00:00",
    }))
}

/// A spot offer with this picture.
pub(crate) fn spot_with(image: &str) -> Value {
    let mut form = spot(1).unwrap();
    form["images"] = json!([image]);
    form
}

pub(crate) fn data(product: u32) -> Option<Value> {
    Some(json!({
        "productId": product, "price": 100, "dataAmount": 1, "changedAmount": 1,
        "isSplitType": true,
    }))
}

/// A valid request for each operation, on the products 1 to 3, which the first three create.
pub(crate) fn routes() -> Vec<(Method, &'static str, Option<Value>)> {
    let here = "/api/products/wifi?size=2&latitude=37&longitude=127";
    let there = "/api/products/hotspot?size=2&latitude=37&longitude=127";
    let own = "/api/selling-products?size=2&productState=ACTIVE";
    let of_member = "/api/members/1/selling-products?size=2&productState=ACTIVE";
    vec![
        (Method::POST, "/api/products/mobile-data", data(1)),
        (Method::POST, "/api/products/wifi", spot(2)),
        (Method::POST, "/api/products/hotspot", spot(3)),
        (Method::PUT, "/api/products/mobile-data", data(1)),
        (Method::PUT, "/api/products/wifi", spot(2)),
        (Method::PUT, "/api/products/hotspot", spot(3)),
        (Method::GET, "/api/products/mobile-data?size=2", None),
        (Method::GET, here, None),
        (Method::GET, there, None),
        (Method::GET, "/api/products/mobile-data/1", None),
        (Method::GET, "/api/products/wifi/2", None),
        (Method::GET, "/api/products/hotspot/3", None),
        (
            Method::GET,
            "/api/products/market-price?productType=WIFI",
            None,
        ),
        // The caller's own product; see `contract::chat`.
        (Method::POST, "/api/products/2/chat-room", None),
        (Method::GET, own, None),
        (Method::GET, of_member, None),
        (Method::DELETE, "/api/products/1", None),
    ]
}

/// The documented refusals that need no body.
pub(crate) async fn refusals(site: &Site, who: &Cookies) {
    for (path, code) in [
        ("/api/products/mobile-data", 1006),
        ("/api/products/wifi", 1006),
        ("/api/products/hotspot", 1006),
        ("/api/products/mobile-data/77", 3002),
        ("/api/products/wifi/77", 3002),
        ("/api/products/hotspot/77", 3002),
        ("/api/products/market-price", 3001),
        ("/api/selling-products", 1006),
        (
            "/api/members/77/selling-products?size=2&productState=ACTIVE",
            2005,
        ),
    ] {
        let answer = site.ask(Method::GET, path).by(who).send().await;
        answer.is(400, code);
    }
    let deleted = site.ask(Method::DELETE, "/api/products/77").by(who);
    deleted.send().await.is(400, 3002);
}

/// A process that ends between its COMMIT and the invalidation: the rows change without one.
async fn lists_follow_a_change_whose_process_has_ended(on: On) {
    let site = Site::start(on).await;
    let seller = site.log_in("kakao", 1).await;
    for (path, form) in [
        ("/api/products/mobile-data", data(1)),
        ("/api/products/wifi", spot(2)),
        ("/api/products/hotspot", spot(3)),
    ] {
        let ask = site.ask(Method::POST, path).by(&seller);
        ask.json(&form.unwrap()).send().await.is(200, 0);
    }
    let first = async |kind: &str| {
        let path = format!("/api/products/{kind}?size=5&latitude=37.5&longitude=127");
        let page = site.data(&seller, &path).await;
        page["data"][0].clone()
    };
    for (kind, change, field, expected) in [
        (
            "mobile-data",
            "update product set unit_price = 7 where id = 1",
            "pricePer100MB",
            json!(7),
        ),
        (
            "wifi",
            "update spot set title = 'other' where product_id = 2",
            "title",
            json!("other"),
        ),
        (
            "hotspot",
            "update product set price = 9 where id = 3",
            "price",
            json!(9),
        ),
        (
            "hotspot",
            "update member set name = 'new'",
            "memberName",
            json!("new"),
        ),
        (
            "mobile-data",
            "update member set name = 'newer'",
            "memberName",
            json!("newer"),
        ),
    ] {
        assert_ne!(first(kind).await[field], expected);
        site.sql(change).await;
        eventually(change, async || first(kind).await[field] == expected).await;
    }
    eventually("nothing is left to be done", async || {
        site.number("select count(*) from list_change").await == 0
    })
    .await;
}
