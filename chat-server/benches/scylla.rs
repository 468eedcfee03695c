//! What an append that compares costs beside a plain insert, on the CQL servers of `TEST_CQL`.
//!
//! `cargo bench -p chat-server --bench scylla [-- SECONDS]`: one entry of 200 bytes at a time, to 1,
//! 32 and 256 topics, one writer each; then one topic that three nodes write to at once. Apache
//! Cassandra stands in for ScyllaDB where there is none: such figures say nothing of ScyllaDB.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for a person at a terminal"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_server::log::{Draft, Entry, Kind, Topic, Uid};
use chat_server::metrics::Metrics;
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::scylla::settings::{ANSWER_WAIT, DataCenters, Replication, ScyllaSettings};
use chat_server::store::{Append, MessageStore, StoreError};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::frame::types::Consistency;
use scylla::statement::prepared::PreparedStatement;
use shared::clock::{SystemClock, UnixMillis};
use shared::ids::{RoomId, Seq};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long each line of the table is measured, unless an argument says otherwise.
const SECONDS: u64 = 5;

/// More would be no bench but a load test.
const SECONDS_MAX: u64 = 120;

const TOPICS: [u32; 3] = [1, 32, 256];
const NODES: usize = 3;
const BODY_BYTES: usize = 200;

/// What one writer did: how long each took, and how often another was first.
#[derive(Default)]
struct Work {
    took: Vec<Duration>,
    conflicts: usize,
}

fn main() -> Result<(), Failure> {
    let seconds = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let each = Duration::from_secs(seconds.unwrap_or(SECONDS).clamp(1, SECONDS_MAX));
    let Ok(servers) = std::env::var("TEST_CQL") else {
        return Err("TEST_CQL names no server: `infra/services up cassandra`".into());
    };
    tokio::runtime::Runtime::new()?.block_on(run(&servers, each))
}

async fn run(servers: &str, each: Duration) -> Result<(), Failure> {
    let keyspace = format!("bench_{:08x}", rand::random::<u32>());
    let settings = ScyllaSettings {
        address: format!("scylla://{servers}/{keyspace}").parse()?,
        datacenter: None,
        replication: Replication::Factor(u8::try_from(servers.split(',').count())?),
        reach: DataCenters::LocalQuorum,
        ca: None,
        answer_wait: ANSWER_WAIT,
    };
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let metrics = Arc::new(Metrics::new());
        let store = ScyllaStore::connect(&settings, Arc::new(SystemClock), metrics);
        nodes.push(Arc::new(store.await?));
    }
    let plain = Arc::new(Plain::new(servers, &keyspace).await?);
    println!(
        "{:<34}{:>10}{:>10}{:>10}{:>11}",
        "", "p50 ms", "p99 ms", "per s", "conflicts"
    );
    let mut first_room = RoomId::FIRST_ALLOCATED_BY_CHAT.get();
    for topics in TOPICS {
        let rooms = first_room..first_room + topics;
        first_room += topics;
        let mut writers = JoinSet::new();
        for room in rooms.clone() {
            writers.spawn(Arc::clone(&plain).write(room, each));
        }
        print_line(&format!("plain insert, {topics} topics"), each, writers).await?;
        let mut writers = JoinSet::new();
        for (room, node) in rooms.zip(nodes.iter().cycle()) {
            writers.spawn(append(Arc::clone(node), room, each));
        }
        print_line(
            &format!("compare and append, {topics} topics"),
            each,
            writers,
        )
        .await?;
    }
    let mut writers = JoinSet::new();
    for node in &nodes {
        writers.spawn(append(Arc::clone(node), first_room, each));
    }
    print_line(&format!("one topic from {NODES} nodes"), each, writers).await
}

/// The insert alone, without a condition: what the same row would cost if nothing ordered it.
struct Plain {
    session: Session,
    insert: PreparedStatement,
}

impl Plain {
    async fn new(servers: &str, keyspace: &str) -> Result<Self, Failure> {
        let session = SessionBuilder::new()
            .known_nodes(servers.split(','))
            .build()
            .await?;
        let text = format!(
            "INSERT INTO {keyspace}.messages (room_id, bucket, seq, uid, kind, body) \
             VALUES (?, 0, ?, ?, 0, ?)"
        );
        let mut insert = session.prepare(text).await?;
        insert.set_consistency(Consistency::LocalQuorum);
        Ok(Self { session, insert })
    }

    async fn write(self: Arc<Self>, room: u32, each: Duration) -> Result<Work, Failure> {
        let room = i32::try_from(room)?;
        let mut work = Work::default();
        let begun = Instant::now();
        // Above what an append would use, so that the two do not meet.
        for seq in 2_000_000.. {
            if begun.elapsed() > each {
                break;
            }
            let uid = rand::random::<u128>().to_be_bytes();
            let values = (room, seq, uid.as_slice(), [b'x'; BODY_BYTES].as_slice());
            let asked = Instant::now();
            self.session.execute_unpaged(&self.insert, values).await?;
            work.took.push(asked.elapsed());
        }
        Ok(work)
    }
}

/// Appends as the appender does: from another's head it goes on after a moment.
async fn append(store: Arc<ScyllaStore>, room: u32, each: Duration) -> Result<Work, Failure> {
    let topic = Topic::Room(RoomId::try_from(u64::from(room))?);
    let mut work = Work::default();
    let mut head = Seq::ZERO;
    let begun = Instant::now();
    let mut asked = begun;
    while begun.elapsed() < each {
        match store.append(topic, head, vec![entry(head)?]).await {
            Ok(Append::Applied) => {
                work.took.push(asked.elapsed());
                head = head.next().ok_or("the topic is full")?;
                asked = Instant::now();
            }
            Ok(Append::Conflict(found)) => {
                work.conflicts += 1;
                head = found;
                let pause_ms = rand::random_range(1..=10);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            // Counted with how long it takes until the next answer.
            Err(StoreError::Unknown(_) | StoreError::Unavailable(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(work)
}

fn entry(head: Seq) -> Result<Arc<Entry>, Failure> {
    Ok(Arc::new(Entry {
        seq: head.next().ok_or("the topic is full")?,
        deleted: false,
        draft: Draft {
            uid: Uid(rand::random()),
            kind: Kind::Chat,
            sender: None,
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::from_static(&[b'x'; BODY_BYTES]),
            sent_at: UnixMillis::EPOCH,
        },
    }))
}

async fn print_line(
    name: &str,
    each: Duration,
    mut writers: JoinSet<Result<Work, Failure>>,
) -> Result<(), Failure> {
    let mut took = Vec::new();
    let mut conflicts = 0;
    while let Some(work) = writers.join_next().await {
        let work = work??;
        took.extend(work.took);
        conflicts += work.conflicts;
    }
    took.sort_unstable();
    let at = |share: usize| {
        let at = (took.len() * share / 100).min(took.len().saturating_sub(1));
        took.get(at)
            .map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
    };
    let per_second = took.len() as f64 / each.as_secs_f64();
    println!(
        "{name:<34}{:>10.2}{:>10.2}{per_second:>10.0}{conflicts:>11}",
        at(50),
        at(99)
    );
    Ok(())
}
