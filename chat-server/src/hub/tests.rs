//! Tests of the hub: nodes that share a store, and a bus that loses.

mod healing;

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::Poll;

use shared::clock::{ManualClock, SystemClock};
use stomp::Version;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::append::{Appender, AppenderParts, RoomHeadsParts};
use crate::bus::local::LocalBus;
use crate::log::{Draft, Kind, Uid};
use crate::store::embedded::EmbeddedStore;
use crate::store::faulty::{Fault, FaultyStore, Operation};
use crate::store::{RoomStore, SyncMode};

const PATIENCE: Duration = Duration::from_secs(20);

/// The live half of a node, and what the bus has for it.
struct Node {
    hub: Hub,
    appender: Appender,
    faulty: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    heard: Receiver<BusEvent>,
}

fn store() -> (TempDir, Arc<EmbeddedStore>) {
    let folder = tempfile::tempdir().unwrap();
    let sync = SyncMode::Every(Duration::from_secs(1));
    let store = EmbeddedStore::open(folder.path(), sync).unwrap();
    (folder, Arc::new(store))
}

fn node(bus: &LocalBus, store: &Arc<EmbeddedStore>, capacity: usize) -> Node {
    let (bus, heard) = bus.attach(capacity);
    node_on(Arc::new(bus), heard, store)
}

