//! Subscribers that read slowly, or not at all for a while, or much at once.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_server::append::AppendError;
use chat_server::log::{Draft, Kind, Topic, Uid};
use shared::clock::{Clock as _, SystemClock};
use shared::ids::{MemberId, RoomId};
use stomp::{Command, FrameWriter, Version};
use support::client::Client;
use support::{TestNode, eventually};
use tokio::sync::{Mutex, MutexGuard};

const MESSAGES: u64 = 100_000;
const BATCH: u64 = 64;

/// What the process may grow by while 100,000 messages pass a frozen subscriber. Held for it, they
/// would take 34 MB in frames alone, and 18 MB are grown by anyway: the store's buffers, its
/// cache, the ring, the test's own clients.
const GROWTH_MAX: u64 = 40 << 20;

/// What a process has in memory is measured while nothing else goes on in it.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

/// Bytes of this process in memory.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

fn assert_bounded(before: u64) {
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the process grew by {grown} bytes");
}

fn draft(number: u64) -> Draft {
    Draft {
        uid: Uid(number.into()),
        kind: Kind::Chat,
        sender: Some(MemberId::try_from(1_i64).unwrap()),
        client_message_id: None,
        headers: Vec::new(),
        content_type: None,
        body: Bytes::from(format!("message {number}")),
        sent_at: SystemClock.unix_millis(),
    }
}

async fn fill(node: &TestNode, room: RoomId) -> Result<(), AppendError> {
    for first in (1..=MESSAGES).step_by(usize::try_from(BATCH).unwrap()) {
        let batch = (first..first + BATCH).take_while(|number| *number <= MESSAGES);
        let drafts = batch.map(draft).collect();
        let appender = &node.node.services.appender;
        appender.send(Topic::Room(room), drafts).await?;
    }
    Ok(())
}

