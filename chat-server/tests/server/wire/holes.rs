//! Rooms of which some messages are lost in the store: the others are served.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use serde_json::Value;
use stomp::{Command, FrameWriter, Version};

use crate::support::TestNode;
use crate::support::client::{Client, json};

/// The key of a message of room 1.
fn key(seq: u32) -> [u8; 9] {
    let mut key = [0, 0, 0, 0, 1, 0, 0, 0, 0];
    key[5..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Works on the log of a store that is closed.
fn by_hand(folder: &Path, work: impl FnOnce(&Keyspace)) {
    let db = Database::builder(folder.join("chat")).open().unwrap();
    let log = db.keyspace("log", KeyspaceCreateOptions::default).unwrap();
    work(&log);
}

async fn send(client: &mut Client, name: &str) {
    let body = serde_json::json!({ "message": name }).to_string();
    let frame = FrameWriter::new(Command::Send, Version::V1_2)
        .header("destination", "/pub/1")
        .header("client-message-id", name)
        .header("receipt", name)
        .body(body.as_bytes());
    client.send(frame).await;
    let is_its = |frame: &stomp::Frame| frame.header("receipt-id") == Some(name);
    client.until(is_its).await;
}

/// The texts of the room from its start on, until `last`.
async fn subscribed(node: &TestNode, last: &str) -> Vec<String> {
    let mut client = Client::login(node.address, &node.token(2)).await;
    client
        .subscribe("s", "/sub/1", &[("resume-after", "0")])
        .await;
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        let message = client
            .until(|frame| frame.command() == Command::Message)
            .await;
        texts.push(json(&message)["message"].as_str().unwrap().to_owned());
    }
    texts
}

/// The texts of the room's history, oldest first.
async fn history(node: &TestNode, size: usize) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut texts, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/chat-room/1/history?size={size}{before}");
        let url = format!("http://{}{path}", node.address);
        let answer = client
            .get(url)
            .bearer_auth(node.token(1))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let page = answer.json::<Value>().await.unwrap()["data"].take();
        for row in page["data"].as_array().unwrap() {
            texts.push(row["message"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["pageInfo"]["nextCursorId"].as_i64() else {
            texts.reverse();
            return texts;
        };
        before = format!("&cursorId={next}");
    }
}

/// A room of so many messages, its node stopped.
async fn room_of(messages: u32) -> std::sync::Arc<tempfile::TempDir> {
    let node = TestNode::start(&[]).await;
    node.room(1, &[1, 2]).await;
    let mut client = Client::login(node.address, &node.token(1)).await;
    for number in 1..=messages {
        send(&mut client, &format!("m{number}")).await;
    }
    drop(client);
    node.stop().await
}

fn names(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("m{number}"))
        .collect()
}

#[tokio::test]
async fn messages_around_lost_and_damaged_ones_are_served_and_the_room_goes_on() {
    let folder = room_of(10).await;
    by_hand(folder.path(), |log| {
        log.remove(key(3)).unwrap();
        log.insert(key(7), b"\x02no such record").unwrap();
        log.remove(key(8)).unwrap();
    });
    let node = TestNode::start_in(folder, &[]).await;
    let left = names([1, 2, 4, 5, 6, 9, 10]);
    for size in [1, 2, 3, 100] {
        assert_eq!(history(&node, size).await, left, "pages of {size}");
    }
    assert_eq!(subscribed(&node, "m10").await, left);
    // The room is loaded again for this: its newest part has holes, and a repeat is still known.
    let mut client = Client::login(node.address, &node.token(1)).await;
    for name in ["m11", "m10", "m12"] {
        send(&mut client, name).await;
    }
    let all = [left, names([11, 12])].concat();
    assert_eq!(subscribed(&node, "m12").await, all);
    assert_eq!(history(&node, 5).await, all);
    // 3, and 7 with 8.
    assert_eq!(node.node.services.metrics.store_holes.get(), 2);
}

#[tokio::test]
async fn first_messages_of_a_room_may_be_lost() {
    let folder = room_of(4).await;
    by_hand(folder.path(), |log| {
        log.remove(key(1)).unwrap();
        log.remove(key(2)).unwrap();
    });
    let node = TestNode::start_in(folder, &[]).await;
    assert_eq!(subscribed(&node, "m4").await, names([3, 4]));
    assert_eq!(history(&node, 1).await, names([3, 4]));
    assert_eq!(node.node.services.metrics.store_holes.get(), 1);
}

#[tokio::test]
async fn long_hole_costs_a_few_reads() {
    let folder = room_of(3).await;
    by_hand(folder.path(), |log| {
        let last = log.get(key(3)).unwrap().unwrap();
        log.insert(key(65_536), last).unwrap();
    });
    let node = TestNode::start_in(folder, &[]).await;
    let mut client = Client::login(node.address, &node.token(1)).await;
    send(&mut client, "m4").await;
    let all = names([1, 2, 3, 3, 4]);
    assert_eq!(history(&node, 2).await, all);
    let before = node.node.services.metrics.catch_ups.get();
    assert_eq!(subscribed(&node, "m4").await, all);
    let pages = node.node.services.metrics.catch_ups.get() - before;
    assert!(pages <= 4, "{pages} pages");
    assert_eq!(node.node.services.metrics.store_holes.get(), 1);
}
