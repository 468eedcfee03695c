//! From a send to its delivery in one process: appender, embedded store, hub, wake queues. No sockets.
//!
//! Each room has two followers and one send at a time: the next is submitted when both have its frame.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_server::append::{Appender, AppenderParts, RoomHeads, RoomHeadsParts};
use chat_server::bus::Bus;
use chat_server::bus::local::LocalBus;
use chat_server::hub::{DestinationView, FrameVariant, Hub, HubParts, Part};
use chat_server::log::{Draft, Kind, Topic, Uid};
use chat_server::metrics::Metrics;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{MessageStore, RoomStore, SyncMode};
use chat_server::wake_queue::WakeQueue;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::RngExt;
use shared::clock::{Clock, SystemClock, UnixMillis};
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use stomp::Version;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const BODY_BYTES: usize = 96;
const FOLLOWERS: usize = 2;

struct Node {
    appender: Appender,
    hub: Hub,
}

fn node(store: &Arc<EmbeddedStore>) -> Node {
    let messages = Arc::clone(store) as Arc<dyn MessageStore>;
    let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
    let bus = Arc::new(LocalBus::new().attach(1).0) as Arc<dyn Bus>;
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
    let heads = RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(store) as Arc<dyn RoomStore>,
        messages: Arc::clone(&messages),
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let hub = Hub::new(HubParts {
        store: Arc::clone(&messages),
        heads: heads.clone(),
        bus: Arc::clone(&bus),
        clock: Arc::clone(&clock),
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let shown = hub.clone();
    let appender = Appender::new(AppenderParts {
        store: messages,
        heads,
        bus,
        clock,
        drain,
        metrics,
        stored: Box::new(move |topic, entries, wakers| shown.take_stored(topic, entries, wakers)),
        placed: Box::new(|_, _, _| {}),
    });
    Node { appender, hub }
}

fn draft(body: &Bytes) -> Draft {
    Draft {
        uid: Uid(rand::random()),
        kind: Kind::Chat,
        sender: MemberId::try_from(7_u64).ok(),
        client_message_id: None,
        headers: Vec::new(),
        content_type: None,
        body: body.clone(),
        sent_at: UnixMillis::EPOCH,
    }
}

/// Sends `count` messages in one room, one after another.
async fn talk(node: Arc<Node>, topic: Topic, count: u64, body: Bytes) {
    let variant = Arc::new(FrameVariant {
        view: DestinationView::Room,
        version: Version::V1_2,
        subscription: Some("sub-0".into()),
        acks: false,
    });
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS {
        let queue = Arc::<WakeQueue>::default();
        let following = node.hub.follow(topic, Part::Log, Arc::clone(&queue), 0);
        let following = following.await.expect("the disk works");
        followers.push((queue, following, Seq::ZERO));
    }
    let mut dirty = Vec::new();
    for _ in 0..count {
        let done = Box::new(|outcome: chat_server::append::Outcome, _: &mut _| {
            outcome.expect("the disk works");
        });
        node.appender.submit(topic, None, vec![draft(&body)], done);
        for (queue, following, cursor) in &mut followers {
            poll_fn(|cx| queue.poll_ready(cx)).await;
            queue.take(&mut dirty);
            dirty.clear();
            let mut frames = 0;
            following.pull(cursor, &variant, |_, frame| {
                frames += u32::from(frame.is_some());
                ControlFlow::Continue(())
            });
            assert_eq!(frames, 1);
        }
    }
}

async fn talk_at_once(node: &Arc<Node>, rooms: u64, count: u64, body: &Bytes) -> Duration {
    let start = SystemClock.now();
    let mut tasks = JoinSet::new();
    for _ in 0..rooms {
        let room = RoomId::try_from(rand::rng().random_range(1_u64 << 20..1 << 31));
        let topic = Topic::Room(room.expect("not zero"));
        tasks.spawn(talk(Arc::clone(node), topic, count, body.clone()));
    }
    tasks.join_all().await;
    SystemClock.now() - start
}

fn bench_delivery(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    for (name, sync) in [
        ("synced", SyncMode::Always),
        ("buffered", SyncMode::Every(Duration::from_millis(100))),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(EmbeddedStore::open(folder.path(), sync).expect("a new store"));
        let node = Arc::new(runtime.block_on(async { node(&store) }));
        let mut group = criterion.benchmark_group(format!("send to delivery {name}"));
        for rooms in [1, 64, 500] {
            group.throughput(Throughput::Elements(rooms));
            group.bench_function(format!("{rooms} rooms of two"), |bencher| {
                bencher.iter_custom(|count| {
                    runtime.block_on(talk_at_once(&node, rooms, count, &body))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench_delivery);
criterion_main!(benches);
