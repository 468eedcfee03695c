//! The contract of `Bus`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_server::bus::{Bus, BusEvent, Control};
use chat_server::log::{Entry, RoomEvent, Topic};
use shared::ids::Seq;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::make::{batch, fresh_member, fresh_room, fresh_topic, member, seq};

/// Longer than any bus takes; what has not come then is missing.
const EVENT_WAIT: Duration = Duration::from_secs(10);

/// A node of the bus under test.
pub(crate) struct Node {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) events: mpsc::Receiver<BusEvent>,
}

/// A bus to attach nodes to; the number is how many events a node's receiver takes.
pub(crate) trait Subject {
    fn attach(&self, capacity: usize) -> impl Future<Output = Node> + Send;
}

/// Runs every test of this file against what `$open` opens.
#[macro_export]
macro_rules! bus_contract {
    ($open:path) => {
        $crate::bus_contract! { @ $open:
            subscribed_node_hears_entries,
            subscribed_node_hears_room_events,
            inbox_and_room_of_one_number_are_apart,
            node_does_not_hear_itself,
            node_does_not_hear_what_it_left_or_never_followed,
            subscribe_twice_is_the_same_as_once,
            events_of_a_publisher_arrive_in_its_order,
            every_other_node_hears,
            full_receiver_loses_to_one_lost,
            lost_waits_for_no_further_event,
            receiver_works_again_after_lost,
            slow_node_holds_up_no_other,
            nothing_is_missing_without_a_lost,
            orders_reach_every_other_node_unasked,
            noted_heads_are_answered_in_the_order_asked,
            many_topics_are_subscribed_at_once,
            close_sends_what_was_published,
            closed_node_hears_nothing,
        }
    };
    (@ $open:path: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::contract::bus::$name(&$open().await).await;
            }
        )+
    };
}

fn entries(head: u64, count: u32) -> Arc<[Arc<Entry>]> {
    batch(seq(head), count, u128::from(head) + 1).into()
}

impl Node {
    async fn next(&mut self) -> BusEvent {
        let event = timeout(EVENT_WAIT, self.events.recv()).await;
        event
            .expect("an event within time")
            .expect("the bus is there")
    }

    /// The next event is entries; gives them.
    async fn next_entries(&mut self) -> (Topic, Arc<[Arc<Entry>]>) {
        match self.next().await {
            BusEvent::Entries(topic, entries) => (topic, entries),
            other => panic!("expected entries, got {other:?}"),
        }
    }

    /// Nothing came before what `from` publishes now, to a topic that is followed for that alone.
    async fn assert_quiet(&mut self, from: &Node) {
        let topic = fresh_topic();
        self.bus.subscribe(topic).await.unwrap();
        from.bus.publish(topic, entries(0, 1));
        let (heard, _) = self.next_entries().await;
        assert_eq!(heard, topic);
        self.bus.unsubscribe(topic).await;
    }
}

async fn two(subject: &impl Subject) -> (Node, Node) {
    (subject.attach(64).await, subject.attach(64).await)
}

pub(crate) async fn subscribed_node_hears_entries(subject: &impl Subject) {
    let (here, mut there) = two(subject).await;
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    here.bus.publish(topic, entries(4, 3));
    let (heard, arrived) = there.next_entries().await;
    assert_eq!(heard, topic);
    assert_eq!(arrived, entries(4, 3));
}

pub(crate) async fn subscribed_node_hears_room_events(subject: &impl Subject) {
    let (here, mut there) = two(subject).await;
    let room = fresh_room();
    let who = fresh_member();
    there.bus.subscribe(Topic::Room(room)).await.unwrap();
    let id = Topic::Room(room).message_id(seq(3)).unwrap();
    let sent = [
        RoomEvent::Typing { member_id: who },
        RoomEvent::Read {
            member_id: who,
            up_to: id,
        },
        RoomEvent::Joined { member_id: who },
        RoomEvent::Left { member_id: who },
        RoomEvent::Online { member_id: who },
        RoomEvent::Offline { member_id: who },
        RoomEvent::Deleted {
            member_id: who,
            chat_message_id: id,
        },
    ];
    for event in sent {
        here.bus.publish_event(room, event);
    }
    for event in sent {
        match there.next().await {
            BusEvent::Room(heard, arrived) => assert_eq!((heard, arrived), (room, event)),
            other => panic!("expected {event:?}, got {other:?}"),
        }
    }
}

