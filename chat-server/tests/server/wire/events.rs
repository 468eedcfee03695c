//! What happens beside a room's log: typing, reading, taking back; and how a message that was
//! taken back looks later.

use std::sync::Arc;
use std::time::Duration;

use chat_server::log::RoomEvent;
use http::Method;
use serde_json::{Value, json as value};
use shared::clock::{Clock as _, ManualClock};
use stomp::{Command, Frame};

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::clock::MovableClock;
use crate::support::raw::Raw;
use crate::wire::start::{body, check_golden, node, receipt, rooms, say, session, subscribe};

/// A member types in a room.
async fn type_in(raw: &mut Raw, room: u32) {
    raw.text(&format!(
        "SEND\ndestination:/pub/{room}/typing\nreceipt:t\n\n{{}}\0"
    ))
    .await;
    receipt(raw, "t").await;
}

/// A request to REST that succeeds.
pub(super) async fn rest(node: &TestNode, member: i64, method: Method, path: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("http://{}{path}", node.address));
    let request = request.bearer_auth(node.token(member));
    let answer = request
        .timeout(crate::support::PATIENCE)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
}

async fn read_up_to(node: &TestNode, member: i64, seq: u64) {
    let path = format!("/api/chat-messages/{}/read-status", id(seq));
    rest(node, member, Method::POST, &path).await;
}

async fn take_back(node: &TestNode, member: i64, seq: u64) {
    let path = format!("/api/chat-messages/{}", id(seq));
    rest(node, member, Method::DELETE, &path).await;
}

/// The id of a message of room 1.
fn id(seq: u64) -> u64 {
    (1 << 22) + seq
}

/// The next event, without its time.
async fn event(raw: &mut Raw) -> Value {
    let frame = raw.expect(Command::Message).await;
    let mut event = json(&frame);
    assert!(event["at"].is_string(), "{event}");
    event.as_object_mut().unwrap().remove("at");
    event
}

#[tokio::test]
async fn events_look_as_agreed() {
    let node = TestNode::start_by(Arc::new(MovableClock::new()), &[]).await;
    rooms(&node).await;
    let mut writer = session(&node, 1).await;
    let mut raw = session(&node, 2).await;
    subscribe(&mut raw, "s", "/sub/1/events", "").await;
    type_in(&mut writer, 1).await;
    say(&mut writer, "x").await;
    read_up_to(&node, 2, 1).await;
    take_back(&node, 1, 1).await;
    for (golden, message_id) in [
        ("event_typing.json", "e1"),
        ("event_read.json", "e2"),
        ("event_deleted.json", "e3"),
    ] {
        let event = raw.expect(Command::Message).await;
        check_golden(golden, body(&event));
        let headers = event.headers().take(4).collect::<Vec<_>>();
        let expected = [
            ("subscription", "s"),
            ("destination", "/sub/1/events"),
            ("message-id", message_id),
            ("content-type", "application/json"),
        ];
        assert_eq!(headers, expected);
    }
}

#[tokio::test]
async fn changes_of_presence_look_as_agreed_and_end_no_subscription() {
    let clock = Arc::new(MovableClock::new());
    let node = TestNode::start_by(clock, &[]).await;
    rooms(&node).await;
    let mut raw = session(&node, 2).await;
    subscribe(&mut raw, "s", "/sub/1/events", "").await;
    let (room, member_id) = (1_u64.try_into().unwrap(), 1_u64.try_into().unwrap());
    for (event, golden) in [
        (RoomEvent::Offline { member_id }, "event_offline.json"),
        (RoomEvent::Online { member_id }, "event_online.json"),
    ] {
        node.node.services.hub.publish_event(room, event);
        let event = raw.expect(Command::Message).await;
        check_golden(golden, body(&event));
    }
}

#[tokio::test]
async fn a_message_looks_as_agreed() {
    let node = TestNode::start_by(Arc::new(MovableClock::new()), &[]).await;
    rooms(&node).await;
    let mut raw = session(&node, 1).await;
    say(&mut raw, "\\\"안녕\\\" 하세요\\n").await;
    subscribe(&mut raw, "a", "/sub/1", "resume-after:0\n").await;
    let message = raw.expect(Command::Message).await;
    check_golden("message.json", body(&message));
    take_back(&node, 1, 1).await;
    subscribe(&mut raw, "b", "/sub/1", "resume-after:0\n").await;
    let message = raw.expect(Command::Message).await;
    check_golden("message_deleted.json", body(&message));
}

