//! The appender on the real store, with faults put between the two.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chat_server::append::{
    AppendError, Appender, AppenderParts, Outcome, Placed, RoomHeads, RoomHeadsParts, SEND_DEADLINE,
};
use chat_server::bus::local::LocalBus;
use chat_server::bus::{Bus, BusState};
use chat_server::log::{Draft, Kind, Topic, Uid};
use chat_server::metrics::Metrics;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{MessageStore, ReadConsistency, RoomStore, SyncMode};
use chat_server::wakers::Wakers;
use shared::clock::{Clock as _, SystemClock};
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::redis::node::{Node as BusNode, QUICK};
use crate::redis::server::Server;
use crate::support::faulty_store::{EVERY, Fault, FaultyStore, Operation};

const PATIENCE: Duration = Duration::from_secs(20);

/// A node's appender and what it gave to the hub.
struct Node {
    appender: Arc<Appender>,
    faulty: Arc<FaultyStore>,
    shown: Arc<Mutex<Vec<u32>>>,
}

fn open(folder: &Path) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(folder, SyncMode::Always).unwrap())
}

fn node(store: &Arc<EmbeddedStore>) -> Node {
    let (bus, _) = LocalBus::new().attach(16);
    node_on(store, Arc::new(bus))
}

fn node_on(store: &Arc<EmbeddedStore>, bus: Arc<dyn Bus>) -> Node {
    let faulty = Arc::new(FaultyStore::new(Arc::clone(store)));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let given = Arc::clone(&shown);
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
    let heads = RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(store) as Arc<dyn RoomStore>,
        messages: Arc::clone(&faulty) as Arc<dyn MessageStore>,
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let appender = Appender::new(AppenderParts {
        store: Arc::clone(&faulty) as Arc<dyn MessageStore>,
        heads,
        bus,
        clock: Arc::new(SystemClock),
        drain,
        metrics,
        placed: Box::new(|_, _, _| {}),
        stored: Box::new(move |_, entries, _| {
            given
                .lock()
                .unwrap()
                .extend(entries.iter().map(|entry| entry.seq.get()));
        }),
    });
    Node {
        appender: Arc::new(appender),
        faulty,
        shown,
    }
}

fn topic() -> Topic {
    Topic::Room(RoomId::try_from(1_i64).unwrap())
}

fn draft(text: &str, name: Option<&str>) -> Draft {
    Draft {
        uid: Uid(rand::random()),
        kind: Kind::Chat,
        sender: Some(MemberId::try_from(1_i64).unwrap()),
        client_message_id: name.map(Into::into),
        headers: Vec::new(),
        content_type: None,
        body: Bytes::from(text.to_owned()),
        sent_at: SystemClock.unix_millis(),
    }
}

fn many(count: usize) -> Vec<Draft> {
    (0..count).map(|_| draft("of many", None)).collect()
}

impl Node {
    async fn send(&self, text: &str, name: Option<&str>) -> Outcome {
        self.appender.send(topic(), vec![draft(text, name)]).await
    }

    /// Takes a send in now; what became of it comes later.
    fn submit(&self, drafts: Vec<Draft>) -> Pending {
        let (sender, outcome) = oneshot::channel();
        let done = Box::new(move |outcome, _: &mut Wakers| drop(sender.send(outcome)));
        self.appender.submit(topic(), None, drafts, done);
        Pending(outcome)
    }

    /// Waits until this many appends have been requested of the store.
    async fn asked(&self, count: usize) {
        self.faulty.wait_for_calls(Operation::Append, count).await;
    }

    fn sizes(&self) -> Vec<usize> {
        self.faulty.append_sizes()
    }

    fn shown(&self) -> Vec<u32> {
        self.shown.lock().unwrap().clone()
    }

    fn release(&self) {
        self.faulty.release();
    }

    fn fail_next(&self, faults: &[Fault]) {
        let faults = faults.iter().copied();
        self.faulty.script(Operation::Append, faults);
    }
}

/// A send on its way.
struct Pending(oneshot::Receiver<Outcome>);

impl Pending {
    async fn outcome(self) -> Outcome {
        let outcome = timeout(PATIENCE, self.0).await;
        outcome.expect("an outcome in time").unwrap()
    }

