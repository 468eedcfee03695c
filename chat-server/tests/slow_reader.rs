//! A subscriber that stops reading while a room goes on.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use bytes::Bytes;
use chat_server::append::AppendError;
use chat_server::log::{Draft, Kind, Topic, Uid};
use shared::clock::{Clock as _, SystemClock};
use shared::ids::{MemberId, RoomId};
use stomp::Command;
use support::client::Client;
use support::{TestNode, eventually};

const MESSAGES: u64 = 100_000;
const BATCH: u64 = 64;

/// What the process may grow by while 100,000 messages pass a frozen subscriber. Held for it, they
/// would take 34 MB in frames alone, and 18 MB are grown by anyway: the store's buffers, its
/// cache, the ring, the test's own clients.
const GROWTH_MAX: u64 = 40 << 20;

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
