//! A member's inbox: alarms and notices of one log, on two destinations.

use std::sync::Arc;

use chat_server::log::{Draft, Kind, Topic, Uid};
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
