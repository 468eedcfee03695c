//! Rooms of two of whom one has blocked the other: nothing is sent, everything can be read.

use chat_server::members::Separation;
use http::Method;
use serde_json::json as value;
use stomp::Command;

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::events::rest;
use crate::wire::start::{hello, node, receipt, refused, say, session, stored, subscribe};

/// Member 1 blocks member 2, or undoes that; such changes are numbered.
async fn block(node: &TestNode, number: u64, exists: bool) {
    let separated = node.node.services.members.separate(Separation {
        blocker: 1_u64.try_into().unwrap(),
        blocked: 2_u64.try_into().unwrap(),
        exists,
        at: node.clock.unix_millis(),
        number,
    });
    separated.await.unwrap();
}

/// The next frame is this refusal of a send.
async fn check_refused(raw: &mut Raw, destination: &str, receipt: &str) {
    let error = raw.expect(Command::Message).await;
    let expected = value!({
        "code": 8011, "name": "SEPARATED", "message": "One of you has blocked the other.",
        "retryable": false, "destination": destination, "receiptId": receipt,
    });
    assert_eq!(json(&error), expected);
}

#[tokio::test]
async fn message_between_separated_members_is_refused_and_a_listener_of_errors_stays() {
    let node = node(&[]).await;
    let (mut first, mut second) = (session(&node, 1).await, session(&node, 2).await);
    say(&mut first, "before").await;
    for raw in [&mut first, &mut second] {
        subscribe(raw, "e", "/user/queue/errors", "").await;
    }
    block(&node, 1, true).await;
    for raw in [&mut first, &mut second] {
        raw.text(&hello(1)).await;
        check_refused(raw, "/pub/1", "1").await;
    }
    // Not retryable: what is behind it does not wait for it.
    block(&node, 2, false).await;
    for raw in [&mut first, &mut second] {
        say(raw, "after").await;
    }
    assert_eq!(stored(&node).await, 3);
    let rejected = node
        .node
        .services
        .metrics
        .sends
        .get(chat_server::metrics::SendOutcome::Rejected);
    assert_eq!(rejected, 2);
}

#[tokio::test]
async fn separated_member_who_does_not_listen_for_errors_gets_an_error() {
    let node = node(&[]).await;
    block(&node, 1, true).await;
    let mut raw = session(&node, 2).await;
    raw.text(&hello(1)).await;
    let error = refused(&mut raw, "8011", "One of you has blocked the other.", 1008).await;
    assert_eq!(error.header("receipt-id"), Some("1"));
    assert_eq!(stored(&node).await, 0);
}

#[tokio::test]
async fn transaction_with_a_message_between_separated_members_stores_nothing() {
    let node = node(&[]).await;
    node.group(9, &[1, 2, 3]).await;
    block(&node, 1, true).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    subscribe(&mut raw, "9", "/sub/9", "").await;
    let bound = |room: u32| {
        format!("SEND\ndestination:/pub/{room}\ntransaction:t\n\n{{\"message\":\"x\"}}\0")
    };
    let begin = "BEGIN\ntransaction:t\n\n\0";
    let commit = "COMMIT\ntransaction:t\nreceipt:c\n\n\0";
    raw.text(&[begin, &bound(9), &bound(1), commit].concat())
        .await;
    check_refused(&mut raw, "/pub/9", "c").await;
    assert_eq!(stored(&node).await, 0);
    // Groups are not concerned; nothing of the transaction comes before this.
    raw.text("SEND\ndestination:/pub/9\n\n{\"message\":\"to all\"}\0")
        .await;
    assert_eq!(
        json(&raw.expect(Command::Message).await)["message"],
        "to all"
    );
}

#[tokio::test]
async fn typing_is_not_shown_between_separated_members_and_reading_goes_on() {
    let node = node(&[]).await;
    node.group(9, &[1, 2, 3]).await;
    let (mut first, mut second) = (session(&node, 1).await, session(&node, 2).await);
    say(&mut first, "before").await;
    block(&node, 1, true).await;
    subscribe(&mut second, "r", "/sub/1", "resume-after:0\n").await;
    assert_eq!(
        json(&second.expect(Command::Message).await)["message"],
        "before"
    );
    for room in [1, 9] {
        subscribe(
            &mut second,
            &format!("e{room}"),
            &format!("/sub/{room}/events"),
            "",
        )
        .await;
        let typing = format!("SEND\ndestination:/pub/{room}/typing\nreceipt:t\n\n{{}}\0");
        first.text(&typing).await;
        receipt(&mut first, "t").await;
    }
    let shown = second.expect(Command::Message).await;
    assert_eq!(shown.header("destination"), Some("/sub/9/events"));
    let history = "/api/chat-room/1/history";
    rest(&node, 2, Method::GET, history).await;
    let read = format!("/api/chat-messages/{}/read-status", (1_u64 << 22) + 1);
    rest(&node, 2, Method::POST, &read).await;
    let event = second.expect(Command::Message).await;
    assert_eq!(event.header("destination"), Some("/sub/1/events"));
    assert_eq!(json(&event)["type"], "read");
}
