//! Events of the market: one push per event and member.

use fakes::fcm::Fault;
use http::Method;
use serde_json::{Value, json};
use shared::clock::LocalDateTime;

use super::outside::{Outside, done, save};
use crate::support::client::Client;
use crate::support::{Site, TestNode, eventually};

/// Member 1 buys of member 2.
fn trade(event_id: &str) -> Value {
    json!({
        "v": 1, "eventId": event_id, "kind": "trade.completed", "aggregate": "trade:9",
        "aggregateSeq": 1, "occurredAt": "2025-08-07T12:34:56.789", "members": [1, 2],
        "data": {
            "tradeId": 9, "tradeType": "PURCHASE_MOBILE_SINGLE", "buyerId": 1, "price": 1_300,
            "dataAmount": 1.3,
            "sales": [{
                "tradeId": 10, "sellerId": 2, "productId": 7, "price": 1_300, "fee": 30,
                "dataAmount": 1.3,
            }],
        },
    })
}

async fn post(node: &TestNode, events: &[Value]) {
    let posted_at = LocalDateTime::from_unix(node.clock.unix_millis()).to_string();
    let post = json!({ "postedAt": posted_at, "events": events });
    let post = serde_json::from_value(post).unwrap();
    assert_eq!(node.node.events().take(post).await, Ok(events.len()));
}

async fn notified(node: &TestNode, member: i64) -> usize {
    let request = (Method::GET, "/api/notifications");
    let listed = done(node, member, request, json!(null)).await;
    listed.as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_posted_again_to_every_node_is_pushed_once() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let (a, b) = (outside.node(&site).await, outside.node(&site).await);
    save(&a, 1, "buyer").await;
    save(&a, 2, "seller").await;
    let connected = Client::login(b.address, &b.token(1)).await;
    for node in [&a, &b, &a, &b] {
        post(node, &[trade("e1")]).await;
    }
    // The pushes of two nodes have no order.
    eventually("the seller got the first", || outside.pushed().len() == 1).await;
    post(&b, &[trade("e1"), trade("e2")]).await;
    eventually("the seller got both", || outside.pushed().len() == 2).await;
    let messages = outside.fcm.messages();
    let ids: Vec<_> = messages.iter().map(|one| &one["data"]["id"]).collect();
    assert_eq!(ids, ["e1", "e2"]);
    assert!(messages.iter().all(|one| one["token"] == "seller"));
    assert_eq!(messages[0]["data"]["kind"], "trade.completed");
    let listed = done(&a, 2, (Method::GET, "/api/notifications"), json!(null)).await;
    let shown = json!({"title": listed[1]["title"], "body": listed[1]["body"]});
    assert_eq!(messages[0]["notification"], shown);
    assert_eq!((notified(&a, 1).await, notified(&a, 2).await), (2, 2));
    assert_eq!(outside.fcm.requests(), 2);
    drop(connected);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_wants_no_news_of_trades_gets_neither_entry_nor_push() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    save(&node, 1, "buyer").await;
    save(&node, 2, "seller").await;
    let put = (Method::PUT, "/api/notifications/preferences");
    done(&node, 1, put.clone(), json!({"trade": "none"})).await;
    done(&node, 2, put, json!({"trade": "live"})).await;
    post(&node, &[trade("e1")]).await;
    assert_eq!((notified(&node, 1).await, notified(&node, 2).await), (0, 1));
    let skipped = &node.node.services.metrics.push.skipped;
    let preference = chat_server::metrics::PushSkip::Preference;
    eventually("the seller is passed over", || skipped.get(preference) == 1).await;
    assert_eq!(outside.fcm.requests(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_6_a_push_service_that_hangs_holds_up_no_event() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    save(&node, 1, "buyer").await;
    outside.fcm.fail_all(Some(Fault::Hang));
    let events: Vec<_> = (0..150)
        .map(|number| trade(&format!("e{number}")))
        .collect();
    post(&node, &events).await;
    // A page each; the seller has no device.
    assert_eq!(
        (notified(&node, 1).await, notified(&node, 2).await),
        (100, 100)
    );
    node.stop().await;
}
