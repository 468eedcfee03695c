//! Reading marks, and taking messages back.

use std::sync::Arc;
use std::time::Duration;

use chat_server::hub::{Following, Part};
use chat_server::log::Topic;
use chat_server::wake_queue::{ConnectionEvent, WakeQueue};
use http::Method;
use serde_json::{Value, json};

use crate::rest::site::{Site, message, room_id};

/// A subscriber to the events of a room.
pub(crate) struct Listener {
    wake_queue: Arc<WakeQueue>,
    _following: Following,
}

impl Listener {
    pub(crate) async fn new(site: &Site, room: u64) -> Self {
        let wake_queue = Arc::new(WakeQueue::default());
        let topic = Topic::Room(room_id(room));
        let following = site
            .hub
            .follow(topic, Part::Events, Arc::clone(&wake_queue), 0);
        Self {
            _following: following.await.unwrap(),
            wake_queue,
        }
    }

    /// What happened since.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let control = self.wake_queue.take(&mut Vec::new()).into_iter();
        let events = control.filter_map(|event| match event {
            ConnectionEvent::Event { body, .. } => Some(serde_json::from_slice(&body).unwrap()),
            // For the connection of the member that left; the other members get the event.
            ConnectionEvent::Left { .. } => None,
            other @ (ConnectionEvent::Stored { .. }
            | ConnectionEvent::Migrate(_)
            | ConnectionEvent::Close(_)) => {
                panic!("{other:?}")
            }
        });
        events.collect()
    }
}

async fn mark(site: &Site, member: u64, seq: u64) {
    let path = format!("/api/chat-messages/{}/read-status", message(1, seq));
    let answer = site.ask(Method::POST, &path).by(member).send().await;
    assert_eq!((answer.status, answer.code()), (200, 0));
}

async fn delete(site: &Site, member: u64, seq: u64) -> (u16, u64) {
    let path = format!("/api/chat-messages/{}", message(1, seq));
    let answer = site.ask(Method::DELETE, &path).by(member).send().await;
    (answer.status, answer.code())
}

#[tokio::test]
async fn marks_go_forward_and_are_told_once() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    for _ in 0..3 {
        site.say(1, 2, "안녕").await;
    }
    let listener = Listener::new(&site, 1).await;
    let read = |seq| {
        json!({"type": "read", "memberId": 1, "upTo": message(1, seq),
            "at": "2025-08-07T12:34:56.789"})
    };
    mark(&site, 1, 2).await;
    assert_eq!(listener.heard(), [read(2)]);
    mark(&site, 1, 2).await;
    mark(&site, 1, 1).await;
    assert_eq!(listener.heard(), [Value::Null; 0]);
    mark(&site, 1, 3).await;
    assert_eq!(listener.heard(), [read(3)]);
    let page = site.data(1, "/api/chat-room").await;
    assert_eq!(page["data"][0]["unreadCount"], 0);
}

#[tokio::test]
async fn a_mark_past_the_end_is_refused() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    site.say(1, 2, "안녕").await;
    let path = format!("/api/chat-messages/{}/read-status", message(1, 2));
    let answer = site.ask(Method::POST, &path).by(1).send().await;
    assert_eq!((answer.status, answer.code()), (400, 8004));
    site.say(1, 2, "안녕").await;
    let page = site.data(1, "/api/chat-room").await;
    assert_eq!(page["data"][0]["unreadCount"], 2);
}

#[tokio::test]
async fn ones_own_message_can_be_taken_back_for_five_minutes() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    site.say(1, 1, "하나").await;
    site.say(1, 1, "둘").await;
    let listener = Listener::new(&site, 1).await;
    assert_eq!(delete(&site, 2, 1).await, (403, 1003));
    assert_eq!(delete(&site, 1, 3).await, (400, 8004));
    assert_eq!(listener.heard(), [Value::Null; 0]);

    site.wait(Duration::from_secs(300));
    assert_eq!(delete(&site, 1, 1).await, (200, 0));
    let event = json!({"type": "deleted", "memberId": 1, "chatMessageId": message(1, 1),
        "at": "2025-08-07T12:39:56.789"});
    assert_eq!(listener.heard(), [event]);
    site.wait(Duration::from_millis(1));
    assert_eq!(delete(&site, 1, 2).await, (403, 1003));
    // What is gone already is gone, however late.
    assert_eq!(delete(&site, 1, 1).await, (200, 0));

    let page = site.data(2, "/api/chat-room/1/history").await;
    let texts: Vec<_> = page["data"].as_array().unwrap().iter().collect();
    assert_eq!(texts[0]["message"], "둘");
    assert_eq!(
        (&texts[1]["message"], &texts[1]["deleted"]),
        (&json!(""), &json!(true))
    );
}
