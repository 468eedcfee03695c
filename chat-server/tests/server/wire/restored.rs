//! A store that was restored from a backup: positions that clients have received are not assigned
//! again, and every client gets the messages sent since.

use std::path::Path;
use std::process::Command as Process;
use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::{Draft, Entry, Kind, Topic, Uid};
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::epoch::GAP_MIN;
use chat_server::store::{Append, MessageStore as _, SyncMode};
use serde_json::Value;
use shared::clock::{Clock as _, SystemClock};
use shared::ids::{MemberId, RoomId, Seq};
use stomp::{Command, Frame};

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::start::{rooms, say, session, subscribe};

/// A copy as people make it.
fn copy(from: &Path, to: &Path) {
    let copied = Process::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn text(message: &Frame) -> String {
    json(message)["message"].as_str().unwrap().to_owned()
}

fn id(message: &Frame) -> u64 {
    message.header("message-id").unwrap().parse().unwrap()
}

/// Says these and gives their ids.
async fn say_all(node: &TestNode, texts: &[&str]) -> Vec<u64> {
    let mut raw = session(node, 1).await;
    subscribe(&mut raw, "ids", "/sub/1", "").await;
    let mut ids = Vec::new();
    for text in texts {
        let frame = format!("SEND\ndestination:/pub/1\n\n{{\"message\":\"{text}\"}}\0");
        raw.text(&frame).await;
        ids.push(id(&raw.expect(Command::Message).await));
    }
    ids
}

/// The receipt of a subscription with these headers, and its messages up to `last`.
async fn begin(node: &TestNode, from: &str, last: &str) -> (String, u64, Vec<String>) {
    let mut raw: Raw = session(node, 2).await;
    let receipt = subscribe(&mut raw, "s", "/sub/1", &format!("{from}\n")).await;
    let recovered = receipt.header("recovered").unwrap().to_owned();
    let head = receipt.header("head").unwrap().parse().unwrap();
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        texts.push(text(&raw.expect(Command::Message).await));
    }
    (recovered, head, texts)
}

async fn get(node: &TestNode, path: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{path}", node.address);
    let answer = client.get(url).bearer_auth(node.token(2)).send().await;
    let mut answer = answer.unwrap().json::<Value>().await.unwrap();
    answer["data"].take()
}

#[tokio::test]
async fn a_mark_of_before_the_restore_is_told_and_nothing_new_is_missed() {
    let node = TestNode::start(&[]).await;
    rooms(&node).await;
    let kept = say_all(&node, &["m1", "m2", "m3"]).await;
    let folder = node.stop().await;
    let (chat, backup) = (folder.path().join("chat"), folder.path().join("backup"));
    copy(&chat, &backup);

    let node = TestNode::start_in(folder, &[]).await;
    let lost = say_all(&node, &["m4", "m5", "m6"]).await;
    let folder = node.stop().await;
    std::fs::remove_dir_all(&chat).unwrap();
    copy(&backup, &chat);

    let node = TestNode::start_in(folder, &[]).await;
    // As many as were lost, so that they would have had the same ids.
    let new = say_all(&node, &["n1", "n2", "n3"]).await;
    assert!(new.iter().all(|id| !lost.contains(id) && *id < 1 << 53));
    let strings = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let all = ["m1", "m2", "m3", "n1", "n2", "n3"];
    for mark in &lost {
        let begun = begin(&node, &format!("resume-after:{mark}"), "n3").await;
        let expected = ("false".to_owned(), new[2], strings(&all[3..]));
        assert_eq!(begun, expected, "a mark of before, {mark}");
    }
    for (mark, after) in kept.iter().chain(&new[..2]).zip(1..) {
        let begun = begin(&node, &format!("resume-after:{mark}"), "n3").await;
        let expected = ("true".to_owned(), new[2], strings(&all[after..]));
        assert_eq!(begun, expected, "a mark of an entry that is there, {mark}");
    }
    for (from, count) in [
        ("resume-after:0", 6),
        ("history:2", 2),
        ("history:5", 5),
        ("history:9", 6),
    ] {
        let (recovered, _, texts) = begin(&node, from, "n3").await;
        let expected = strings(&all[6 - count..]);
        assert_eq!((&*recovered, texts), ("true", expected), "{from}");
    }
    // Lists and history do not count what was passed over, nor end there.
    let row = get(&node, "/api/chat-room?size=10").await["data"][0].take();
    assert_eq!(row["lastMessage"], "n3");
    assert_eq!(row["unreadCount"], 6);
    for size in [2, 4, 100] {
        let (mut texts, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/chat-room/1/history?size={size}{before}");
            let page = get(&node, &path).await;
            let rows = page["data"].as_array().unwrap().iter();
            texts.extend(rows.map(|row| row["message"].as_str().unwrap().to_owned()));
            match page["pageInfo"]["nextCursorId"].as_i64() {
                Some(next) => before = format!("&cursorId={next}"),
                None => break,
            }
        }
        texts.reverse();
        assert_eq!(texts, strings(&all), "pages of {size}");
    }

    // Started again it is the same store.
    let node = TestNode::start_in(node.stop().await, &[]).await;
    let next = say_all(&node, &["n4"]).await;
    assert_eq!(next, [new[2] + 1]);
}

