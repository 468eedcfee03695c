//! Acknowledging: the window, ACK and NACK.

use std::collections::VecDeque;

use stomp::{Command, Frame};

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::start::{body, check_golden, node, receipt, session, subscribe};

/// Messages that may wait for an ACK.
const WINDOW: u64 = 1_000;

/// Stores this many messages in room 1.
async fn fill(node: &TestNode, count: u64) {
    let mut raw = session(node, 1).await;
    let mut left = (1..=count).collect::<VecDeque<_>>();
    while !left.is_empty() {
        let some = left.drain(..left.len().min(500));
        let frame =
            |n| format!("SEND\ndestination:/pub/1\nreceipt:{n}\n\n{{\"message\":\"{n}\"}}\0");
        let frames = some.map(frame).collect::<Vec<_>>();
        raw.text(&frames.concat()).await;
        for _ in frames {
            raw.expect(Command::Receipt).await;
        }
    }
}

/// Room 1 with this many messages, and a session of member 2 that subscribes to all of them and to
/// errors.
async fn reading(count: u64, mode: &str) -> (TestNode, Raw) {
    let node = node(&[]).await;
    fill(&node, count).await;
    let mut raw = session(&node, 2).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    let more = format!("ack:{mode}\nresume-after:0\n");
    subscribe(&mut raw, "s", "/sub/1", &more).await;
    (node, raw)
}

/// The seqs that come before the receipt of a frame sent now.
async fn seqs_until_quiet(raw: &mut Raw) -> Vec<u64> {
    raw.text("UNSUBSCRIBE\nid:none\nreceipt:quiet\n\n\0").await;
    let mut seqs = Vec::new();
    loop {
        let frame = raw.frame().await;
        if frame.command() == Command::Receipt {
            return seqs;
        }
        seqs.push(seq(&frame));
    }
}

fn seq(message: &Frame) -> u64 {
    message.header("seq").unwrap().parse().unwrap()
}

/// The next so many messages, which are those of these seqs, in their order.
async fn messages(raw: &mut Raw, seqs: std::ops::RangeInclusive<u64>) -> Vec<Frame> {
    let mut messages = Vec::new();
    for expected in seqs {
        let message = raw.expect(Command::Message).await;
        assert_eq!(seq(&message), expected);
        messages.push(message);
    }
    messages
}

/// ACK or NACK of a message, not waited for.
async fn answer(raw: &mut Raw, command: &str, message: &Frame) {
    let ack = message.header("ack").unwrap();
    raw.text(&format!("{command}\nid:{ack}\n\n\0")).await;
}

#[tokio::test]
async fn a_full_window_pauses_a_subscription_and_a_cumulative_ack_empties_it() {
    let (_node, mut raw) = reading(WINDOW + 300, "client").await;
    let first = messages(&mut raw, 1..=WINDOW).await;
    assert_eq!(seqs_until_quiet(&mut raw).await, [0; 0]);
    answer(&mut raw, "ACK", &first[99]).await;
    messages(&mut raw, WINDOW + 1..=WINDOW + 100).await;
    assert_eq!(seqs_until_quiet(&mut raw).await, [0; 0]);
    answer(&mut raw, "ACK", first.last().unwrap()).await;
    messages(&mut raw, WINDOW + 101..=WINDOW + 300).await;
}

#[tokio::test]
async fn an_individual_ack_makes_room_for_one() {
    let (_node, mut raw) = reading(WINDOW + 3, "client-individual").await;
    let first = messages(&mut raw, 1..=WINDOW).await;
    for (acked, next) in [(499, WINDOW + 1), (0, WINDOW + 2)] {
        answer(&mut raw, "ACK", &first[acked]).await;
        messages(&mut raw, next..=next).await;
        assert_eq!(seqs_until_quiet(&mut raw).await, [0; 0]);
    }
}

#[tokio::test]
async fn live_messages_wait_for_room_too() {
    let (node, mut raw) = reading(WINDOW, "client").await;
    let first = messages(&mut raw, 1..=WINDOW).await;
    let mut other = session(&node, 2).await;
    subscribe(&mut other, "s", "/sub/1", "").await;
    fill(&node, 2).await;
    messages(&mut other, WINDOW + 1..=WINDOW + 2).await;
    assert_eq!(seqs_until_quiet(&mut raw).await, [0; 0]);
    answer(&mut raw, "ACK", &first[1]).await;
    messages(&mut raw, WINDOW + 1..=WINDOW + 2).await;
}

