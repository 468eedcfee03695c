//! Starting: several nodes at once, before the server is there, and without one.

use std::fmt::Debug;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex};

use chat_server::metrics::Metrics;
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::scylla::settings::{DataCenters, Replication};
use chat_server::store::{Append, MessageStore, ReadConsistency};
use shared::claims::generate_key;
use shared::clock::SystemClock;
use shared::ids::Seq;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::proxy::{Mode, Proxy};
use super::{
    KEYSPACE, PATIENCE, append, connect, fresh_keyspace, head, servers, settings, settings_at,
    why_it_does_not_start,
};
use crate::contract::make::{batch, fresh_topic, seq};
use crate::program::{End, program, start_program};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_share_one_schema() {
    let settings = settings_at(&servers(), &fresh_keyspace());
    let mut nodes = JoinSet::new();
    for _ in 0..6 {
        let settings = settings.clone();
        nodes.spawn(async move { connect(&settings).await });
    }
    let nodes = timeout(PATIENCE, nodes.join_all()).await.unwrap();
    let topic = fresh_topic();
    for (nth, node) in (0..).zip(&nodes) {
        assert_eq!(append(node, topic, nth, 1).await, Append::Applied);
    }
    for node in &nodes {
        assert_eq!(head(node, topic).await, 6);
    }
}

#[tokio::test]
async fn start_waits_for_servers_that_come_later() {
    let proxy = Proxy::to(&servers(), Mode::Cut).await;
    let settings = settings_at(&proxy.address.to_string(), &fresh_keyspace());
    let coming = async {
        proxy.tried().await;
        proxy.set(Mode::Open);
    };
    let started = async { tokio::join!(connect(&settings), coming).0 };
    let store = timeout(PATIENCE, started).await.unwrap();
    assert_eq!(append(&store, fresh_topic(), 0, 1).await, Append::Applied);
}

#[tokio::test]
async fn start_without_servers_ends_and_says_why() {
    let proxy = Proxy::to(&servers(), Mode::Cut).await;
    let address = proxy.address.to_string();
    let settings = settings_at(&address, &fresh_keyspace());
    let why = why_it_does_not_start(&settings).await;
    assert!(why.contains(&address), "{why}");
}

/// What the driver complains of, the servers' warnings among it.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Vec<String>>>);

impl Subscriber for Complaints {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("scylla") && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            text.push_str(&format!("{field}={value:?} "));
        });
        self.0.lock().unwrap().push(text);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Cassandra warns of every statement that is prepared without its keyspace.
#[tokio::test]
async fn servers_have_nothing_to_warn_of() {
    let complaints = Complaints::default();
    let _noted = tracing::subscriber::set_default(complaints.clone());
    // The warning goes only to the first client that prepares a statement.
    let store = connect(&settings_at(&servers(), &fresh_keyspace())).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 2).await, Append::Applied);
    assert_eq!(append(&store, topic, 0, 1).await, super::conflict(2));
    assert_eq!(head(&store, topic).await, 2);
    assert_eq!(*complaints.0.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn unknown_data_centre_is_refused() {
    let mut settings = settings_at(&servers(), &fresh_keyspace());
    settings.replication = Replication::ByDatacenter(vec![("elsewhere".to_owned(), 1)]);
    let why = why_it_does_not_start(&settings).await;
    assert!(
        why.contains("keyspace") && why.contains("elsewhere"),
        "{why}"
    );
}

#[tokio::test]
async fn majority_of_all_data_centres_serves_as_well() {
    let mut settings = settings();
    settings.reach = DataCenters::Quorum;
    settings.datacenter = Some("datacenter1".to_owned());
    let store = connect(&settings).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 2).await, Append::Applied);
    assert_eq!(append(&store, topic, 0, 1).await, super::conflict(2));
    for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
        let page = store.read(topic, Seq::ZERO, Seq::MAX, view).await.unwrap();
        assert_eq!(page, batch(Seq::ZERO, 2, 1));
        assert_eq!(store.head(topic, view).await.unwrap(), seq(2));
    }
}

#[tokio::test]
async fn what_the_store_does_is_measured() {
    let metrics = Arc::new(Metrics::new());
    let settings = settings();
    let store = ScyllaStore::connect(&settings, Arc::new(SystemClock), Arc::clone(&metrics));
    let store = store.await.unwrap();
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 1).await, Append::Applied);
    assert_eq!(append(&store, topic, 0, 1).await, super::conflict(1));
    let page = metrics.render();
    for line in [
        "chat_store_request_duration_seconds_count{op=\"append\"} 2",
        "chat_store_conflicts_total 1",
        "chat_store_shard_aware 0",
    ] {
        assert!(page.contains(line), "{line} is missing in: {page}");
    }
}

/// So all of them may be on a disk that is mounted read-only.
#[tokio::test]
async fn node_on_servers_writes_no_file() {
    drop(connect(&settings()).await);
    let folder = tempfile::tempdir().unwrap();
    let jwks = folder.path().join("jwks.json");
    let keys = [generate_key().unwrap().public];
    let keys = serde_json::json!({ "keys": keys }).to_string();
    std::fs::write(&jwks, keys).unwrap();
    let listing = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let about = |entry: std::fs::DirEntry| {
            let about = entry.metadata().unwrap();
            (entry.path(), about.ino(), about.ctime(), about.ctime_nsec())
        };
        let mut all: Vec<_> = entries.map(|entry| about(entry.unwrap())).collect();
        all.sort();
        all
    };
    let before = listing();
    let store = format!("scylla://{}/{}", servers(), *KEYSPACE);
    let any = "127.0.0.1:0";
    let mut node = program(&["--listen", any, "--admin-listen", any, "--store", &store]);
    node.arg(format!("--jwks=file:{}", jwks.display()));
    node.current_dir(folder.path());
    let mut running = start_program(node).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = client.get(format!("http://{}/readyz", running.admin));
    assert_eq!(ready.send().await.unwrap().status(), 200);
    running.end(End::Kill).await;
    assert_eq!(listing(), before);
}
