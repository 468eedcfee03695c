//! The embedded store: appends by how many topics have one in flight, and reads of a page.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_server::log::{Draft, Entry, Kind, Topic, Uid};
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{Append, MessageStore, ReadConsistency, SyncMode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::RngExt;
use shared::clock::{Clock, SystemClock, UnixMillis};
use shared::ids::{MemberId, RoomId, Seq};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// With its other fields 220 bytes on the disk.
const BODY_BYTES: usize = 180;
const PAGE: u32 = 50;

fn seq(number: u32) -> Seq {
    Seq::try_from(u64::from(number)).expect("below 2^22")
}

fn topic(number: u32) -> Topic {
    Topic::Room(RoomId::try_from(u64::from(number)).expect("not zero"))
}

/// A topic without entries.
fn fresh_topic() -> Topic {
    topic(rand::rng().random_range(1 << 20..1 << 31))
}

fn entry(at: Seq, body: &Bytes) -> Arc<Entry> {
    let sender = MemberId::try_from(7_u64).expect("not zero");
    Arc::new(Entry {
        seq: at,
        deleted: false,
        draft: Draft {
            uid: Uid(u128::from(at.get())),
            kind: Kind::Chat,
            sender: Some(sender),
            client_message_id: Some("0123456789".into()),
            headers: Vec::new(),
            content_type: None,
            body: body.clone(),
            sent_at: UnixMillis::EPOCH,
        },
    })
}

/// Appends one entry after another.
async fn append_many(store: &EmbeddedStore, topic: Topic, count: u64, body: &Bytes) {
    let mut head = Seq::ZERO;
    for _ in 0..count {
        let next = head.next().expect("a bench ends before a topic does");
        let outcome = store.append(topic, head, vec![entry(next, body)]).await;
        assert_eq!(outcome.expect("the disk works"), Append::Applied);
        head = next;
    }
}

/// `topics` topics at once get `count` entries each.
async fn append_at_once(
    store: &Arc<EmbeddedStore>,
    topics: u64,
    count: u64,
    body: &Bytes,
) -> Duration {
    let start = SystemClock.now();
    let mut tasks = JoinSet::new();
    for _ in 0..topics {
        let (store, body) = (Arc::clone(store), body.clone());
        tasks.spawn(async move { append_many(&store, fresh_topic(), count, &body).await });
    }
    tasks.join_all().await;
    SystemClock.now() - start
}

fn bench_append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let modes = [
        ("synced", SyncMode::Always),
        ("buffered", SyncMode::Every(Duration::from_millis(100))),
    ];
    for (name, sync) in modes {
        let folder = tempfile::tempdir().expect("a folder");
        let store = EmbeddedStore::open(folder.path(), sync).expect("a new store");
        let store = Arc::new(store);
        let mut group = criterion.benchmark_group(format!("append {name}"));
        for topics in [1, 64, 500] {
            group.throughput(Throughput::Elements(topics));
            group.bench_function(format!("{topics} topics"), |bencher| {
                bencher.iter_custom(|count| {
                    runtime.block_on(append_at_once(&store, topics, count, &body))
                });
            });
        }
        group.finish();
    }
}

fn bench_read(criterion: &mut Criterion) {
    const TOPICS: u32 = 500;
    const ENTRIES: u32 = 400;
    let runtime = Runtime::new().expect("a runtime");
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let folder = tempfile::tempdir().expect("a folder");
    let sync = SyncMode::Every(Duration::from_millis(100));
    let store = EmbeddedStore::open(folder.path(), sync).expect("a new store");
    runtime.block_on(async {
        // Round by round, so that a topic's entries lie apart as they do in use.
        for at in (1..=ENTRIES).map(seq) {
            let before = seq(at.get() - 1);
            let appends = (1..=TOPICS)
                .map(|number| store.append(topic(number), before, vec![entry(at, &body)]));
            futures_util::future::join_all(appends).await;
        }
    });
    let mut group = criterion.benchmark_group("read");
    group.bench_function("page of 50", |bencher| {
        bencher.iter(|| {
            let topic = topic(rand::rng().random_range(1..=TOPICS));
            let first = seq(rand::rng().random_range(1..=ENTRIES - PAGE));
            let last = seq(first.get() + PAGE - 1);
            let page = runtime.block_on(store.read(topic, first, last, ReadConsistency::Quorum));
            assert_eq!(page.expect("the disk works").len(), PAGE as usize);
        });
    });
    group.bench_function("head of a busy topic", |bencher| {
        bencher.iter(|| {
            let topic = topic(rand::rng().random_range(1..=TOPICS));
            runtime
                .block_on(store.head(topic, ReadConsistency::Quorum))
                .expect("the disk works")
        });
    });
    drop(store);
    let store = EmbeddedStore::open(folder.path(), sync).expect("the same store");
    group.bench_function("head of a quiet topic", |bencher| {
        bencher.iter(|| {
            let topic = topic(rand::rng().random_range(1..=TOPICS));
            runtime
                .block_on(store.head(topic, ReadConsistency::Quorum))
                .expect("the disk works")
        });
    });
    group.finish();
}

criterion_group!(benches, bench_append, bench_read);
criterion_main!(benches);
