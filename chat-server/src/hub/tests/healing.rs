//! What the bus did not tell is found all the same; what never was is not waited for.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::*;
use crate::bus::local::LocalNode;
use crate::bus::{BusError, Control};
use crate::hub::watch::{Turn, check_slice};
use crate::metrics::HeadRead;
use crate::wake_queue::Owner;

/// Turns until the first comes again.
const MINUTE: u32 = 30;
const TEN_MINUTES: u32 = 10 * MINUTE;

/// The real bus with an unreliable middle, and keys for noted heads as other buses have them.
#[derive(Debug)]
struct Middle {
    bus: LocalNode,
    /// Entries go nowhere.
    loses: AtomicBool,
    away: AtomicBool,
    /// Subscribing is never confirmed.
    silent: AtomicBool,
    /// The keys cannot be had.
    dumb: AtomicBool,
    keys: Arc<Keys>,
}

type Keys = Mutex<HashMap<Topic, Seq>>;

#[async_trait]
impl Bus for Middle {
    async fn subscribe(&self, topic: Topic) -> Result<(), BusError> {
        self.bus.subscribe(topic).await?;
        if self.silent.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn unsubscribe(&self, topic: Topic) {
        self.bus.unsubscribe(topic).await;
    }

    fn publish(&self, topic: Topic, entries: Arc<[Arc<Entry>]>) {
        if !self.loses.load(Ordering::Relaxed) {
            self.bus.publish(topic, entries);
        }
    }

    fn publish_event(&self, room: RoomId, event: RoomEvent) {
        self.bus.publish_event(room, event);
    }

    fn publish_control(&self, control: Control) {
        self.bus.publish_control(control);
    }

    fn note_head(&self, topic: Topic, head: Seq) {
        self.keys.lock().unwrap().insert(topic, head);
    }

    async fn heads(&self, topics: &[Topic]) -> Result<Vec<Option<Seq>>, BusError> {
        if self.dumb.load(Ordering::Relaxed) {
            return Err(BusError("no keys".to_owned()));
        }
        let keys = self.keys.lock().unwrap();
        Ok(topics
            .iter()
            .map(|topic| keys.get(topic).copied())
            .collect())
    }

    fn state(&self) -> BusState {
        if self.away.load(Ordering::Relaxed) {
            BusState::Away
        } else {
            BusState::Up
        }
    }

    async fn close(&self, time_max: Duration) {
        self.bus.close(time_max).await;
    }
}

/// Two nodes of one site; what the second stores does not reach the first.
struct Two {
    a: Node,
    b: Node,
    middle: Arc<Middle>,
    store: Arc<EmbeddedStore>,
    _folder: TempDir,
}

fn two() -> Two {
    let (folder, store) = store();
    let (bus, keys) = (LocalBus::new(), Arc::<Keys>::default());
    let attach = |loses| {
        let (bus, heard) = bus.attach(64);
        let middle = Middle {
            bus,
            loses: AtomicBool::new(loses),
            away: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            dumb: AtomicBool::new(false),
            keys: Arc::clone(&keys),
        };
        let middle = Arc::new(middle);
        (Arc::clone(&middle), node_on(middle, heard, &store))
    };
    let ((middle, a), (_, b)) = (attach(false), attach(true));
    Two {
        a,
        b,
        middle,
        store,
        _folder: folder,
    }
}

impl Node {
    /// As many turns of the check.
    async fn check(&self, turn: &mut Turn, turns: u32) {
        for _ in 0..turns {
            check_slice(&self.hub.state, *turn).await;
            *turn = turn.next();
        }
    }

    fn counted(&self, why: HeadRead) -> (u64, u64) {
        let metrics = &self.metrics;
        (metrics.head_reads.get(why), metrics.heads_behind.get(why))
    }