/// Reads every message from the first to the last, in order.
async fn read_all(client: &mut Client) {
    for seq in 1..=MESSAGES {
        let message = client.frame().await;
        assert_eq!(message.command(), Command::Message);
        assert_eq!(message.header("seq"), Some(&*seq.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_subscriber_costs_nobody_anything_and_misses_nothing() {
    let _alone = alone().await;
    let settings = [
        "--send-time-limit",
        "1h",
        "--ping-interval",
        "1h",
        "--sync",
        "1s",
    ];
    let node = TestNode::start(&settings).await;
    let room = node.room(1, &[1, 2]).await;
    let mut frozen = Client::login(node.address, &node.token(2)).await;
    frozen.subscribe("s", "/sub/1", &[]).await;
    let mut reader = Client::login(node.address, &node.token(1)).await;
    reader.subscribe("s", "/sub/1", &[]).await;
    let before = resident_bytes();

    // The reader has all of them while the frozen one has taken no byte since it subscribed.
    let (filled, ()) = tokio::join!(fill(&node, room), read_all(&mut reader));
    filled.unwrap();
    let metrics = &node.node.services.metrics;
    let for_frozen = metrics.deliveries.get().saturating_sub(MESSAGES);
    assert!(
        for_frozen < MESSAGES / 2,
        "most still waits for the frozen one, not {for_frozen} written"
    );
    let replayed = metrics.replayed.get();
    assert_bounded(before);

    read_all(&mut frozen).await;
    // Counted just after they are written.
    eventually("each is written once to each", || {
        metrics.deliveries.get() == 2 * MESSAGES
    })
    .await;
    let from_store = metrics.replayed.get() - replayed;
    assert!(
        from_store > MESSAGES / 2,
        "only {from_store} came from the store"
    );
    assert_bounded(before);
    node.stop().await;
}

/// Large bodies: 60 KiB, near the largest that a frame may have.
const LARGE: usize = 60 << 10;

/// A room with so many large messages.
async fn fill_large(node: &TestNode, room: i64, count: u64) {
    let room = node.opaque_room(room, &[1, 2]).await;
    for number in 1..=count {
        let large = Draft {
            kind: Kind::Opaque,
            body: vec![b'x'; LARGE].into(),
            ..draft(number)
        };
        let stored = node
            .node
            .services
            .appender
            .send(Topic::Room(room), vec![large]);
        stored.await.unwrap();
    }
}

fn subscribe(id: &str, room: i64, more: &[(&str, &str)]) -> Bytes {
    let frame = FrameWriter::new(Command::Subscribe, Version::V1_2)
        .header("id", id)
        .header("destination", &format!("/sub/{room}"))
        .header("resume-after", "0");
    let add = |frame: FrameWriter, (name, value): &(&str, &str)| frame.header(name, value);
    more.iter().fold(frame, add).end()
}

fn unsubscribe(id: &str) -> Bytes {
    let frame = FrameWriter::new(Command::Unsubscribe, Version::V1_2);
    frame.header("id", id).end()
}

/// Reads a message and sees to it that it is the next one of its subscription.
async fn read_next(client: &mut Client, seen: &mut BTreeMap<String, u64>) {
    let message = client.frame().await;
    assert_eq!(message.command(), Command::Message);
    let seq = message.header("seq").unwrap().parse().unwrap();
    let subscription = message.header("subscription").unwrap().to_owned();
    let before = seen.insert(subscription, seq).unwrap_or_default();
    assert_eq!(seq, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_subscriptions_that_are_behind_keep_little_each() {
    const SUBSCRIPTIONS: u64 = 16;
    const COUNT: u64 = 140;
    let _alone = alone().await;
    let node = TestNode::start(&["--sync", "1s"]).await;
    fill_large(&node, 1, COUNT).await;
    let mut client = Client::login(node.address, &node.token(1)).await;
    let before = resident_bytes();
    for number in 0..SUBSCRIPTIONS {
        client.send(subscribe(&number.to_string(), 1, &[])).await;
    }
    // Each has had its first page by now; a whole one would be 7.5 MiB, 120 MiB in all.
    let mut seen = BTreeMap::new();
    for _ in 0..SUBSCRIPTIONS * 16 {
        read_next(&mut client, &mut seen).await;
    }
    assert_eq!(seen.len() as u64, SUBSCRIPTIONS);
    assert_bounded(before);
    while seen.values().any(|seq| *seq < COUNT) {
        read_next(&mut client, &mut seen).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_comes_again_as_fast_as_it_is_read() {
    const COUNT: u64 = 900;
    let _alone = alone().await;
    let node = TestNode::start(&["--sync", "1s"]).await;
    fill_large(&node, 1, COUNT).await;
    let mut client = Client::login(node.address, &node.token(1)).await;
    let acks = [("ack", "client-individual")];
    client.send(subscribe("s", 1, &acks)).await;
    let mut refused = Vec::new();
    for _ in 0..COUNT {
        let message = client.frame().await;
        let ack = message.header("ack").unwrap().to_owned();
        refused.push((ack, message.header("seq").unwrap().to_owned()));
    }
    let before = resident_bytes();
    let catch_ups = || node.node.services.metrics.catch_ups.get();
    let read_before = catch_ups();
    for (ack, _) in &refused {
        let nack = FrameWriter::new(Command::Nack, Version::V1_2).header("id", ack);
        client.send(nack.end()).await;
    }
    // All refused, none of it read: what does not fit into the kernel's buffers stays in the store.
    let mut other = Client::login(node.address, &node.token(2)).await;
    for round in 0..200 {
        other.subscribe(&round.to_string(), "/sub/1", &[]).await;
        other.send(unsubscribe(&round.to_string())).await;
    }
    let read = catch_ups() - read_before;
    assert!(read < COUNT / 2, "{read} wait in memory");
    assert_bounded(before);
    for (_, seq) in refused {
        let message = client.frame().await;
        assert_eq!(message.header("redelivered"), Some("true"));
        assert_eq!(message.header("seq"), Some(&*seq));
    }
    node.stop().await;
}

/// Three subscriptions are behind; the one that reads and the one that is next end. The third has
/// its turn then, and not when something else happens.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_subscriptions_that_end_has_its_turn() {
    let node = TestNode::start(&["--sync", "1s"]).await;
    fill_large(&node, 1, 128).await;
    for room in [2, 3] {
        let id = node.room(room, &[1, 2]).await;
        let appender = &node.node.services.appender;
        let stored = appender.send(Topic::Room(id), vec![draft(1)]);
        stored.await.unwrap();
    }
    // Rings begin empty.
    let node = TestNode::start_in(node.stop().await, &[]).await;
    for _ in 0..20 {
        let mut client = Client::login(node.address, &node.token(1)).await;
        let frames = [
            subscribe("large", 1, &[]),
            subscribe("next", 2, &[]),
            subscribe("last", 3, &[]),
            unsubscribe("large"),
            unsubscribe("next"),
        ];
        client.send(frames.concat().into()).await;
        let is_last = |frame: &stomp::Frame| frame.header("subscription") == Some("last");
        client.until(is_last).await;
    }
    node.stop().await;
}