    fn is_open(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

async fn texts(store: &EmbeddedStore) -> Vec<String> {
    let head = store.head(topic(), ReadConsistency::Serial).await.unwrap();
    let mut texts = Vec::new();
    while texts.len() < head.get() as usize {
        let first = Seq::try_from(texts.len() as u64 + 1).unwrap();
        let page = store
            .read(topic(), first, head, ReadConsistency::Serial)
            .await;
        for entry in page.unwrap() {
            assert_eq!(entry.seq.get() as usize, texts.len() + 1, "no holes");
            texts.push(String::from_utf8(entry.draft.body.to_vec()).unwrap());
        }
    }
    texts
}

/// Stored by this send.
fn at(seq: u64) -> Outcome {
    placed(seq, true)
}

/// Stored before.
fn again_at(seq: u64) -> Outcome {
    placed(seq, false)
}

fn placed(seq: u64, is_new: bool) -> Outcome {
    let seq = Seq::try_from(seq).unwrap();
    Ok(vec![Placed { seq, is_new }])
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_once_whether_it_applied_or_not() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::ApplyThenFail]);
    assert_eq!(node.send("one", None).await, at(1));
    node.fail_next(&[Fault::FailUnknown, Fault::Fail, Fault::ApplyThenFail]);
    assert_eq!(node.send("two", None).await, at(2));
    assert_eq!(node.send("three", None).await, at(3));
    assert_eq!(texts(&store).await, ["one", "two", "three"]);
    assert_eq!(
        *node.shown.lock().unwrap(),
        [1, 2, 3],
        "each was shown, in order"
    );
}

#[tokio::test]
async fn a_name_is_one_entry_over_nodes_and_restarts() {
    let folder = folder();
    let store = open(folder.path());
    let (one, other) = (node(&store), node(&store));
    assert_eq!(one.send("hello", Some("a")).await, at(1));
    assert_eq!(one.send("hello", Some("a")).await, again_at(1));
    assert_eq!(other.send("hello", Some("a")).await, again_at(1));
    assert_eq!(
        other.send("other", Some("a")).await,
        Err(AppendError::NameTaken)
    );
    // Whoever sends it again after a restart, and after others wrote meanwhile.
    assert_eq!(other.send("between", None).await, at(2));
    assert_eq!(one.send("hello", Some("a")).await, again_at(1));
    drop((one, other));
    // Their last tasks end just after the last answer.
    let alone = async {
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, alone)
        .await
        .expect("nobody has the store any more");
    Arc::into_inner(store).unwrap().close().unwrap();
    let store = open(folder.path());
    assert_eq!(node(&store).send("hello", Some("a")).await, again_at(1));
    assert_eq!(texts(&store).await, ["hello", "between"]);
}

#[tokio::test]
async fn a_send_of_which_a_part_clashes_is_refused_whole_and_alone() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.send("x", Some("a")).await.unwrap();
    node.send("y", Some("b")).await.unwrap();
    let clashing = vec![
        draft("1", Some("a")),
        draft("2", Some("b")),
        draft("3", None),
    ];
    let (clash, beside) = tokio::join!(
        node.appender.send(topic(), clashing),
        node.send("beside", None)
    );
    assert_eq!(clash, Err(AppendError::NameTaken));
    assert_eq!(beside, at(3));
    assert_eq!(texts(&store).await, ["x", "y", "beside"]);
}

/// Sends of one writer, each under a name of its own; their positions.
async fn write_many(node: Arc<Node>, writer: String) -> Vec<Seq> {
    let mut seqs = Vec::new();
    for number in 0..SENDS {
        let text = format!("{writer}-{number}");
        let placed = node.send(&text, Some(&text)).await.unwrap();
        seqs.extend(placed.iter().map(|placed| placed.seq));
    }
    seqs
}

const SENDS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_crowd_a_topic_lose_and_double_nothing() {
    let folder = folder();
    let store = open(folder.path());
    let mut writing = JoinSet::new();
    let mut shown = Vec::new();
    for name in 0..4 {
        // Two writers a node; each node has its trouble with the store now and then.
        let node = Arc::new(node(&store));
        node.fail_next(&[
            Fault::ApplyThenFail,
            Fault::FailUnknown,
            Fault::ApplyThenFail,
        ]);
        shown.push(Arc::clone(&node.shown));
        writing.spawn(write_many(Arc::clone(&node), format!("{name}a")));
        writing.spawn(write_many(node, format!("{name}b")));
    }
    let seqs = writing.join_all().await;
    assert!(
        seqs.iter().all(|seqs| seqs.is_sorted()),
        "a writer's order is kept"
    );
    let all: HashSet<Seq> = seqs.iter().flatten().copied().collect();
    let texts = texts(&store).await;
    assert_eq!(texts.len() as u64, 8 * SENDS);
    assert_eq!(
        all.len(),
        texts.len(),
        "each send has a position of its own"
    );
    assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
    for shown in shown {
        let shown = shown.lock().unwrap();
        let dense = shown.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(dense, "each node's hub got all of it in order: {shown:?}");
    }
}

