//! A node that stops closes its connections, each after what is under way.

use chat_server::log::Topic;
use chat_server::store::View;
use shared::ids::RoomId;
use stomp::Command;

use crate::start::{node, session, subscribe};
use crate::support::raw::{Raw, upgrade_request};
use crate::support::{PATIENCE, TestNode};

/// A chat message of room 1 with this receipt.
fn hello(receipt: usize) -> String {
    format!("SEND\ndestination:/pub/1\nreceipt:{receipt}\n\n{{\"message\":\"x\"}}\0")
}

async fn stored(node: &TestNode) -> usize {
    let topic = Topic::Room(RoomId::try_from(1_i64).unwrap());
    let head = node.node.services.store.head(topic, View::Settled).await;
    head.unwrap().get() as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_under_way_get_their_receipts_before_the_close() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let mut idle = session(&node, 2).await;
    subscribe(&mut idle, "s", "/sub/1", "").await;
    let mut not_logged_in = Raw::open(node.address).await;
    raw.text(&(0..50).map(hello).collect::<String>()).await;
    raw.expect(Command::Receipt).await;
    node.drain.begin();
    let ending = raw.ending().await;
    assert_eq!(ending.code, Some(1012));
    let receipts = ending.frames.iter().map(stomp::Frame::command);
    assert!(receipts.clone().all(|command| command == Command::Receipt));
    // What was not under way is not stored in secret: its sender knows to send it again.
    assert_eq!(receipts.count() + 1, stored(&node).await);
    for raw in [&mut idle, &mut not_logged_in] {
        assert_eq!(raw.ending().await.code, Some(1012));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_on_sending_does_not_keep_its_node_from_stopping() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let frames = (0..20).map(hello).collect::<String>();
    // So much that it lasts for seconds, whatever the store takes.
    for _ in 0..100 {
        raw.text(&frames).await;
    }
    raw.expect(Command::Receipt).await;
    node.drain.begin();
    let ending = raw.ending().await;
    assert_eq!(ending.code, Some(1012));
    assert_eq!(ending.frames.len() + 1, stored(&node).await);
    assert!(stored(&node).await < 2_000, "it was not waited for");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_outlives_a_drain_that_begins_while_it_opens() {
    for _ in 0..20 {
        let node = node(&[]).await;
        let mut opening = Vec::new();
        for _ in 0..20 {
            opening.push(Raw::connect(node.address).await);
        }
        let first = opening.pop().unwrap();
        let rest = opening
            .into_iter()
            .map(|raw| open_and_end(&node, raw, || {}));
        let begin = open_and_end(&node, first, || node.drain.begin());
        let (code, codes) = tokio::join!(begin, futures_util::future::join_all(rest));
        assert_eq!(code, Some(1012));
        let known = codes.iter().flatten().all(|code| *code == 1012);
        assert!(known, "{codes:?}");
        assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
    }
}

/// Opens a WebSocket, does something as soon as it is open, and waits for the close; its code, or
/// `None` where there was no WebSocket any more.
async fn open_and_end(node: &TestNode, mut raw: Raw, once_open: impl FnOnce()) -> Option<u16> {
    raw.bytes(upgrade_request(node.address, "").as_bytes())
        .await;
    let answer = raw.answer().await.filter(|answer| answer.status == 101);
    answer?;
    once_open();
    raw.ending().await.code
}
