//! Alarms and notifications reach members on every node, whichever node the market posts to.
//!
//! The first server gave alarms only to the sockets of the process that had the timer.

use serde_json::json as value;
use shared::clock::LocalDateTime;

use crate::support::client::{Client, json};
use crate::support::{Site, TestNode};

/// The start of time that member 1 has booked of member 2.
async fn post_start(node: &TestNode, trade: u64) {
    let post = value!({
        "postedAt": LocalDateTime::from_unix(node.clock.unix_millis()),
        "events": [{
            "v": 1, "eventId": format!("start-of-{trade}"), "kind": "wifi.started",
            "aggregate": format!("trade:{trade}"), "aggregateSeq": 1,
            "occurredAt": "2025-08-07T12:30:00.000", "members": [1, 2],
            "data": {
                "tradeId": trade, "buyerId": 1, "productId": 8, "sellerId": 2,
                "startTime": "2025-08-07T12:30:00.000", "endTime": "2025-08-07T13:00:00.000",
            },
        }],
    });
    let post = serde_json::from_str(&post.to_string()).unwrap();
    assert_eq!(node.node.events().take(post).await, Ok(1));
}

#[tokio::test]
async fn defect_23_an_alarm_reaches_its_member_on_every_node() {
    let site = Site::new();
    let (one, other) = (site.node(&[]).await, site.node(&[]).await);
    let mut clients = Vec::new();
    for node in [&one, &other] {
        let mut alarms = Client::login(node.address, &node.token(1)).await;
        alarms.subscribe("a", "/sub/alarm/1", &[]).await;
        let mut notices = Client::login(node.address, &node.token(2)).await;
        notices
            .subscribe("n", "/user/queue/notifications", &[])
            .await;
        clients.push((alarms, notices));
    }
    for (trade, posted_to) in [(11, &one), (12, &other)] {
        post_start(posted_to, trade).await;
        for (alarms, notices) in &mut clients {
            let is_message = |frame: &stomp::Frame| frame.command() == stomp::Command::Message;
            let alarm = json(&alarms.until(is_message).await);
            assert_eq!(alarm["tradeId"], trade, "{alarm}");
            let notice = json(&notices.until(is_message).await);
            assert_eq!(notice["data"]["tradeId"], trade, "{notice}");
        }
    }
}
