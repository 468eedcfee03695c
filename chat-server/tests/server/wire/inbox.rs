//! A member's inbox: alarms and notices of one log, on two destinations.

use std::sync::Arc;

use chat_server::log::{Draft, Kind, Topic, Uid};
use serde_json::Value;
use shared::clock::{Clock, LocalDateTime};
use shared::ids::MemberId;
use stomp::{Command, Frame};

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::clock::MovableClock;
use crate::support::raw::Raw;
use crate::wire::start::{body, check_golden, node, session, subscribe};

/// Puts entries of these kinds into the inbox of member 1, one after the other.
async fn store(node: &TestNode, kinds: &[Kind]) {
    let topic = Topic::Inbox(MemberId::try_from(1_i64).unwrap());
    for kind in kinds {
        let text = if *kind == Kind::Alarm {
            r#"{"type":"START","tradeId":7}"#
        } else {
            r#"{"kind":"trade.completed","title":"판매 완료","body":"1GB","data":{"tradeId":7}}"#
        };
        let draft = Draft {
            uid: Uid(rand::random()),
            kind: *kind,
            sender: None,
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: text.into(),
            sent_at: node.clock.unix_millis(),
        };
        let sent = node.node.services.appender.send(topic, vec![draft]).await;
        sent.unwrap();
    }
}

const ALARM: Kind = Kind::Alarm;
const NOTICE: Kind = Kind::Notice;

/// The id of an entry of the inbox of member 1.
fn id(seq: u64) -> String {
    ((1 << 22) + seq).to_string()
}

/// The next messages have these positions.
async fn expect_seqs(raw: &mut Raw, seqs: &[u64]) -> Vec<Frame> {
    let mut messages = Vec::new();
    for seq in seqs {
        let message = raw.expect(Command::Message).await;
        assert_eq!(message.header("seq"), Some(&*seq.to_string()));
        assert_eq!(message.header("message-id"), Some(&*id(*seq)));
        messages.push(message);
    }
    messages
}

const ALARMS: &str = "/sub/alarm/1";
const NOTICES: &str = "/user/queue/notifications";

