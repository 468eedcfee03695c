//! What lies in the tables beside entries, and how long it stays.

use std::sync::Arc;

use chat_server::app::Stores;
use chat_server::bus::local::LocalBus;
use chat_server::log::Topic;
use chat_server::metrics::Metrics;
use chat_server::presence::local::LocalPresence;
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::{Append, MessageStore, RoomStore};
use shared::clock::SystemClock;
use stomp::Command;
use tempfile::TempDir;

use super::{append, connect, head, read, session, settings};
use crate::contract::make::{batch, fresh_member, fresh_room, fresh_topic, seq};
use crate::support::TestNode;
use crate::support::client::{Client, json};

/// 90 days.
const INBOX_SECONDS: i32 = 7_776_000;

fn owner(topic: Topic) -> i32 {
    let number = match topic {
        Topic::Room(room) => room.get(),
        Topic::Inbox(member) => member.get(),
    };
    i32::try_from(number).unwrap()
}

#[tokio::test]
async fn row_without_an_entry_is_none() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    let mark = "UPDATE messages SET deleted = true WHERE room_id = ? AND bucket = ? AND seq = ?";
    for (bucket, at) in [(0, 0), (0, 7), (0, 4_095), (1, 4_096)] {
        let values = (owner(topic), bucket, at);
        session().await.query_unpaged(mark, values).await.unwrap();
    }
    assert_eq!(head(&store, topic).await, 3);
    assert_eq!(read(&store, topic, 0, 4_194_303).await, batch(seq(0), 3, 1));
    assert_eq!(read(&store, topic, 4_000, 4_100).await, []);
    store.delete(topic, seq(7)).await.unwrap();
    assert_eq!(append(&store, topic, 3, 3).await, Append::Applied);
    assert_eq!(read(&store, topic, 1, 6).await, batch(seq(0), 6, 1));
}

#[tokio::test]
async fn unreadable_room_head_counts_as_missing() {
    let store = connect(&settings()).await;
    let room = fresh_room();
    let head = "UPDATE room_heads SET seq = 1, body = 'x' WHERE room_id = ?";
    let id = i32::try_from(room.get()).unwrap();
    session().await.query_unpaged(head, (id,)).await.unwrap();
    assert_eq!(store.heads(&[room]).await.unwrap(), []);
}

#[tokio::test]
async fn inbox_entries_go_after_ninety_days_and_marks_with_them() {
    let store = connect(&settings()).await;
    let topic = Topic::Inbox(fresh_member());
    assert_eq!(append(&store, topic, 0, 2).await, Append::Applied);
    store.delete(topic, seq(1)).await.unwrap();
    let left = "SELECT TTL(body), TTL(deleted), TTL(head) FROM inbox \
                WHERE member_id = ? AND bucket = ? AND seq = ?";
    let rows = session()
        .await
        .query_unpaged(left, (owner(topic), 0, 1))
        .await
        .unwrap();
    let rows = rows.into_rows_result().unwrap();
    let (body, deleted, head) = rows
        .single_row::<(Option<i32>, Option<i32>, Option<i32>)>()
        .unwrap();
    let (body, deleted) = (body.unwrap(), deleted.unwrap());
    // The mark's time was taken from the entry's; both run.
    assert!((1..=INBOX_SECONDS).contains(&body) && (1..=INBOX_SECONDS).contains(&deleted));
    assert!(deleted <= body + 1, "{deleted} and {body}");
    assert_eq!(head, None, "positions are not given twice");
}

#[tokio::test]
async fn room_entries_stay() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 1).await, Append::Applied);
    store.delete(topic, seq(1)).await.unwrap();
    let left = "SELECT TTL(body), TTL(deleted), TTL(head) FROM messages \
                WHERE room_id = ? AND bucket = ? AND seq = ?";
    let rows = session()
        .await
        .query_unpaged(left, (owner(topic), 0, 1))
        .await
        .unwrap();
    let rows = rows.into_rows_result().unwrap();
    let left = rows
        .single_row::<(Option<i32>, Option<i32>, Option<i32>)>()
        .unwrap();
    assert_eq!(left, (None, None, None));
}

