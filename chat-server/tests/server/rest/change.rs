//! Rooms that the market and operators make and change.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::rest::marks::Listener;
use crate::rest::site::{Site, group, pair};

async fn members(site: &Site, by: u64, room: u64) -> (u64, Vec<u64>) {
    let answer = site
        .get(by, &format!("/api/chat-room/{room}/members"))
        .await;
    let body = answer.json();
    let rows = body["data"].as_array().into_iter().flatten();
    let ids = rows.map(|row| row["memberId"].as_u64().unwrap()).collect();
    (answer.code(), ids)
}

/// Putting this room gives this status and code.
async fn check(site: &Site, room: u64, body: Value, expected: (u16, u64)) {
    let answer = site.put(room, body.clone()).await;
    assert_eq!((answer.status, answer.code()), expected, "{body}");
    if expected.0 == 200 {
        assert_eq!(answer.json()["data"]["chatRoomId"], room);
    }
}

#[tokio::test]
async fn putting_a_room_again_is_as_good_as_once() {
    let site = Site::start().await;
    check(&site, 1, pair(7, 1, 2), (200, 0)).await;
    site.say(1, 2, "안녕").await;
    let before = site.data(1, "/api/chat-room").await;
    site.wait(Duration::from_secs(60));
    let listener = Listener::new(&site, 1).await;
    check(&site, 1, pair(7, 1, 2), (200, 0)).await;
    assert_eq!(site.data(1, "/api/chat-room").await, before);
    assert_eq!(listener.heard(), [Value::Null; 0]);
}

#[tokio::test]
async fn names_change_and_conversations_do_not() {
    let site = Site::start().await;
    check(&site, 1, pair(7, 1, 2), (200, 0)).await;
    let mut renamed = pair(7, 1, 2);
    renamed["members"][1]["name"] = json!("새 이름");
    renamed["product"]["endTime"] = json!("23:00:00");
    check(&site, 1, renamed, (200, 0)).await;
    let row = site.data(1, "/api/chat-room").await["data"][0].clone();
    assert_eq!(
        (&row["senderName"], &row["endTime"]),
        (&json!("새 이름"), &json!("23:00:00"))
    );
    for other in [pair(8, 1, 2), pair(7, 2, 1), pair(7, 1, 3), group(&[1, 2])] {
        check(&site, 1, other, (409, 8010)).await;
    }
    check(&site, 2, group(&[1, 2]), (200, 0)).await;
    check(&site, 2, pair(7, 1, 2), (409, 8010)).await;
}

#[tokio::test]
async fn rooms_that_cannot_be_are_refused() {
    let site = Site::start().await;
    let many: Vec<u64> = (1..=1_001).collect();
    let mut nameless = group(&[1]);
    nameless["members"][0]["name"] = json!("");
    let mut bought = group(&[1, 2]);
    bought["product"] = pair(7, 1, 2)["product"].clone();
    for body in [
        group(&[]),
        group(&many),
        group(&[1, 1]),
        group(&[0]),
        nameless,
        bought,
    ] {
        check(&site, 1, body, (400, 1006)).await;
    }
    let thousand: Vec<u64> = (1..=1_000).collect();
    check(&site, 1, group(&thousand), (200, 0)).await;
    let mut extra = group(&[1]);
    extra["unknown"] = json!({"ignored": true});
    check(&site, 2, extra, (200, 0)).await;
    check(&site, 0, group(&[1]), (400, 1006)).await;
}

#[tokio::test]
async fn who_joins_and_leaves_is_told() {
    let site = Site::start().await;
    check(&site, 1 << 30, group(&[1, 2]), (200, 0)).await;
    let listener = Listener::new(&site, 1 << 30).await;
    check(&site, 1 << 30, group(&[2, 3]), (200, 0)).await;
    let at = "2025-08-07T12:34:56.789";
    assert_eq!(
        listener.heard(),
        [
            json!({"type": "joined", "memberId": 3, "at": at}),
            json!({"type": "left", "memberId": 1, "at": at}),
        ]
    );
    assert_eq!(members(&site, 3, 1 << 30).await, (0, vec![2, 3]));
    assert_eq!(members(&site, 1, 1 << 30).await, (8002, vec![]));
}

#[tokio::test]
async fn new_rooms_get_ids_of_their_own() {
    let site = Site::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let ask = site.ask(Method::POST, "/internal/rooms").by_service();
        let answer = ask.body(group(&[1, 2]).to_string()).send().await;
        let id = answer.json()["data"]["chatRoomId"].as_u64().unwrap();
        assert!((1 << 30..1 << 31).contains(&id), "{id}");
        assert!(seen.insert(id), "{id}");
        assert_eq!(members(&site, 1, id).await, (0, vec![1, 2]));
    }
    // Another node draws from another sequence.
    let other = site.second().await;
    let ask = other.ask(Method::POST, "/internal/rooms").by_service();
    let answer = ask.body(group(&[1]).to_string()).send().await;
    let id = answer.json()["data"]["chatRoomId"].as_u64().unwrap();
    assert!(seen.insert(id), "{id}");
}

/// The other node hears nothing of the change and has the room in its cache.
#[tokio::test]
async fn a_new_member_is_not_turned_away_elsewhere() {
    let site = Site::start().await;
    let other = site.second().await;
    check(&site, 1 << 30, group(&[1]), (200, 0)).await;
    assert_eq!(members(&other, 1, 1 << 30).await, (0, vec![1]));
    check(&site, 1 << 30, group(&[1, 2]), (200, 0)).await;
    // A copy of under a second is believed, an older one is not.
    assert_eq!(members(&other, 2, 1 << 30).await, (8002, vec![]));
    site.wait(Duration::from_millis(1_001));
    assert_eq!(members(&other, 2, 1 << 30).await, (0, vec![1, 2]));
}

#[tokio::test]
async fn a_room_is_there_as_soon_as_it_is_made() {
    let site = Site::start().await;
    let other = site.second().await;
    assert_eq!(members(&other, 1, 1).await, (8001, vec![]));
    check(&site, 1, group(&[1]), (200, 0)).await;
    assert_eq!(members(&other, 1, 1).await, (0, vec![1]));
}