#[tokio::test]
async fn a_notice_and_an_alarm_look_as_agreed() {
    let node = TestNode::start_by(Arc::new(MovableClock::new()), &[]).await;
    let mut notices = session(&node, 1).await;
    subscribe(&mut notices, "n", NOTICES, "").await;
    let mut alarms = session(&node, 1).await;
    subscribe(&mut alarms, "a", ALARMS, "").await;
    store(&node, &[NOTICE, ALARM]).await;
    let notice = expect_seqs(&mut notices, &[1]).await.remove(0);
    check_golden("notice.json", body(&notice));
    let alarm = expect_seqs(&mut alarms, &[2]).await.remove(0);
    assert_eq!(body(&alarm), r#"{"type":"START","tradeId":7}"#);
    for (message, destination) in [(&notice, NOTICES), (&alarm, ALARMS)] {
        assert_eq!(message.header("destination"), Some(destination));
        assert_eq!(message.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn ids_on_each_destination_rise_with_gaps() {
    let node = node(&[]).await;
    let mut live = session(&node, 1).await;
    subscribe(&mut live, "n", NOTICES, "").await;
    store(&node, &[NOTICE, ALARM, ALARM, NOTICE, ALARM, NOTICE]).await;
    expect_seqs(&mut live, &[1, 4, 6]).await;
    let mut late = session(&node, 1).await;
    for (name, to, begin, seqs) in [
        ("a", NOTICES, "resume-after:0\n".to_owned(), &[1, 4, 6][..]),
        ("b", ALARMS, "resume-after:0\n".to_owned(), &[2, 3, 5]),
        // A position of the other destination is one of this log, too.
        ("c", NOTICES, format!("resume-after:{}\n", id(2)), &[4, 6]),
        ("d", ALARMS, format!("resume-after:{}\n", id(4)), &[5]),
        ("e", NOTICES, "history:3\n".to_owned(), &[4, 6]),
        ("f", ALARMS, format!("resume-after:{}\n", id(6)), &[]),
    ] {
        let receipt = subscribe(&mut late, name, to, &begin).await;
        assert_eq!(receipt.header("head"), Some(&*id(6)), "{to}");
        assert_eq!(receipt.header("recovered"), Some("true"), "{to} {begin:?}");
        expect_seqs(&mut late, seqs).await;
    }
    let beyond = format!("resume-after:{}\n", id(7));
    let receipt = subscribe(&mut late, "g", ALARMS, &beyond).await;
    assert_eq!(receipt.header("recovered"), Some("false"));
}

#[tokio::test]
async fn notices_are_acknowledged_without_regard_to_alarms() {
    let node = node(&[]).await;
    store(&node, &[NOTICE, ALARM, NOTICE]).await;
    let mut raw = session(&node, 1).await;
    let more = "ack:client\nresume-after:0\n";
    subscribe(&mut raw, "n", NOTICES, more).await;
    let messages = expect_seqs(&mut raw, &[1, 3]).await;
    let ack = messages[1].header("ack").unwrap();
    raw.text(&format!("NACK\nid:{ack}\n\n\0")).await;
    for again in expect_seqs(&mut raw, &[1, 3]).await {
        assert_eq!(again.header("redelivered"), Some("true"));
        assert!(json(&again)["notificationId"].is_u64());
    }
}

#[tokio::test]
async fn the_inbox_of_another_member_stays_unheard() {
    let node = node(&[]).await;
    let mut raw = session(&node, 2).await;
    // One's own queue, by the same name: it is empty.
    let receipt = subscribe(&mut raw, "n", NOTICES, "resume-after:0\n").await;
    assert_eq!(receipt.header("head"), Some("0"));
    store(&node, &[NOTICE, ALARM]).await;
    for to in [NOTICES, ALARMS] {
        let foreign = format!(
            "SUBSCRIBE\nid:x\ndestination:{to}\nreceipt:r\nresume-after:{}\n\n\0",
            id(1)
        );
        let mut raw = session(&node, 2).await;
        raw.text(&foreign).await;
        let ending = raw.ending().await;
        assert_eq!(ending.code, Some(1008), "{to}");
        assert_eq!(ending.error().header("receipt-id"), Some("r"));
    }
    // Nothing came on the open one meanwhile.
    subscribe(&mut raw, "a", "/sub/alarm/2", "resume-after:0\n").await;
}

/// Time that member 1 has booked of member 2, from 12:30 to 13:00 in Korea.
fn booking(event_id: &str, kind: &str) -> Value {
    serde_json::json!({
        "v": 1, "eventId": event_id, "kind": kind, "aggregate": "trade:11", "aggregateSeq": 1,
        "occurredAt": "2025-08-07T12:30:00.000", "members": [1, 2],
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": {
            "tradeId": 11, "buyerId": 1, "productId": 8, "sellerId": 2,
            "startTime": "2025-08-07T12:30:00.000", "endTime": "2025-08-07T13:00:00.000",
        },
    })
}

/// The market posts these events now.
async fn post(node: &TestNode, events: &[Value]) {
    let posted_at = LocalDateTime::from_unix(node.clock.unix_millis()).to_string();
    let post = serde_json::json!({ "postedAt": posted_at, "events": events });
    let post = serde_json::from_str(&post.to_string()).unwrap();
    assert_eq!(node.node.events().take(post).await, Ok(events.len()));
}

fn start() -> Value {
    serde_json::json!({
        "tradeId": 11, "eventState": "START", "memberId": 1,
        "startTime": "12:30:00", "endTime": "13:00:00",
    })
}

fn end() -> Value {
    serde_json::json!({
        "tradeId": 11, "eventState": "END", "memberId": 1,
        "startTime": "12:30:00", "endTime": "13:00:00",
    })
}

#[tokio::test]
async fn booked_time_is_announced_in_the_form_of_the_first_front_end() {
    let node = node(&[]).await;
    let mut alarms = session(&node, 1).await;
    subscribe(&mut alarms, "a", ALARMS, "").await;
    let mut notices = session(&node, 1).await;
    subscribe(&mut notices, "n", NOTICES, "").await;
    post(
        &node,
        &[booking("s", "wifi.started"), booking("e", "wifi.ended")],
    )
    .await;
    let messages = expect_seqs(&mut alarms, &[1, 3]).await;
    assert_eq!([json(&messages[0]), json(&messages[1])], [start(), end()]);
    let messages = expect_seqs(&mut notices, &[2, 4]).await;
    for (message, kind) in messages.iter().zip(["wifi.started", "wifi.ended"]) {
        assert_eq!(json(message)["kind"], kind);
        assert_eq!(json(message)["data"]["tradeId"], 11);
        let trace = message.header("traceparent").unwrap();
        assert!(
            trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
            "{trace}"
        );
    }
}

/// The first server announced a running booking again at the login; it kept its timers in one process.
#[tokio::test]
async fn a_running_booking_is_repeated_at_every_subscribe_until_its_end() {
    let clock = Arc::new(MovableClock::new());
    let first = TestNode::start_by(Arc::clone(&clock) as Arc<dyn Clock>, &[]).await;
    post(&first, &[booking("s", "wifi.started")]).await;
    // Of another process on the same store.
    let folder = first.stop().await;
    let node = TestNode::start_in(folder, &[]).await;
    let mut raw = session(&node, 1).await;
    for name in ["a", "b"] {
        subscribe(&mut raw, name, ALARMS, "").await;
        let repeated = raw.expect(Command::Message).await;
        assert_eq!(json(&repeated), start());
        assert_eq!(repeated.header("replayed"), Some("true"));
        assert_eq!(repeated.header("destination"), Some(ALARMS));
        assert_eq!(repeated.header("seq"), None);
    }
    // One that resumes gets it from the log.
    subscribe(&mut raw, "c", ALARMS, "resume-after:0\n").await;
    let resumed = expect_seqs(&mut raw, &[1]).await.remove(0);
    assert_eq!(
        (json(&resumed), resumed.header("replayed")),
        (start(), None)
    );
    post(&node, &[booking("e", "wifi.ended")]).await;
    for _ in ["a", "b", "c"] {
        assert_eq!(json(&expect_seqs(&mut raw, &[3]).await[0]), end());
    }
    let mut late = session(&node, 1).await;
    subscribe(&mut late, "a", ALARMS, "").await;
    // The relay repeats a batch whose answer it has not received.
    post(
        &node,
        &[booking("s", "wifi.started"), booking("e", "wifi.ended")],
    )
    .await;
    subscribe(&mut late, "b", ALARMS, "").await;
    store(&node, &[ALARM]).await;
    for _ in ["a", "b"] {
        expect_seqs(&mut late, &[5]).await;
    }
}

/// Nothing but the log tells a member what happened meanwhile.
#[tokio::test]
async fn notifications_of_an_offline_member_arrive_in_order_at_the_next_connection() {
    let node = node(&[]).await;
    for nth in 0..3 {
        post(&node, &[booking(&format!("s{nth}"), "wifi.ended")]).await;
    }
    let mut seller = session(&node, 2).await;
    subscribe(&mut seller, "n", NOTICES, "resume-after:0\n").await;
    let messages: Vec<Frame> = [
        raw_message(&mut seller).await,
        raw_message(&mut seller).await,
        raw_message(&mut seller).await,
    ]
    .into();
    let names: Vec<_> = messages
        .iter()
        .map(|one| one.header("client-message-id"))
        .collect();
    assert_eq!(names, [Some("s0"), Some("s1"), Some("s2")]);
}

async fn raw_message(raw: &mut Raw) -> Frame {
    raw.expect(Command::Message).await
}

#[tokio::test]
async fn a_deleted_notification_is_passed_over_by_subscriptions() {
    let node = node(&[]).await;
    store(&node, &[NOTICE, NOTICE, NOTICE]).await;
    let mut live = session(&node, 1).await;
    subscribe(&mut live, "l", NOTICES, "").await;
    let inboxes = &node.node.services.inboxes;
    let member = MemberId::try_from(1_i64).unwrap();
    inboxes
        .delete(member, id(2).parse().unwrap())
        .await
        .unwrap();
    subscribe(&mut live, "a", NOTICES, "resume-after:0\n").await;
    expect_seqs(&mut live, &[1, 3]).await;
}