fn node_on(bus: Arc<dyn Bus>, heard: Receiver<BusEvent>, store: &Arc<EmbeddedStore>) -> Node {
    let faulty = Arc::new(FaultyStore::new(Arc::clone(store)));
    let messages = Arc::clone(&faulty) as Arc<dyn MessageStore>;
    let clock = Arc::new(ManualClock::new(SystemClock.unix_millis()));
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
    let heads = RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(&faulty) as Arc<dyn RoomStore>,
        messages: Arc::clone(&messages),
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let hub = Hub::new(HubParts {
        store: Arc::clone(&messages),
        heads: heads.clone(),
        bus: Arc::clone(&bus),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let shown = hub.clone();
    let appender = Appender::new(AppenderParts {
        store: messages,
        heads,
        bus,
        clock: Arc::new(SystemClock),
        drain,
        metrics: Arc::clone(&metrics),
        placed: Box::new(|_, _, _| {}),
        stored: Box::new(move |topic, entries, wakers| shown.take_stored(topic, entries, wakers)),
    });
    Node {
        hub,
        appender,
        faulty,
        clock,
        metrics,
        heard,
    }
}

fn room() -> RoomId {
    RoomId::try_from(1_i64).unwrap()
}

fn topic() -> Topic {
    Topic::Room(room())
}

impl Node {
    async fn send(&self, count: usize) {
        for _ in 0..count {
            let draft = Draft {
                uid: Uid(rand::random()),
                kind: Kind::Chat,
                sender: None,
                client_message_id: None,
                headers: Vec::new(),
                content_type: None,
                body: Bytes::from_static(b"hello"),
                sent_at: SystemClock.unix_millis(),
            };
            self.appender.send(topic(), vec![draft]).await.unwrap();
        }
    }

    async fn follow(&self) -> Follower {
        let wake_queue = Arc::new(WakeQueue::default());
        let follow = self
            .hub
            .follow(topic(), Part::Log, Arc::clone(&wake_queue), 7)
            .await;
        let following = follow.unwrap();
        let cursor = following.topic().head();
        Follower {
            following,
            wake_queue,
            cursor,
            seen: Vec::new(),
        }
    }

    /// Takes `count` events from the bus to the hub.
    async fn hear(&mut self, count: usize) {
        for _ in 0..count {
            let event = self.next_event().await;
            self.hub.take_from_bus(event);
        }
    }

    async fn next_event(&mut self) -> BusEvent {
        let event = timeout(PATIENCE, self.heard.recv()).await;
        event.expect("an event in time").unwrap()
    }
}

/// A subscription, without a connection.
struct Follower {
    following: Following,
    wake_queue: Arc<WakeQueue>,
    cursor: Seq,
    seen: Vec<u32>,
}

impl Follower {
    /// Whether the bell has rung; pulls what is there.
    fn look(&mut self) -> bool {
        let mut dirty = Vec::new();
        self.wake_queue.take(&mut dirty);
        let variant = Arc::new(FrameVariant {
            view: DestinationView::Room,
            version: Version::V1_2,
            subscription: None,
            acks: false,
        });
        let (following, seen) = (&self.following, &mut self.seen);
        let pulled = following.pull(&mut self.cursor, &variant, |entry, _| {
            seen.push(entry.seq.get());
            ControlFlow::Continue(())
        });
        assert_eq!(pulled, Pulled::UpToDate);
        dirty == [7]
    }

    /// Pulls what is there, from the store where the ring does not reach back.
    async fn pull(&mut self, store: &EmbeddedStore) {
        let variant = Arc::new(FrameVariant {
            view: DestinationView::Room,
            version: Version::V1_2,
            subscription: None,
            acks: false,
        });
        let (following, seen) = (&self.following, &mut self.seen);
        loop {
            let pulled = following.pull(&mut self.cursor, &variant, |entry, _| {
                seen.push(entry.seq.get());
                ControlFlow::Continue(())
            });
            let Pulled::Behind(head) = pulled else { return };
            let first = self.cursor.next().unwrap();
            let page = store
                .read(topic(), first, head, ReadConsistency::Quorum)
                .await;
            seen.extend(page.unwrap().iter().map(|entry| entry.seq.get()));
            self.cursor = head;
        }
    }

    /// Pulls whenever the bell rings, until it has seen this position.
    async fn until(&mut self, last: u32) {
        while self.cursor.get() < last {
            let rung = timeout(PATIENCE, poll_fn(|cx| self.wake_queue.poll_ready(cx))).await;
            rung.unwrap_or_else(|_| panic!("in vain: {last}, seen {:?}", self.seen));
            self.look();
        }
    }
}

#[tokio::test]
async fn what_one_node_stores_is_seen_on_all_that_follow() {
    let (_folder, store) = store();
    let bus = LocalBus::new();
    let (mut a, b) = (node(&bus, &store, 64), node(&bus, &store, 64));
    b.send(2).await;
    let (mut on_a, mut on_b) = (a.follow().await, b.follow().await);
    assert_eq!((on_a.cursor.get(), on_b.cursor.get()), (2, 2));
    b.send(3).await;
    on_b.until(5).await;
    a.hear(3).await;
    assert!(on_a.look(), "marked");
    assert_eq!((&*on_a.seen, &*on_b.seen), (&[3, 4, 5][..], &[3, 4, 5][..]));
    a.send(1).await;
    on_a.until(6).await;
    assert!(!on_b.look(), "not announced yet");
    assert_eq!(on_a.seen, [3, 4, 5, 6]);
}

#[tokio::test]
async fn what_the_bus_lost_comes_from_the_store_once_something_is_heard() {
    let (_folder, store) = store();
    let bus = LocalBus::new();
    let (mut a, b) = (node(&bus, &store, 64), node(&bus, &store, 64));
    let mut on_a = a.follow().await;
    b.send(5).await;
    for _ in 0..4 {
        drop(a.next_event().await); // lost on the way
    }
    assert!(!on_a.look());
    a.hear(1).await;
    on_a.until(5).await;
    assert_eq!(on_a.seen, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn after_a_loss_the_heads_are_read_until_the_store_answers() {
    for failures in [0, 2] {
        let (_folder, store) = store();
        let bus = LocalBus::new();
        let (mut a, b) = (node(&bus, &store, 1), node(&bus, &store, 64));
        let mut on_a = a.follow().await;
        b.send(3).await;
        let first = a.next_event().await;
        assert!(matches!(first, BusEvent::Entries(..)));
        a.faulty
            .script(Operation::Head, vec![Fault::Fail; failures]);
        let lost = a.next_event().await;
        assert!(matches!(lost, BusEvent::Lost));
        a.hub.take_from_bus(lost);
        on_a.until(3).await;
        assert_eq!(on_a.seen, [1, 2, 3]);
        assert_eq!(a.faulty.remaining(Operation::Head), 0);
    }
}

#[tokio::test]
async fn a_topic_lingers_after_its_last_follower_and_then_leaves_the_bus() {
    let (_folder, store) = store();
    let bus = LocalBus::new();
    let (mut a, b) = (node(&bus, &store, 64), node(&bus, &store, 64));
    drop(a.follow().await);
    a.hub.sweep().await;
    a.clock.advance(LINGER / 2);
    a.hub.sweep().await;
    assert_eq!(a.hub.topics_count(), 1);
    // Whoever comes back meanwhile finds the topic as it was, and keeps it.
    b.send(1).await;
    a.hear(1).await;
    let mut back = a.follow().await;
    assert_eq!(back.cursor.get(), 1);
    a.clock.advance(LINGER * 2);
    a.hub.sweep().await;
    b.send(1).await;
    a.hear(1).await;
    back.until(2).await;
    let topic_count = back.following.topic().followers_count();
    assert_eq!(topic_count, (1, 0));
    drop(back);
    // Its time begins when the last follower has gone, not when it came.
    a.hub.sweep().await;
    assert_eq!(a.hub.topics_count(), 1);
    a.clock.advance(LINGER);
    a.hub.sweep().await;
    assert_eq!(a.hub.topics_count(), 0);
    b.send(1).await;
    assert!(
        a.heard.try_recv().is_err(),
        "the topic is not subscribed any more"
    );
    assert_eq!(a.follow().await.cursor.get(), 3);
}

#[tokio::test]
async fn a_follower_that_could_not_join_leaves_nothing_behind() {
    let (_folder, store) = store();
    let a = node(&LocalBus::new(), &store, 64);
    a.faulty.script(Operation::Head, [Fault::Fail]);
    let wake_queue = Arc::new(WakeQueue::default());
    let failed = a.hub.follow(topic(), Part::Log, wake_queue, 0).await;
    assert!(failed.is_err());
    let mut follower = a.follow().await;
    a.send(1).await;
    follower.until(1).await;
    assert_eq!(follower.following.topic().followers_count(), (1, 0));
}

/// Gives the bus to the hub until the follower has seen this position; what it saw.
async fn see(
    hub: Hub,
    mut heard: Receiver<BusEvent>,
    mut follower: Follower,
    last: u32,
) -> Vec<u32> {
    let hearing = async {
        while let Some(event) = heard.recv().await {
            hub.take_from_bus(event);
        }
    };
    tokio::select! {
        () = follower.until(last) => {}
        () = hearing => panic!("the bus ended"),
    }
    follower.seen
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_write_at_once_show_everything_once_everywhere() {
    let (_folder, store) = store();
    let bus = LocalBus::new();
    // So few places that some is lost on the way.
    let mut nodes: Vec<Node> = (0..3).map(|_| node(&bus, &store, 4)).collect();
    let mut followers = Vec::new();
    for node in &nodes {
        followers.push(node.follow().await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (node, follower) in nodes.iter_mut().zip(followers) {
        let (_, closed) = tokio::sync::mpsc::channel(1);
        let heard = std::mem::replace(&mut node.heard, closed);
        tasks.spawn(see(node.hub.clone(), heard, follower, 150));
    }
    let writing = nodes.iter().map(|node| node.send(50));
    futures_util::future::join_all(writing).await;
    for seen in tasks.join_all().await {
        assert_eq!(seen, (1..=150).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn events_reach_who_follows_them_and_not_the_log() {
    let (_folder, store) = store();
    let bus = LocalBus::new();
    let (mut a, b) = (node(&bus, &store, 64), node(&bus, &store, 64));
    let mut log = a.follow().await;
    let wake_queue = Arc::new(WakeQueue::default());
    let follow = a
        .hub
        .follow(topic(), Part::Events, Arc::clone(&wake_queue), 3);
    let _following = follow.await.unwrap();
    let member_id = 5_i64.try_into().unwrap();
    b.hub.publish_event(room(), RoomEvent::Typing { member_id });
    a.hear(1).await;
    let control = wake_queue.take(&mut Vec::new());
    let Some(ConnectionEvent::Event { slot: 3, body }) = control.front() else {
        panic!("{control:?}");
    };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        (&body["type"], &body["memberId"]),
        (&"typing".into(), &5.into())
    );
    assert!(!log.look());
}

/// Polls once.
async fn is_waiting(mut future: Pin<&mut impl Future>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_follower_that_gave_up_joining_leaves_nothing_behind() {
    let (_folder, store) = store();
    let a = node(&LocalBus::new(), &store, 64);
    a.faulty.set(&[Operation::Head], Fault::Hang);
    {
        let mut follow = pin!(a.follow());
        assert!(is_waiting(follow.as_mut()).await);
    }
    a.hub.sweep().await;
    a.clock.advance(LINGER);
    a.hub.sweep().await;
    assert_eq!(a.hub.topics_count(), 0);
    // Who waits for the same beginning takes over where the first one gave up.
    let mut second = pin!(a.follow());
    {
        let mut first = pin!(a.follow());
        assert!(is_waiting(first.as_mut()).await);
        assert!(is_waiting(second.as_mut()).await);
    }
    a.faulty.heal();
    assert_eq!(second.await.cursor, Seq::ZERO);
}

#[tokio::test]
async fn many_losses_are_one_look_at_all_and_one_more() {
    let (_folder, store) = store();
    let a = node(&LocalBus::new(), &store, 64);
    let _following = a.follow().await;
    let heads = || a.faulty.calls(Operation::Head);
    assert_eq!(heads(), 1);
    for _ in 0..100 {
        a.hub.take_from_bus(BusEvent::Lost);
    }
    // All these events are handled by one task, which has not run yet.
    let names = || a.hub.state.parts.drain.running();
    assert_eq!(names(), [("hub-heads", 1)]);
    let over = async {
        while !names().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, over).await.expect("it comes to an end");
    assert_eq!(heads(), 2);
    a.hub.take_from_bus(BusEvent::Lost);
    let checks = async {
        while heads() < 3 {
            tokio::task::yield_now().await;
        }
        a.hub.take_from_bus(BusEvent::Lost); // after that look began
        while !names().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, checks).await.expect("it checks again");
    assert!((3..=4).contains(&heads()), "{}", heads());
}

/// Comes and goes until it has seen the last position.
async fn visit(node: Arc<Node>, last: u32) {
    let mut stay = 0;
    loop {
        let mut visitor = node.follow().await;
        let first = visitor.cursor.get() + 1;
        stay = (stay + 1) % 4;
        let until = last.min(first + stay);
        while visitor.cursor.get() < until {
            let ready = poll_fn(|cx| visitor.wake_queue.poll_ready(cx));
            let rung = timeout(PATIENCE, ready).await;
            rung.unwrap_or_else(|_| panic!("in vain: {until}, from {first} on"));
            visitor.wake_queue.take(&mut Vec::new());
            visitor.pull(&node.faulty.store()).await;
        }
        let end = visitor.cursor.get();
        assert_eq!(visitor.seen, (first..=end).collect::<Vec<_>>());
        if end == last {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_misses_nothing_between() {
    const LAST: u32 = 400;
    let (_folder, store) = store();
    let bus = LocalBus::new();
    // So few places that some is lost on the way.
    let (mut a, b) = (node(&bus, &store, 2), node(&bus, &store, 1));
    let (_, closed) = tokio::sync::mpsc::channel(1);
    let mut heard = std::mem::replace(&mut a.heard, closed);
    let a = Arc::new(a);
    let mut visiting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        visiting.spawn(visit(Arc::clone(&a), LAST));
    }
    let hearing = async {
        while let Some(event) = heard.recv().await {
            a.hub.take_from_bus(event);
        }
    };
    // Whatever is idle for a moment has been idle for long.
    let sweeping = async {
        loop {
            a.clock.advance(LINGER);
            a.hub.sweep().await;
            tokio::task::yield_now().await;
        }
    };
    let visited = async {
        b.send(LAST as usize).await;
        visiting.join_all().await;
    };
    tokio::select! {
        () = visited => {}
        () = hearing => panic!("the bus ended"),
        () = sweeping => {}
    }
}