#[tokio::test]
async fn typing_is_passed_on_at_most_every_two_seconds() {
    // It stands still between the steps, so that they are exact; no timer is due meanwhile.
    let clock = Arc::new(ManualClock::new(MovableClock::new().unix_millis()));
    let node = TestNode::start_by(clock.clone(), &[]).await;
    rooms(&node).await;
    let mut writer = session(&node, 1).await;
    let mut raw = session(&node, 2).await;
    subscribe(&mut raw, "s", "/sub/1/events", "").await;
    for (pause_ms, is_passed_on) in [(0, true), (1, false), (1_998, false), (1, true), (1, false)] {
        clock.advance(Duration::from_millis(pause_ms));
        // Typing elsewhere changes nothing here.
        type_in(&mut writer, 1).await;
        type_in(&mut writer, 2).await;
        type_in(&mut writer, 1).await;
        node.node.services.hub.publish_event(
            1_i64.try_into().unwrap(),
            RoomEvent::Joined {
                member_id: 9_i64.try_into().unwrap(),
            },
        );
        if is_passed_on {
            assert_eq!(
                event(&mut raw).await,
                value!({"type": "typing", "memberId": 1})
            );
        }
        assert_eq!(
            event(&mut raw).await,
            value!({"type": "joined", "memberId": 9})
        );
    }
}

#[tokio::test]
async fn a_read_mark_is_told_when_it_moves() {
    let node = node(&[]).await;
    let mut writer = session(&node, 1).await;
    say(&mut writer, "a").await;
    say(&mut writer, "b").await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/1/events", "").await;
    for seq in [2, 1, 2] {
        read_up_to(&node, 2, seq).await;
    }
    take_back(&node, 1, 1).await;
    let read = value!({"type": "read", "memberId": 2, "upTo": id(2)});
    assert_eq!(event(&mut raw).await, read);
    let deleted = value!({"type": "deleted", "memberId": 1, "chatMessageId": id(1)});
    assert_eq!(event(&mut raw).await, deleted);
}

/// A message of room 1 that was taken back.
fn check_deleted(message: &Frame, seq: u64) {
    assert_eq!(message.header("seq"), Some(&*seq.to_string()));
    assert_eq!(message.header("deleted"), Some("true"));
    let body = json(message);
    assert_eq!(
        (&body["message"], &body["deleted"]),
        (&"".into(), &true.into())
    );
    assert_eq!(body["chatMessageId"], id(seq));
}

#[tokio::test]
async fn a_message_taken_back_keeps_its_place_without_its_text() {
    let first = node(&[]).await;
    let mut writer = session(&first, 1).await;
    // Nobody follows the room: what comes of this one is read from the store.
    say(&mut writer, "secret").await;
    take_back(&first, 1, 1).await;
    let mut follower = session(&first, 2).await;
    subscribe(&mut follower, "s", "/sub/1", "").await;
    // Somebody does: these two are in the ring.
    say(&mut writer, "secret").await;
    say(&mut writer, "kept").await;
    for _ in 0..2 {
        let live = follower.expect(Command::Message).await;
        assert_eq!(live.header("deleted"), None);
    }
    take_back(&first, 1, 2).await;
    let mut late = session(&first, 2).await;
    check_history(&mut late).await;
    for raw in [writer, follower, late] {
        drop(raw);
    }
    // And all of it from the store of a node that never had a ring.
    let second = TestNode::start_in(first.stop().await, &[]).await;
    rooms(&second).await;
    check_history(&mut session(&second, 2).await).await;
}

/// Two messages that were taken back and one that was not, wherever the subscription begins.
async fn check_history(raw: &mut Raw) {
    for (name, begin, first) in [
        ("a", "resume-after:0\n".to_owned(), 1),
        ("b", "history:2\n".to_owned(), 2),
        ("c", format!("resume-after:{}\n", id(1)), 2),
    ] {
        subscribe(raw, name, "/sub/1", &begin).await;
        for seq in first..=2 {
            check_deleted(&raw.expect(Command::Message).await, seq);
        }
        let kept = raw.expect(Command::Message).await;
        assert_eq!(
            (kept.header("seq"), kept.header("deleted")),
            (Some("3"), None)
        );
        assert_eq!(json(&kept)["message"], "kept");
    }
}