    /// Until no task of the hub runs any more.
    async fn rest(&self) {
        let resting = async {
            while !self.hub.state.parts.drain.running().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, resting).await.expect("it comes to rest");
    }
}

impl Follower {
    /// The close codes that its connection received.
    fn closed_with(&self) -> Vec<u16> {
        let control = self.wake_queue.take(&mut Vec::new());
        let codes = control.iter().map(|event| match event {
            ConnectionEvent::Close(reason) => reason.code.0,
            other @ (ConnectionEvent::Stored { .. }
            | ConnectionEvent::Event { .. }
            | ConnectionEvent::Left { .. }
            | ConnectionEvent::Migrate(_)) => panic!("{other:?}"),
        });
        codes.collect()
    }
}

#[tokio::test]
async fn a_lost_publication_is_found_by_the_head_that_was_noted_before_it() {
    let Two { a, b, .. } = two();
    let (mut on_a, mut turn) = (a.follow().await, Turn::default());
    a.check(&mut turn, MINUTE).await; // thorough for this room
    assert_eq!(a.counted(HeadRead::Check), (1, 0));
    b.send(3).await;
    assert!(!on_a.look(), "not announced");
    a.check(&mut turn, MINUTE).await;
    on_a.until(3).await;
    assert_eq!(on_a.seen, [1, 2, 3]);
    assert_eq!(a.counted(HeadRead::Check), (2, 1));
    // What is noted is what is shown: the store is left alone.
    a.check(&mut turn, 8 * MINUTE).await;
    assert_eq!(a.counted(HeadRead::Check), (2, 1));
}

#[tokio::test]
async fn without_any_note_the_store_is_asked_once_in_ten_minutes() {
    let Two { a, b, middle, .. } = two();
    let (mut on_a, mut turn) = (a.follow().await, Turn::default());
    a.check(&mut turn, TEN_MINUTES).await;
    assert_eq!(a.counted(HeadRead::Check), (1, 0));
    b.send(2).await;
    middle.keys.lock().unwrap().clear();
    a.check(&mut turn, TEN_MINUTES).await;
    on_a.until(2).await;
    assert_eq!(a.counted(HeadRead::Check), (2, 1));
    // Also when the bus does not even say that it knows nothing.
    middle.dumb.store(true, Ordering::Relaxed);
    b.send(1).await;
    a.check(&mut turn, TEN_MINUTES).await;
    on_a.until(3).await;
    assert_eq!(a.counted(HeadRead::Check), (3, 2));
}

#[tokio::test]
async fn a_note_that_is_gone_is_reason_to_ask_the_store_once() {
    let Two { a, b, middle, .. } = two();
    b.send(1).await;
    let (mut on_a, mut turn) = (a.follow().await, Turn::default());
    a.check(&mut turn, 2 * MINUTE).await;
    assert_eq!(a.counted(HeadRead::Check).0, 1);
    b.send(1).await;
    middle.keys.lock().unwrap().clear(); // an empty bus agrees with every hub
    a.check(&mut turn, MINUTE).await;
    on_a.until(2).await;
    assert_eq!(a.counted(HeadRead::Check), (2, 1));
    a.check(&mut turn, 6 * MINUTE).await;
    assert_eq!(a.counted(HeadRead::Check), (2, 1));
}

#[tokio::test]
async fn what_the_store_did_not_answer_is_asked_a_minute_later() {
    let Two { a, b, middle, .. } = two();
    let (mut on_a, mut turn) = (a.follow().await, Turn::default());
    b.send(1).await;
    middle.keys.lock().unwrap().clear();
    a.faulty.script(Operation::Head, [Fault::Fail]);
    a.check(&mut turn, MINUTE).await;
    a.rest().await;
    assert!(!on_a.look());
    a.check(&mut turn, MINUTE).await;
    on_a.until(1).await;
    assert_eq!(a.counted(HeadRead::Check), (2, 1));
}

#[tokio::test]
async fn the_clockwork_checks_by_itself() {
    let Two { a, b, .. } = two();
    let mut on_a = a.follow().await;
    b.send(3).await;
    tokio::select! {
        () = on_a.until(3) => {}
        () = a.hub.watch(Duration::from_millis(1)) => panic!("it goes on for ever"),
    }
    assert_eq!(a.counted(HeadRead::Poll), (0, 0));
}

#[tokio::test]
async fn while_the_bus_is_away_the_store_is_polled() {
    let Two { a, b, middle, .. } = two();
    middle.away.store(true, Ordering::Relaxed);
    middle.silent.store(true, Ordering::Relaxed);
    // Whose confirmation would never come.
    let mut on_a = a.follow().await;
    middle.keys.lock().unwrap().clear();
    let polled = async {
        for last in 1..=5 {
            b.send(1).await;
            on_a.until(last).await;
        }
    };
    tokio::select! {
        () = polled => {}
        () = a.hub.watch(Duration::from_millis(1)) => panic!("it goes on for ever"),
    }
    assert_eq!(on_a.seen, [1, 2, 3, 4, 5]);
    let (polls, behind) = a.counted(HeadRead::Poll);
    assert!(polls >= 5 && behind == 5, "{polls} {behind}");
    assert_eq!(a.counted(HeadRead::Check), (0, 0));
}

/// A store as it was when it had so many entries.
async fn older(count: usize) -> (TempDir, Arc<EmbeddedStore>) {
    let (folder, older) = store();
    node(&LocalBus::new(), &older, 1).send(count).await;
    (folder, older)
}

#[tokio::test]
async fn a_restored_backup_closes_those_who_saw_what_it_does_not_have() {
    for by_loss in [false, true] {
        let Two { a, b, .. } = two();
        b.send(5).await;
        let (on_a, mut turn) = (a.follow().await, Turn::default());
        assert_eq!(on_a.cursor.get(), 5);
        let (_folder, backup) = older(2).await;
        a.faulty.replace(Arc::clone(&backup));
        if by_loss {
            a.hub.take_from_bus(BusEvent::Lost);
            a.rest().await;
        } else {
            a.check(&mut turn, MINUTE).await;
        }
        assert_eq!(on_a.closed_with(), [1012]);
        assert_eq!((a.hub.topics_count(), a.metrics.topics_reset.get()), (0, 1));
        // Who comes now sees the log as it is.
        let mut back = a.follow().await;
        assert_eq!(back.cursor.get(), 2);
        a.send(1).await;
        back.until(3).await;
        drop(on_a); // leaves a topic that is gone
        assert_eq!(back.following.topic().followers_count(), (1, 0));
    }
}

#[tokio::test]
async fn who_joins_a_topic_that_goes_is_told() {
    let Two { a, .. } = two();
    let on_a = a.follow().await;
    let live = Arc::clone(on_a.following.topic());
    let joining = live.join();
    live.close_gracefully();
    let wake_queue = Arc::new(WakeQueue::default());
    let _following = joining.add(Arc::clone(&wake_queue), 0, Part::Events);
    let control = wake_queue.take(&mut Vec::new());
    assert!(matches!(control.front(), Some(ConnectionEvent::Close(_))));
}

#[tokio::test]
async fn a_replica_that_lags_closes_nobody() {
    let Two { a, b, .. } = two();
    b.send(5).await;
    let (mut on_a, mut turn) = (a.follow().await, Turn::default());
    a.faulty.script(Operation::Head, [Fault::Lag]);
    a.check(&mut turn, MINUTE).await;
    assert_eq!(a.faulty.remaining(Operation::Head), 0);
    assert_eq!(on_a.closed_with(), [0; 0]);
    a.send(1).await;
    on_a.until(6).await;
}

#[tokio::test]
async fn a_head_that_never_was_is_not_waited_for() {
    let Two { a, b, store, .. } = two();
    b.send(2).await;
    let mut on_a = a.follow().await;
    let announced = Seq::try_from(9_u64).unwrap();
    a.hub.take_from_bus(BusEvent::Head(topic(), announced));
    a.rest().await;
    b.send(8).await;
    let (mut turn, last) = (
        Turn::default(),
        store.head(topic(), ReadConsistency::Serial),
    );
    assert_eq!(last.await.unwrap().get(), 10);
    a.check(&mut turn, MINUTE).await;
    on_a.until(10).await;
    assert_eq!(on_a.seen, (3..=10).collect::<Vec<_>>());
}

/// The node that stored the newest entry ended before it noted it for lists.
#[tokio::test]
async fn a_hub_that_begins_brings_the_record_for_lists_up_to_date() {
    let Two { a, store, .. } = two();
    let entry = |at: u64| {
        let draft = Draft {
            uid: Uid(rand::random()),
            kind: Kind::Chat,
            sender: None,
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::from(at.to_string()),
            sent_at: SystemClock.unix_millis(),
        };
        let seq = Seq::try_from(at).unwrap();
        let deleted = false;
        vec![Arc::new(Entry {
            seq,
            deleted,
            draft,
        })]
    };
    let noted = async |text: &str| {
        let looking = async {
            while a.faulty.noted(room()).is_none_or(|head| head.text != text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("it is noted");
    };
    store.append(topic(), Seq::ZERO, entry(1)).await.unwrap();
    let _on_a = a.follow().await;
    noted("1").await;
    // The next one is found by a look at the store's heads.
    let one = Seq::try_from(1_u64).unwrap();
    store.append(topic(), one, entry(2)).await.unwrap();
    a.hub.take_from_bus(BusEvent::Lost);
    noted("2").await;
}

/// A key of an append that failed, or of an older Redis, is not a reason to ask the store for ever.
#[tokio::test]
async fn a_noted_head_that_is_wrong_is_mended() {
    let Two { a, b, middle, .. } = two();
    b.send(2).await;
    let (_on_a, mut turn) = (a.follow().await, Turn::default());
    let wrong = Seq::try_from(9_u64).unwrap();
    middle.keys.lock().unwrap().insert(topic(), wrong);
    a.check(&mut turn, MINUTE).await;
    let counted = a.counted(HeadRead::Check);
    a.check(&mut turn, 8 * MINUTE).await;
    assert_eq!(a.counted(HeadRead::Check), counted);
}

#[tokio::test]
async fn a_survey_names_who_is_behind_and_where() {
    let Two { a, .. } = two();
    let (slow, mut quick) = (a.follow().await, a.follow().await);
    let owner = Owner {
        connection: 4,
        member: 7_i64.try_into().unwrap(),
    };
    slow.wake_queue.set_owner(owner);
    a.send(3).await;
    quick.until(3).await;
    let survey = a.hub.survey(1).await;
    assert_eq!((survey.topics, survey.followers, survey.behind), (1, 2, 1));
    assert_eq!(survey.rings.entries, 3);
    assert_eq!(survey.connections_behind, HashMap::from([(4, 3)]));
    let [behind] = survey.topics_behind[..] else {
        panic!("{survey:?}");
    };
    assert_eq!(
        (behind.topic, behind.lag_max, behind.followers),
        (topic(), 3, 2)
    );
    assert_eq!(a.hub.survey(0).await.topics_behind, []);
}