#[tokio::test]
async fn expired_inbox_entries_are_missing_and_the_head_stays() {
    let store = connect(&settings()).await;
    let topic = Topic::Inbox(fresh_member());
    assert_eq!(append(&store, topic, 0, 5).await, Append::Applied);
    // As if their time were over. An append's timestamps are the servers', so this one is later.
    let gone = "DELETE FROM inbox WHERE member_id = ? AND bucket = ? AND seq <= ?";
    session()
        .await
        .query_unpaged(gone, (owner(topic), 0, 3))
        .await
        .unwrap();
    assert_eq!(head(&store, topic).await, 5);
    assert_eq!(read(&store, topic, 1, 10).await, batch(seq(3), 2, 4));
    assert_eq!(append(&store, topic, 5, 1).await, Append::Applied);
    assert_eq!(read(&store, topic, 1, 10).await, batch(seq(3), 3, 4));
}

/// A node on the servers, with a memory of its own.
async fn node(folder: &Arc<TempDir>) -> (TestNode, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let settings = settings();
    let store = ScyllaStore::connect(&settings, Arc::new(SystemClock), Arc::clone(&metrics));
    let stores = Stores::of(&Arc::new(store.await.unwrap()));
    let clock = Arc::new(SystemClock);
    let shared = (stores, &LocalBus::new(), &LocalPresence::new());
    let node = TestNode::start_on(folder, shared, clock, &[]).await;
    (node, metrics)
}

async fn say(client: &mut Client, room: i64, text: &str) {
    client.say(room, text, text).await;
    let is_its = |frame: &stomp::Frame| frame.header("receipt-id") == Some(text);
    client.until(is_its).await;
}

/// The texts of a subscription, until `last`.
async fn texts(client: &mut Client, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        let message = client
            .until(|frame| frame.command() == Command::Message)
            .await;
        texts.push(json(&message)["message"].as_str().unwrap().to_owned());
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_deleted_by_hand_are_holes_that_readers_pass_over_and_count() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let room = i64::from(fresh_room().get());
    let (before, _) = node(&folder).await;
    before.group(room, &[1, 2]).await;
    let mut client = Client::login(before.address, &before.token(1)).await;
    for number in 1..=8 {
        say(&mut client, room, &format!("m{number}")).await;
    }
    drop(client);
    drop(before.stop().await);
    let owner = i32::try_from(room).unwrap();
    let gone = "DELETE FROM messages WHERE room_id = ? AND bucket = ? AND seq = ?";
    for at in [3, 5, 6, 8] {
        let values = (owner, 0, at);
        session().await.query_unpaged(gone, values).await.unwrap();
    }

    let (node, metrics) = node(&folder).await;
    let mut reader = Client::login(node.address, &node.token(2)).await;
    let topic = format!("/sub/{room}");
    // Its receipt comes though the newest entry, which the head names, is not there.
    let receipt = reader
        .subscribe("all", &topic, &[("resume-after", "0")])
        .await;
    assert_eq!(receipt.command(), Command::Receipt);
    let mut writer = Client::login(node.address, &node.token(1)).await;
    say(&mut writer, room, "m9").await;
    let left = ["m1", "m2", "m4", "m7", "m9"];
    assert_eq!(texts(&mut reader, "m9").await, left);
    let mut late = Client::login(node.address, &node.token(2)).await;
    late.subscribe("all", &topic, &[("history", "9")]).await;
    assert_eq!(texts(&mut late, "m9").await, left);
    let url = format!(
        "http://{}/api/chat-room/{room}/history?size=100",
        node.address
    );
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = client.get(url).bearer_auth(node.token(2)).send().await;
    let page: serde_json::Value = page.unwrap().json().await.unwrap();
    let rows = page["data"]["data"].as_array().unwrap().iter().rev();
    let shown: Vec<_> = rows.map(|row| row["message"].as_str().unwrap()).collect();
    assert_eq!(shown, left);
    // 3, 5 with 6, and 8: each hole is counted once, whichever reader finds it.
    assert_eq!(metrics.store_holes.get(), 3);
}