pub(crate) async fn inbox_and_room_of_one_number_are_apart(subject: &impl Subject) {
    let (here, mut there) = two(subject).await;
    let room = fresh_room();
    let inbox = Topic::Inbox(member(u64::from(room.get())));
    there.bus.subscribe(inbox).await.unwrap();
    here.bus.publish(Topic::Room(room), entries(0, 1));
    here.bus.publish_event(
        room,
        RoomEvent::Typing {
            member_id: fresh_member(),
        },
    );
    here.bus.publish(inbox, entries(0, 2));
    let (heard, arrived) = there.next_entries().await;
    assert_eq!((heard, arrived.len()), (inbox, 2));
}

pub(crate) async fn node_does_not_hear_itself(subject: &impl Subject) {
    let (mut here, there) = two(subject).await;
    let topic = fresh_topic();
    here.bus.subscribe(topic).await.unwrap();
    here.bus.publish(topic, entries(0, 1));
    here.assert_quiet(&there).await;
}

pub(crate) async fn node_does_not_hear_what_it_left_or_never_followed(subject: &impl Subject) {
    let (here, mut there) = two(subject).await;
    let (left, never) = (fresh_topic(), fresh_topic());
    there.bus.subscribe(left).await.unwrap();
    there.bus.unsubscribe(left).await;
    there.bus.unsubscribe(never).await;
    here.bus.publish(left, entries(0, 1));
    here.bus.publish(never, entries(0, 1));
    there.assert_quiet(&here).await;
}

pub(crate) async fn subscribe_twice_is_the_same_as_once(subject: &impl Subject) {
    let (here, mut there) = two(subject).await;
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    there.bus.subscribe(topic).await.unwrap();
    here.bus.publish(topic, entries(0, 1));
    assert_eq!(there.next_entries().await.0, topic);
    there.bus.unsubscribe(topic).await;
    here.bus.publish(topic, entries(1, 1));
    there.assert_quiet(&here).await;
}

pub(crate) async fn events_of_a_publisher_arrive_in_its_order(subject: &impl Subject) {
    let mut there = subject.attach(1_000).await;
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    let mut tasks = JoinSet::new();
    for publisher in 0..4_u64 {
        let here = subject.attach(1).await;
        tasks.spawn(async move {
            for nth in 0..100 {
                here.bus.publish(topic, entries(publisher * 1_000 + nth, 1));
            }
            here
        });
    }
    let kept = tasks.join_all().await;
    let mut next = [1, 1_001, 2_001, 3_001];
    for _ in 0..400 {
        let (_, arrived) = there.next_entries().await;
        let at = arrived[0].seq.get();
        let of_publisher = &mut next[at as usize / 1_000];
        assert_eq!(at, *of_publisher);
        *of_publisher += 1;
    }
    drop(kept);
}

pub(crate) async fn every_other_node_hears(subject: &impl Subject) {
    let here = subject.attach(8).await;
    let topic = fresh_topic();
    let mut others = Vec::new();
    for _ in 0..3 {
        let node = subject.attach(8).await;
        node.bus.subscribe(topic).await.unwrap();
        others.push(node);
    }
    here.bus.publish(topic, entries(0, 1));
    for node in &mut others {
        assert_eq!(node.next_entries().await.0, topic);
    }
    // One of them goes; the others hear on.
    others.remove(0);
    here.bus.publish(topic, entries(1, 1));
    for node in &mut others {
        assert_eq!(node.next_entries().await.1[0].seq, seq(2));
    }
}