#[tokio::test]
async fn a_refused_message_comes_once_more_and_then_is_an_error() {
    for mode in ["client", "client-individual"] {
        let (_node, mut raw) = reading(2, mode).await;
        let first = messages(&mut raw, 1..=2).await.remove(1);
        assert_eq!(first.header("redelivered"), None);
        answer(&mut raw, "NACK", &first).await;
        if mode == "client" {
            // Cumulative: the one before was refused with it.
            messages(&mut raw, 1..=1).await;
        }
        let again = messages(&mut raw, 2..=2).await.remove(0);
        assert_eq!(again.header("redelivered"), Some("true"));
        assert_eq!(again.header("ack"), first.header("ack"));
        assert_eq!(again.body(), first.body());
        answer(&mut raw, "NACK", &again).await;
        if mode == "client" {
            assert_eq!(json(&raw.frame().await)["code"], 1006);
        }
        let error = raw.expect(Command::Message).await;
        assert_eq!(error.header("destination"), Some("/user/queue/errors"));
        check_golden("error_rejected.json", body(&error));
        // It is settled now.
        answer(&mut raw, "NACK", &again).await;
        let ending = raw.ending().await;
        assert_eq!(ending.error().header("code"), Some("1006"));
    }
}

#[tokio::test]
async fn a_message_that_was_taken_back_comes_again_as_such() {
    let (node, mut raw) = reading(1, "client-individual").await;
    let first = messages(&mut raw, 1..=1).await.remove(0);
    let id = first.header("message-id").unwrap().parse::<u64>().unwrap();
    let rooms = &node.node.services.rooms;
    let (member, message) = (1_i64.try_into().unwrap(), id.try_into().unwrap());
    rooms.delete(member, message).await.unwrap();
    answer(&mut raw, "NACK", &first).await;
    let again = messages(&mut raw, 1..=1).await.remove(0);
    assert_eq!(again.header("redelivered"), Some("true"));
    assert_eq!(again.header("deleted"), Some("true"));
    assert_eq!(json(&again)["message"], "");
}

#[tokio::test]
async fn what_was_not_acknowledged_is_asked_for_by_resume_after() {
    let (node, mut raw) = reading(5, "client").await;
    let first = messages(&mut raw, 1..=5).await;
    answer(&mut raw, "ACK", &first[1]).await;
    raw.text("DISCONNECT\nreceipt:bye\n\n\0").await;
    receipt(&mut raw, "bye").await;
    let mut raw = session(&node, 2).await;
    let mark = first[1].header("message-id").unwrap();
    let more = format!("ack:client\nresume-after:{mark}\n");
    subscribe(&mut raw, "s", "/sub/1", &more).await;
    let again = messages(&mut raw, 3..=5).await;
    assert!(
        again
            .iter()
            .all(|message| message.header("redelivered").is_none())
    );
}

#[tokio::test]
async fn version_1_1_names_message_and_subscription() {
    let node = node(&[]).await;
    fill(&node, 2).await;
    let mut raw = crate::wire::start::connect(&node, 2, "accept-version:1.1\n")
        .await
        .0;
    subscribe(&mut raw, "s", "/sub/1", "ack:client\nresume-after:0\n").await;
    for command in ["NACK", "ACK"] {
        let message = raw.expect(Command::Message).await;
        assert_eq!(message.header("ack"), None, "only 1.2 has it");
        let id = message.header("message-id").unwrap();
        raw.text(&format!(
            "{command}\nsubscription:s\nmessage-id:{id}\nreceipt:r\n\n\0"
        ))
        .await;
        while raw.frame().await.command() != Command::Receipt {}
    }
}

#[tokio::test]
async fn an_ack_in_a_transaction_counts_at_its_commit() {
    let (_node, mut raw) = reading(WINDOW + 1, "client").await;
    let first = messages(&mut raw, 1..=WINDOW).await;
    let ack = first[0].header("ack").unwrap();
    raw.text(&format!(
        "BEGIN\ntransaction:t\n\n\0ACK\nid:{ack}\ntransaction:t\nreceipt:acked\n\n\0"
    ))
    .await;
    assert_eq!(seqs_until_quiet(&mut raw).await, [0; 0]);
    raw.text("COMMIT\ntransaction:t\nreceipt:done\n\n\0").await;
    receipt(&mut raw, "acked").await;
    receipt(&mut raw, "done").await;
    messages(&mut raw, WINDOW + 1..=WINDOW + 1).await;
}