/// A market that repeats its events to whichever node answers: both nodes get every name, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_nodes_take_in_at_once_is_one_entry() {
    let folder = folder();
    let store = open(folder.path());
    let mut writing = JoinSet::new();
    for _ in 0..2 {
        let node = Arc::new(node(&store));
        node.fail_next(&[Fault::ApplyThenFail, Fault::FailUnknown]);
        writing.spawn(write_many(Arc::clone(&node), "same".to_owned()));
        writing.spawn(write_many(node, "same".to_owned()));
    }
    for seqs in writing.join_all().await {
        let all = (1..=SENDS).map(|seq| Seq::try_from(seq).unwrap());
        assert!(
            seqs.into_iter().eq(all),
            "each receipt has the one position"
        );
    }
    let expected: Vec<_> = (0..SENDS).map(|number| format!("same-{number}")).collect();
    assert_eq!(texts(&store).await, expected);
}

/// Two sends, the second a second later, to a store that never answers; each fails at its own
/// deadline. Time is virtual.
#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_told_at_the_deadline() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.faulty.set(&EVERY, Fault::Hang);
    let began = SystemClock.now();
    let first = node.submit(vec![draft("in vain", None)]);
    let second = async {
        tokio::time::advance(Duration::from_secs(1)).await;
        // From here, not from the beginning: paused time also moves while the real store's thread
        // is awaited, and how far depends on how busy the machine is.
        let began = SystemClock.now();
        let second = node.submit(vec![draft("in vain too", None)]);
        (second.outcome().await, SystemClock.now() - began)
    };
    let first = async { (first.outcome().await, SystemClock.now() - began) };
    let ((first, first_after), (second, second_after)) = tokio::join!(first, second);
    assert_eq!(first, Err(AppendError::Unavailable));
    assert_eq!(second, Err(AppendError::Unavailable));
    for after in [first_after, second_after] {
        let on_time = SEND_DEADLINE..SEND_DEADLINE + Duration::from_millis(3);
        assert!(on_time.contains(&after), "{after:?}");
    }
    // When the store is back, all is as before.
    tokio::time::resume();
    node.faulty.heal();
    assert_eq!(node.send("again", None).await, at(1));
    assert_eq!(texts(&store).await, ["again"]);
}

#[tokio::test]
async fn a_store_that_says_no_is_told_within_the_deadline() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::Fail; 200]);
    assert_eq!(
        node.send("in vain", None).await,
        Err(AppendError::Unavailable)
    );
    node.faulty.heal();
    assert_eq!(node.send("again", None).await, at(1));
}

#[tokio::test]
async fn a_receipt_waits_for_the_store() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::Hold]);
    let mut first = node.submit(vec![draft("one", None)]);
    let mut second = node.submit(vec![draft("two", None)]);
    node.asked(1).await;
    assert!(first.is_open() && second.is_open());
    assert_eq!(node.shown(), [0; 0]);
    node.release();
    assert_eq!(first.outcome().await, at(1));
    assert_eq!(second.outcome().await, at(2));
    assert_eq!(texts(&store).await, ["one", "two"]);
}

#[tokio::test]
async fn sends_that_wait_go_together_as_far_as_a_batch_reaches() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::Hold]);
    let mut sent = vec![node.submit(vec![draft("first", None)])];
    node.asked(1).await;
    sent.extend((0..10).map(|_| node.submit(vec![draft("single", None)])));
    sent.push(node.submit(many(55))); // 65 with those before it
    let large = "x".repeat(600 << 10);
    sent.extend((0..2).map(|_| node.submit(vec![draft(&large, None)]))); // 1.2 MiB in all
    sent.push(node.submit(vec![draft(&"x".repeat(2 << 20), None)])); // too large, but alone
    node.release();
    let mut next = 1;
    for send in sent {
        for Placed { seq, .. } in send.outcome().await.unwrap() {
            assert_eq!(seq.get(), next, "in the order of the calls");
            next += 1;
        }
    }
    assert_eq!(node.sizes(), [1, 10, 56, 1, 1]);
}

