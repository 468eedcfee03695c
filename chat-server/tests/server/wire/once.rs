//! A message that is sent again under its client message id is stored once.

use shared::ids::{RoomId, Seq};
use stomp::Command;

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::start::{node, receipt, refused, rooms, session, subscribe};

/// A named message for a room, with a receipt of the same name.
fn named(room: u32, name: &str, text: &str) -> String {
    format!(
        "SEND\ndestination:/pub/{room}\nreceipt:{name}\nclient-message-id:{name}\n\n\
         {{\"message\":\"{text}\"}}\0"
    )
}

/// Sends frames at once and waits for the receipt of each, in their order.
async fn send_all(raw: &mut Raw, frames: &[String]) {
    raw.text(&frames.concat()).await;
    for frame in frames {
        let name = frame.split("receipt:").nth(1).unwrap();
        receipt(raw, name.lines().next().unwrap()).await;
    }
}

/// How many messages a room holds.
async fn count(node: &TestNode, room: i64) -> Seq {
    let topic = chat_server::log::Topic::Room(RoomId::try_from(room).unwrap());
    let store = &node.node.services.store;
    let view = chat_server::store::ReadConsistency::Serial;
    store.head(topic, view).await.unwrap()
}

#[tokio::test]
async fn the_same_message_twice_is_stored_once() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let frame = named(1, "a", "x");
    send_all(
        &mut raw,
        &[frame.clone(), frame.clone(), named(1, "b", "y")],
    )
    .await;
    send_all(&mut raw, &[frame]).await;
    assert_eq!(count(&node, 1).await.get(), 2);
    subscribe(&mut raw, "s", "/sub/1", "resume-after:0\n").await;
    for (seq, name) in [("1", "a"), ("2", "b")] {
        let message = raw.expect(Command::Message).await;
        assert_eq!(message.header("seq"), Some(seq));
        assert_eq!(message.header("client-message-id"), Some(name));
    }
}

#[tokio::test]
async fn a_name_is_the_senders_own_and_the_rooms() {
    let node = node(&[]).await;
    for member in [1, 2] {
        let mut raw = session(&node, member).await;
        send_all(&mut raw, &[named(1, "a", "x"), named(2, "a", "y")]).await;
    }
    assert_eq!(count(&node, 1).await.get(), 2);
    assert_eq!(count(&node, 2).await.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_that_send_the_same_at_once_store_it_once() {
    let node = node(&[]).await;
    let (mut one, mut two) = (session(&node, 1).await, session(&node, 1).await);
    let frames = |names: std::ops::Range<u32>| {
        let frame = |name: u32| named(1, &name.to_string(), "x");
        names.map(frame).collect::<Vec<_>>()
    };
    for round in 0..10 {
        let frames = frames(round * 20..(round + 1) * 20);
        tokio::join!(send_all(&mut one, &frames), send_all(&mut two, &frames));
    }
    assert_eq!(count(&node, 1).await.get(), 200);
}

#[tokio::test]
async fn a_restart_does_not_make_a_message_new() {
    let first = node(&[]).await;
    let mut raw = session(&first, 1).await;
    let frame = named(1, "a", "x");
    send_all(&mut raw, std::slice::from_ref(&frame)).await;
    drop(raw);
    let folder = first.stop().await;
    let second = TestNode::start_in(folder, &[]).await;
    rooms(&second).await;
    let mut raw = session(&second, 1).await;
    send_all(&mut raw, &[frame]).await;
    assert_eq!(count(&second, 1).await.get(), 1);
    raw.text(&named(1, "a", "y")).await;
    refused(&mut raw, "8009", "another message", 1008).await;
}

#[tokio::test]
async fn another_body_under_the_same_name_is_refused() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    send_all(&mut raw, &[named(1, "a", "x")]).await;
    raw.text(&named(1, "a", "y")).await;
    let error = json(&raw.expect(Command::Message).await);
    assert_eq!(error["code"], 8009);
    assert_eq!(error["clientMessageId"], "a");
    assert_eq!(error["receiptId"], "a");
    assert_eq!(error["retryable"], false);
    assert_eq!(count(&node, 1).await.get(), 1);
    // What is sent at once meets while neither is stored.
    raw.text(&(named(1, "b", "x") + &named(1, "b", "y"))).await;
    let frames = [raw.frame().await, raw.frame().await];
    let kinds = frames
        .each_ref()
        .map(|frame| frame.command() == Command::Receipt);
    assert_ne!(kinds[0], kinds[1], "one is stored, one refused: {frames:?}");
    assert_eq!(count(&node, 1).await.get(), 2);
}