/// Publishes `count` entries from `head` on to a node that does not read.
fn flood(from: &Node, topic: Topic, head: u64, count: u64) {
    for nth in head..head + count {
        from.bus.publish(topic, entries(nth, 1));
    }
}

/// Ends when so many wait in the node's receiver.
async fn until_waiting(node: &Node, count: usize) {
    let waiting = async {
        while node.events.len() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(EVENT_WAIT, waiting).await.expect("a full receiver");
}

/// Reads until `Lost`; gives how many events came before it.
async fn until_lost(node: &mut Node) -> usize {
    let mut before = 0;
    while !matches!(node.next().await, BusEvent::Lost) {
        before += 1;
    }
    before
}

/// Reads until the entry that `from` publishes now, at `mark`, arrives. `from` publishes it again
/// whenever it may have been lost; a `Lost` is never followed by another one.
async fn until_heard_again(node: &mut Node, from: &Node, topic: Topic, mark: u64) {
    from.bus.publish(topic, entries(mark, 1));
    let mut after_lost = false;
    loop {
        let event = node.next().await;
        let is_lost = matches!(event, BusEvent::Lost);
        assert!(!(is_lost && after_lost), "one lost after the other");
        after_lost = is_lost;
        match event {
            BusEvent::Entries(_, entries) if entries[0].seq > seq(mark) => return,
            BusEvent::Lost => from.bus.publish(topic, entries(mark, 1)),
            _ => {}
        }
    }
}

pub(crate) async fn full_receiver_loses_to_one_lost(subject: &impl Subject) {
    let (here, mut there) = (subject.attach(8).await, subject.attach(8).await);
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    flood(&here, topic, 0, 500);
    until_waiting(&there, 9).await;
    assert_eq!(until_lost(&mut there).await, 8);
    // One, not one for each that was lost.
    until_heard_again(&mut there, &here, topic, 10_000).await;
}

pub(crate) async fn lost_waits_for_no_further_event(subject: &impl Subject) {
    let (here, mut there) = (subject.attach(1).await, subject.attach(1).await);
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    flood(&here, topic, 0, 500);
    // Nothing is published any more, and yet it comes.
    until_lost(&mut there).await;
}

pub(crate) async fn receiver_works_again_after_lost(subject: &impl Subject) {
    let (here, mut there) = (subject.attach(4).await, subject.attach(4).await);
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    for round in 0..5 {
        flood(&here, topic, round * 1_000, 500);
        until_waiting(&there, 4).await;
        until_heard_again(&mut there, &here, topic, round * 1_000 + 600).await;
    }
}

pub(crate) async fn slow_node_holds_up_no_other(subject: &impl Subject) {
    let here = subject.attach(1).await;
    let slow = subject.attach(1).await;
    let mut quick = subject.attach(1_000).await;
    let topic = fresh_topic();
    slow.bus.subscribe(topic).await.unwrap();
    quick.bus.subscribe(topic).await.unwrap();
    flood(&here, topic, 0, 500);
    for nth in 1..=500 {
        assert_eq!(quick.next_entries().await.1[0].seq, seq(nth));
    }
    drop(slow);
}

/// A publisher at full speed against a reader with a small buffer, which does as a hub does: after
/// a `Lost` it reads the store's head, and from there on no entry may be missing.
pub(crate) async fn nothing_is_missing_without_a_lost(subject: &impl Subject) {
    const COUNT: u64 = 20_000;
    let (here, mut there) = (subject.attach(1).await, subject.attach(3).await);
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    let store_head = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let stored = Arc::clone(&store_head);
    tasks.spawn_blocking(move || {
        for nth in 0..COUNT {
            stored.store(nth + 1, Ordering::SeqCst);
            here.bus.publish(topic, entries(nth, 1));
        }
        here
    });
    let mut known = Seq::ZERO;
    while known < seq(COUNT) {
        match there.next().await {
            BusEvent::Entries(_, entries) if entries[0].seq > known => {
                assert_eq!(
                    Some(entries[0].seq),
                    known.next(),
                    "missing, and no lost came"
                );
                known = entries[0].seq;
            }
            BusEvent::Entries(..) => {}
            BusEvent::Lost => known = seq(store_head.load(Ordering::SeqCst)),
            BusEvent::Head(_, head) => known = known.max(head),
            BusEvent::Room(..) | BusEvent::Control(_) => panic!("nobody sent that"),
        }
    }
    tasks.join_all().await;
}

fn node_control() -> [Control; 3] {
    [
        Control::RoomChanged {
            room_id: fresh_room(),
        },
        Control::AccountStatusChanged {
            member_id: fresh_member(),
        },
        Control::Disconnect {
            member_id: fresh_member(),
        },
    ]
}

pub(crate) async fn orders_reach_every_other_node_unasked(subject: &impl Subject) {
    let (mut here, mut one) = two(subject).await;
    let mut other = subject.attach(64).await;
    let node_control = node_control();
    for order in node_control {
        here.bus.publish_control(order);
    }
    for node in [&mut one, &mut other] {
        for order in node_control {
            match node.next().await {
                BusEvent::Control(arrived) => assert_eq!(arrived, order),
                event => panic!("expected {order:?}, got {event:?}"),
            }
        }
    }
    here.assert_quiet(&one).await;
}

pub(crate) async fn noted_heads_are_answered_in_the_order_asked(subject: &impl Subject) {
    let (here, mut there) = two(subject).await;
    let noted: Vec<_> = (1..=1_200).map(|head| (fresh_topic(), seq(head))).collect();
    let published = fresh_topic();
    there.bus.subscribe(published).await.unwrap();
    for (topic, head) in &noted {
        here.bus.note_head(*topic, *head);
    }
    here.bus.publish(published, entries(4, 3));
    // What was noted before it is noted when it arrives.
    there.next_entries().await;
    let known = there.bus.heads(&[published]).await.unwrap();
    assert!(known[0].is_none_or(|head| head == seq(7)));
    let mut topics: Vec<_> = noted.iter().map(|(topic, _)| *topic).collect();
    topics.insert(600, fresh_topic());
    let mut known = there.bus.heads(&topics).await.unwrap();
    assert_eq!(known.remove(600), None);
    assert_eq!(known.len(), noted.len());
    for ((_, head), known) in noted.iter().zip(known) {
        assert!(known.is_none_or(|known| known == *head));
    }
    assert_eq!(there.bus.heads(&[]).await.unwrap(), []);
}

pub(crate) async fn many_topics_are_subscribed_at_once(subject: &impl Subject) {
    let here = subject.attach(8).await;
    let mut there = subject.attach(2_000).await;
    let topics: Vec<_> = (0..1_500).map(|_| fresh_topic()).collect();
    let mut tasks = JoinSet::new();
    for topic in topics.clone() {
        let bus = Arc::clone(&there.bus);
        tasks.spawn(async move { bus.subscribe(topic).await.unwrap() });
    }
    tasks.join_all().await;
    for topic in &topics {
        here.bus.publish(*topic, entries(0, 1));
    }
    for _ in &topics {
        there.next_entries().await;
    }
}

pub(crate) async fn close_sends_what_was_published(subject: &impl Subject) {
    let here = subject.attach(8).await;
    let mut there = subject.attach(2_000).await;
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap();
    flood(&here, topic, 0, 1_000);
    here.bus.close(EVENT_WAIT).await;
    for nth in 1..=1_000 {
        assert_eq!(there.next_entries().await.1[0].seq, seq(nth));
    }
}

pub(crate) async fn closed_node_hears_nothing(subject: &impl Subject) {
    let (here, mut left) = two(subject).await;
    let mut witness = subject.attach(8).await;
    let topic = fresh_topic();
    left.bus.subscribe(topic).await.unwrap();
    witness.bus.subscribe(topic).await.unwrap();
    left.bus.close(EVENT_WAIT).await;
    here.bus.publish(topic, entries(0, 1));
    witness.next_entries().await;
    let heard = left.events.try_recv();
    assert!(heard.is_err(), "{heard:?}");
}
