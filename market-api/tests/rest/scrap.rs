//! The scrap route, as the page uses it. `tests/products` tests what is quoted.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::site::{Cookies, Site};
use crate::support::On;

on_both! {
    quote_has_the_fields_of_the_first_site_and_more,
    nothing_feasible_is_an_empty_answer_with_the_nearest_amounts,
    invalid_quote_requests_are_refused_with_their_code,
}

const PATH: &str = "/api/trades/mobile-data/scrap";

async fn offer(site: &Site, by: &Cookies, price: i64, amount: f64, split: bool) {
    let form = json!({ "price": price, "dataAmount": amount, "isSplitType": split });
    let ask = site.ask(Method::POST, "/api/products/mobile-data").by(by);
    ask.json(&form).send().await.is(200, 0);
}

async fn quote(site: &Site, by: &Cookies, query: &str) -> Value {
    site.data(by, &format!("{PATH}?{query}")).await
}

async fn quote_has_the_fields_of_the_first_site_and_more(on: On) {
    let site = Site::start(on).await;
    let (one, two) = (
        site.log_in("kakao", 1).await,
        site.log_in("google", 2).await,
    );
    let buyer = site.log_in("kakao", 5).await;
    offer(&site, &one, 500, 0.7, false).await;
    offer(&site, &two, 1_001, 1.0, true).await;
    let quote = quote(&site, &buyer, "dataAmount=0.9").await;
    let whole = json!({
        "productId": 1, "mobileDataId": 1, "memberName": "사람 1", "profileImageUrl": null,
        "price": 500, "purchasePrice": 500, "remainAmount": 0.7, "purchaseAmount": 0.7,
        "pricePer100MB": 72, "splitType": false, "updatedAt": "2026-11-15T12:00:00.000",
    });
    let part = |units: f64, price: i64| {
        json!({
            "productId": 2, "mobileDataId": 2, "memberName": "사람 2", "profileImageUrl": null,
            "price": 1_010, "purchasePrice": price, "remainAmount": 1.0, "purchaseAmount": units,
            "pricePer100MB": 101, "splitType": true, "updatedAt": "2026-11-15T12:00:00.000",
        })
    };
    assert_eq!(quote["totalAmount"], json!(0.9));
    assert_eq!(quote["totalPrice"], json!(702));
    assert_eq!(quote["combinations"], json!([whole, part(0.2, 202)]));
    assert_eq!(quote["expiresAt"], json!("2026-11-15T12:01:00.000"));
    assert_eq!(
        [&quote["nearestBelow"], &quote["nearestAbove"]],
        [&Value::Null; 2]
    );
    let candidates = quote["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{quote}");
    for field in ["totalAmount", "totalPrice", "combinations", "quoteId"] {
        assert_eq!(candidates[0][field], quote[field], "{field}");
    }
    let dearer = &candidates[1];
    assert_eq!(dearer["combinations"], json!([part(0.9, 909)]));
    assert_ne!(dearer["quoteId"], quote["quoteId"]);
    // From the first offer it takes 0.7 and 0.2, from the second one 0.9: the cheaper one.
    assert_eq!(quote["greedy"]["totalPrice"], json!(702));
    // From one seller only.
    let quote = self::quote(&site, &buyer, "dataAmount=0.9&sellers=1").await;
    assert_eq!(quote["totalPrice"], json!(909));
    // The other way round a member's own offers are missing.
    let quote = self::quote(&site, &one, "dataAmount=0.9").await;
    assert_eq!(quote["candidates"].as_array().unwrap().len(), 1);
}

async fn nothing_feasible_is_an_empty_answer_with_the_nearest_amounts(on: On) {
    let site = Site::start(on).await;
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 5).await);
    let nothing = quote(&site, &buyer, "dataAmount=1").await;
    assert_eq!(nothing["totalAmount"], json!(0.0));
    assert_eq!(nothing["totalPrice"], json!(0));
    for list in ["combinations", "candidates"] {
        assert_eq!(nothing[list], json!([]), "{list}");
    }
    for field in ["quoteId", "greedy", "nearestBelow", "nearestAbove"] {
        assert_eq!(nothing.get(field), Some(&Value::Null), "{field}");
    }
    offer(&site, &seller, 500, 0.5, false).await;
    offer(&site, &seller, 900, 0.8, false).await;
    let quote = async |query: &str| quote(&site, &buyer, query).await;
    let found = quote("dataAmount=1.0").await;
    assert_eq!(found["candidates"], json!([]));
    assert_eq!(
        [&found["nearestBelow"], &found["nearestAbove"]],
        [&json!(0.8), &json!(1.3)]
    );
    let found = quote("dataAmount=1.0&atLeast=true").await;
    assert_eq!(found["totalAmount"], json!(1.3));
    assert_eq!(found["totalPrice"], json!(1_400));
    let found = quote("dataAmount=1.0&atLeast=true&sellers=1").await;
    assert_eq!(found["totalAmount"], json!(1.3));
    let found = quote("dataAmount=0.5&atLeast=false").await;
    assert_eq!(found["totalAmount"], json!(0.5));
}

async fn invalid_quote_requests_are_refused_with_their_code(on: On) {
    let site = Site::start(on).await;
    let buyer = site.log_in("kakao", 1).await;
    for (query, code) in [
        ("", 1006),
        ("?dataAmount=", 1006),
        ("?dataAmount=0", 1006),
        ("?dataAmount=-1", 1006),
        ("?dataAmount=1.25", 1006),
        ("?dataAmount=NaN", 1006),
        ("?dataAmount=1e0", 1006),
        ("?dataAmount=1&dataAmount=1", 1006),
        ("?dataAmount=1&atLeast=1", 1006),
        ("?dataAmount=1&sellers=0", 1006),
        ("?dataAmount=1&sellers=-1", 1006),
        ("?dataAmount=1&sellers=70000", 1006),
        ("?dataAmount=2.1", 4007),
        ("?dataAmount=6553.5", 4007),
        ("?dataAmount=6553.6", 1006),
    ] {
        let ask = site.ask(Method::GET, &format!("{PATH}{query}")).by(&buyer);
        ask.send().await.is(400, code);
    }
    let id = site.id(&buyer).await;
    site.sql(&format!(
        "insert into member_month (member_id, month, providing, bought) values ({id}, 202611, 100, 12)"
    ))
    .await;
    let ask = async |amount: &str| {
        let path = format!("{PATH}?dataAmount={amount}");
        site.ask(Method::GET, &path).by(&buyer).send().await
    };
    ask("0.9").await.is(400, 4007);
    ask("0.8").await.is(200, 0);
}
