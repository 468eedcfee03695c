//! Refusals of `domain.md` 3.6 that no other part of the walk meets: their envelopes and codes.

use reqwest::Method;
use serde_json::{Value, json};

use super::Person;
use super::chatting::Talk;
use super::offering::Offers;

const MISTAKES: [(&str, u64); 8] = [
    ("/api/members/info?memberId=2000000000", 2005),
    (
        "/api/products/mobile-data?size=2&productSortOption=BEST",
        3000,
    ),
    ("/api/products/market-price?productType=CAR", 3001),
    ("/api/products/wifi/2000000000", 3002),
    ("/api/trades/2000000000/receipt", 4000),
    ("/api/products/mobile-data", 1006),
    ("/api/chat-room?size=0", 1006),
    ("/api/selling-products?productState=GONE", 1006),
];

/// Of a member's mistakes, and of what is another's; `sold` is an offer of which a part is sold.
pub(crate) async fn walk(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    offers: &Offers,
    sold: u64,
) {
    for (path, code) in MISTAKES {
        assert_eq!(buyer.refused(Method::GET, path).await, code, "{path}");
    }
    for (kind, other, code) in [
        ("mobile-data", offers.wifi, 3009),
        ("wifi", offers.data, 3010),
    ] {
        let path = format!("/api/products/{kind}/{other}");
        assert_eq!(buyer.refused(Method::GET, &path).await, code, "{path}");
    }
    let path = format!("/api/products/{}", offers.wifi);
    assert_eq!(buyer.refused(Method::DELETE, &path).await, 3004);
    let change = json!({
        "productId": sold, "price": 400, "changedAmount": 0.5, "isSplitType": true,
    });
    let path = "/api/products/mobile-data";
    let changed = seller.refused_with(Method::PUT, path, &change).await;
    assert_eq!(changed, (400, 3015));
    let order = json!({"orderId": "order-of-nothing", "amount": 0});
    let path = "/api/payments/save-amount";
    let saved = buyer.refused_with(Method::POST, path, &order).await;
    assert_eq!(saved, (400, 5002));
}

/// Somebody else reads and writes nothing in a room.
pub(crate) async fn keep_out(stranger: &mut Person<'_>, talk: &Talk) {
    let path = format!("/api/chat-room/{}/history", talk.room);
    assert_eq!(stranger.refused(Method::GET, &path).await, 8002);
    let path = format!("/api/chat-messages/{}/read-status", talk.message);
    assert_eq!(stranger.refused(Method::POST, &path).await, 8002);
    let stomp = stranger.open_chat().await;
    assert_eq!(stomp.say_until_refused(talk.room, "?").await, "8002");
    let mut stomp = stranger.open_chat().await;
    stomp.ask_for(&format!("/sub/{}", talk.room)).await;
    let error = stomp.next().await.expect("ERROR");
    let code: Value = error.header("code").unwrap_or_default().into();
    assert_eq!(code, "8002");
}