#[tokio::test]
async fn a_name_is_one_entry_while_it_waits_and_while_it_is_under_way() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::Hold]);
    let in_flight = node.submit(vec![draft("hello", Some("a"))]);
    node.asked(1).await;
    let again = node.submit(vec![draft("hello", Some("a"))]);
    let waiting = node.submit(vec![draft("queued", Some("b"))]);
    let joined = node.submit(vec![draft("queued", Some("b"))]);
    let other = node.submit(vec![draft("other", Some("b"))]);
    node.release();
    assert_eq!(in_flight.outcome().await, at(1));
    assert_eq!(again.outcome().await, again_at(1));
    assert_eq!(waiting.outcome().await, at(2));
    assert_eq!(joined.outcome().await, again_at(2));
    assert_eq!(other.outcome().await, Err(AppendError::NameTaken));
    assert_eq!(texts(&store).await, ["hello", "queued"]);
}

#[tokio::test]
async fn a_refused_send_takes_its_names_with_it() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::Hold]);
    let first = node.submit(vec![draft("first", None)]);
    node.asked(1).await;
    // In one batch: the second clashes with the first, the third has a name of the second's.
    let taken = node.submit(vec![draft("1", Some("a"))]);
    let refused = node.submit(vec![draft("x", Some("n")), draft("2", Some("a"))]);
    let same = node.submit(vec![draft("x", Some("n"))]);
    node.release();
    assert_eq!(first.outcome().await, at(1));
    assert_eq!(taken.outcome().await, at(2));
    assert_eq!(refused.outcome().await, Err(AppendError::NameTaken));
    assert_eq!(same.outcome().await, at(3));
    assert_eq!(texts(&store).await, ["first", "1", "x"]);
}

#[tokio::test]
async fn an_own_entry_is_found_though_the_reading_on_breaks_off() {
    let folder = folder();
    let store = open(folder.path());
    let (one, other) = (node(&store), node(&store));
    one.fail_next(&[Fault::ApplyThenHold]);
    let mine = one.submit(vec![draft("mine", None)]);
    let stored = async {
        while store.head(topic(), ReadConsistency::Serial).await.unwrap() == Seq::ZERO {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, stored).await.expect("it is stored");
    for _ in 0..10 {
        other.submit(many(60)).outcome().await.unwrap();
    }
    // Its answer lost, it reads what came: 512 entries, and of the rest nothing at first.
    let reads = [Fault::Pass, Fault::Fail];
    one.faulty.script(Operation::Read, reads);
    one.release();
    assert_eq!(mine.outcome().await, at(1));
    assert_eq!(texts(&store).await.len(), 601, "not stored again");
    assert_eq!(one.shown(), (1..=512).collect::<Vec<_>>());
    assert_eq!(one.faulty.remaining(Operation::Read), 0);
}

/// Two nodes that append at the same head hinder each other each time: one of them has to append again.
#[tokio::test]
async fn nodes_take_turns_on_a_slow_store() {
    const SENDS: usize = 10;
    let folder = folder();
    let store = open(folder.path());
    let server = Server::start().await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let joined = BusNode::join(&server.url(), QUICK).await;
        joined.until(BusState::Up).await;
        nodes.push(node_on(&store, joined.bus));
    }
    let delay = |millis| {
        for node in &nodes {
            let delay = Duration::from_millis(millis);
            node.faulty.delay(Operation::Append, delay);
        }
    };
    // The first appends nearly time out; from then on the nodes take turns for a while.
    delay(1_050);
    let first = nodes.iter().map(|node| node.send("first", None));
    for outcome in futures_util::future::join_all(first).await {
        outcome.unwrap();
    }
    delay(150);
    let writing = nodes.iter().map(|node| async {
        for _ in 0..SENDS {
            node.send("slow", None).await.unwrap();
        }
    });
    futures_util::future::join_all(writing).await;
    assert_eq!(texts(&store).await.len(), 2 * SENDS + 2);
    let appends: usize = nodes.iter().map(|node| node.sizes().len()).sum();
    assert!(appends < 3 * SENDS, "{appends}");
}
