//! The appender on the real store, with faults put between the two.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_server::append::{AppendError, Appender, AppenderParts, Outcome};
use chat_server::bus::local::LocalBus;
use chat_server::log::{Draft, Entry, Kind, Topic, Uid};
use chat_server::metrics::Metrics;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{Append, MessageStore, RoomStore, StoreError, SyncMode, View};
use shared::clock::{Clock as _, SystemClock};
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of the next append.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is stored, and the answer is lost.
    AppliedUnknown,
    /// It is not stored, and nobody knows.
    LostUnknown,
    /// The store says no.
    Unavailable,
}

/// The real store, with faults in the order given; without one it answers itself.
#[derive(Debug)]
struct Faulty {
    store: Arc<EmbeddedStore>,
    faults: Mutex<VecDeque<Fault>>,
}

#[async_trait]
impl MessageStore for Faulty {
    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError> {
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.store.append(topic, head, entries).await,
            Some(Fault::AppliedUnknown) => {
                self.store.append(topic, head, entries).await?;
                Err(StoreError::Unknown("the answer was lost".to_owned()))
            }
            Some(Fault::LostUnknown) => Err(StoreError::Unknown("on the way".to_owned())),
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("away".to_owned())),
        }
    }

    async fn head(&self, topic: Topic, view: View) -> Result<Seq, StoreError> {
        self.store.head(topic, view).await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: View,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.store.read(topic, first, last, view).await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        self.store.delete(topic, seq).await
    }
}

/// A node's appender and what it gave to the hub.
struct Node {
    appender: Arc<Appender>,
    faulty: Arc<Faulty>,
    shown: Arc<Mutex<Vec<u32>>>,
}

fn open(folder: &Path) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(folder, SyncMode::Always).unwrap())
}

fn node(store: &Arc<EmbeddedStore>) -> Node {
    let faulty = Arc::new(Faulty {
        store: Arc::clone(store),
        faults: Mutex::default(),
    });
    let shown = Arc::new(Mutex::new(Vec::new()));
    let given = Arc::clone(&shown);
    let (bus, _) = LocalBus::new().attach(16);
    let appender = Appender::new(AppenderParts {
        store: Arc::clone(&faulty) as Arc<dyn MessageStore>,
        rooms: Arc::clone(store) as Arc<dyn RoomStore>,
        bus: Arc::new(bus),
        clock: Arc::new(SystemClock),
        drain: Drain::new(),
        metrics: Arc::new(Metrics::new()),
        stored: Box::new(move |_, entries| {
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

impl Node {
    async fn send(&self, text: &str, name: Option<&str>) -> Outcome {
        self.appender.send(topic(), vec![draft(text, name)]).await
    }

    fn fail_next(&self, faults: &[Fault]) {
        self.faulty.faults.lock().unwrap().extend(faults);
    }
}

async fn texts(store: &EmbeddedStore) -> Vec<String> {
    let head = store.head(topic(), View::Settled).await.unwrap();
    let first = Seq::try_from(1_u64).unwrap();
    let entries = store
        .read(topic(), first, head, View::Settled)
        .await
        .unwrap();
    let text = |entry: &Arc<Entry>| String::from_utf8(entry.draft.body.to_vec()).unwrap();
    entries.iter().map(text).collect()
}

fn at(seq: u64) -> Outcome {
    Ok(vec![Seq::try_from(seq).unwrap()])
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_once_whether_it_applied_or_not() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::AppliedUnknown]);
    assert_eq!(node.send("one", None).await, at(1));
    node.fail_next(&[
        Fault::LostUnknown,
        Fault::Unavailable,
        Fault::AppliedUnknown,
    ]);
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
    assert_eq!(one.send("hello", Some("a")).await, at(1));
    assert_eq!(other.send("hello", Some("a")).await, at(1));
    assert_eq!(
        other.send("other", Some("a")).await,
        Err(AppendError::NameTaken)
    );
    // Whoever sends it again after a restart, and after others wrote meanwhile.
    assert_eq!(other.send("between", None).await, at(2));
    assert_eq!(one.send("hello", Some("a")).await, at(1));
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
    assert_eq!(node(&store).send("hello", Some("a")).await, at(1));
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
        seqs.extend(node.send(&text, Some(&text)).await.unwrap());
    }
    seqs
}

const SENDS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_crowd_a_topic_lose_and_double_nothing() {
    let folder = folder();
    let store = open(folder.path());
    let mut writing = JoinSet::new();
    for name in 0..4 {
        // Two writers a node; each node has its trouble with the store now and then.
        let node = Arc::new(node(&store));
        node.fail_next(&[
            Fault::AppliedUnknown,
            Fault::LostUnknown,
            Fault::AppliedUnknown,
        ]);
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
}

#[tokio::test]
async fn a_store_that_stays_away_is_told_within_the_deadline() {
    let folder = folder();
    let store = open(folder.path());
    let node = node(&store);
    node.fail_next(&[Fault::Unavailable; 200]);
    assert_eq!(
        node.send("in vain", None).await,
        Err(AppendError::Unavailable)
    );
    node.faulty.faults.lock().unwrap().clear();
    assert_eq!(node.send("again", None).await, at(1));
}