/// Before anything new came the log ends before the mark; what comes then is not missed.
#[tokio::test]
async fn a_mark_beyond_the_end_is_told_at_once() {
    let node = TestNode::start(&[]).await;
    rooms(&node).await;
    let folder = node.stop().await;
    let (chat, backup) = (folder.path().join("chat"), folder.path().join("backup"));
    copy(&chat, &backup);
    let node = TestNode::start_in(folder, &[]).await;
    let lost = say_all(&node, &["m1", "m2"]).await;
    let folder = node.stop().await;
    std::fs::remove_dir_all(&chat).unwrap();
    copy(&backup, &chat);
    let node = TestNode::start_in(folder, &[]).await;
    let mut raw = session(&node, 2).await;
    let from = format!("resume-after:{}\n", lost[1]);
    let receipt = subscribe(&mut raw, "s", "/sub/1", &from).await;
    assert_eq!(receipt.header("recovered"), Some("false"));
    let mut sender = session(&node, 1).await;
    for new in ["n1", "n2", "n3"] {
        say(&mut sender, new).await;
        assert_eq!(text(&raw.expect(Command::Message).await), new);
    }
}

/// Enters the epoch with the log of room 1, and stores this text there as a node does that ends
/// before it notes the room's newest message; the position.
async fn enter_unnoted(chat: &Path, text: Option<&str>) -> Seq {
    let store = EmbeddedStore::open(chat, SyncMode::Always).unwrap();
    let topic = Topic::Room(RoomId::try_from(1_u64).unwrap());
    let head = store.enter(topic).await.unwrap();
    let seq = head.next().unwrap();
    if let Some(text) = text {
        let draft = Draft {
            uid: Uid(rand::random()),
            kind: Kind::Chat,
            sender: Some(MemberId::try_from(1_u64).unwrap()),
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::copy_from_slice(text.as_bytes()),
            sent_at: SystemClock.unix_millis(),
        };
        let entry = Entry {
            seq,
            deleted: false,
            draft,
        };
        let append = store.append(topic, head, vec![Arc::new(entry)]);
        assert_eq!(append.await.unwrap(), Append::Applied);
    }
    store.close().unwrap();
    seq
}

/// Room, newest message and unread of each row that member 2 is shown.
async fn rows(node: &TestNode, size: usize) -> Vec<(i64, String, i64)> {
    let page = get(node, &format!("/api/chat-room?size={size}")).await;
    let rows = page["data"].as_array().unwrap().iter().map(|row| {
        let text = row["lastMessage"].as_str().unwrap().to_owned();
        let number = |name: &str| row[name].as_i64().unwrap();
        (number("chatRoomId"), text, number("unreadCount"))
    });
    rows.collect()
}

#[tokio::test]
async fn room_list_shows_what_came_behind_a_jump() {
    let node = TestNode::start(&[]).await;
    node.room(1, &[1, 2]).await;
    node.room(2, &[1, 2]).await;
    say_all(&node, &["m1", "m2"]).await;
    let mut sender = session(&node, 1).await;
    sender
        .text("SEND\ndestination:/pub/2\nreceipt:later\n\n{\"message\":\"later\"}\0")
        .await;
    sender.expect(Command::Receipt).await;
    drop(sender);
    let folder = node.stop().await;
    let chat = folder.path().join("chat");
    EmbeddedStore::begin_epoch(&chat).unwrap();
    let row = |room, text: &str, unread| (room, text.to_owned(), unread);

    // The log has jumped and nothing came yet: the row stays as it was.
    let target = enter_unnoted(&chat, None).await;
    assert!(target.get() > 2 + GAP_MIN);
    let node = TestNode::start_in(folder, &[]).await;
    let before = [row(2, "later", 1), row(1, "m2", 2)];
    assert_eq!(rows(&node, 10).await, before);
    let folder = node.stop().await;

    assert_eq!(enter_unnoted(&chat, Some("n1")).await, target);
    let node = TestNode::start_in(folder, &[]).await;
    let after = [row(1, "n1", 3), row(2, "later", 1)];
    assert_eq!(rows(&node, 10).await, after);
    // Pages that do not show the row know of it as well.
    assert_eq!(rows(&node, 1).await, after[..1]);
    assert_eq!(node.node.services.metrics.room_heads_behind.get(), 0);
}
