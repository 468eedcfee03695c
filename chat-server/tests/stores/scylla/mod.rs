//! What is peculiar to the store of several servers: its buckets, its schema, answers that do not
//! come. Runs against the CQL server of `TEST_CQL`; `store_contract` has what every store must do.

mod borders;
mod encrypted;
mod epochs;
mod outcomes;
mod proxy;
mod rooms;
mod rows;
mod start;
mod transactions;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chat_server::log::{Entry, Topic};
use chat_server::metrics::Metrics;
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::scylla::settings::{DataCenters, Replication, ScyllaSettings};
use chat_server::store::{Append, MessageStore, READ_ENTRIES_MAX, ReadConsistency, StoreError};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use shared::clock::{ManualClock, SystemClock};
use shared::ids::Seq;
use tokio::time::timeout;

use crate::contract::make::{batch, millis, seq};

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One for this run: tables take seconds to be made, ids are fresh for every test.
static KEYSPACE: LazyLock<String> = LazyLock::new(fresh_keyspace);

fn fresh_keyspace() -> String {
    format!("test_{:08x}", rand::random::<u32>())
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the test's server is; infra/services says so"
)]
fn servers() -> String {
    std::env::var("TEST_CQL").expect("TEST_CQL: `infra/services up cassandra`")
}

fn settings_at(servers: &str, keyspace: &str) -> ScyllaSettings {
    ScyllaSettings {
        address: format!("scylla://{servers}/{keyspace}").parse().unwrap(),
        datacenter: None,
        // A copy on each of the servers that are named.
        replication: Replication::Factor(self::servers().split(',').count().try_into().unwrap()),
        reach: DataCenters::LocalQuorum,
        ca: None,
        // A busy machine is not what is tried here.
        answer_wait: Duration::from_secs(30),
    }
}

fn settings() -> ScyllaSettings {
    settings_at(&servers(), &KEYSPACE)
}

async fn connect(settings: &ScyllaSettings) -> Arc<ScyllaStore> {
    let metrics = Arc::new(Metrics::new());
    let store = ScyllaStore::connect(settings, Arc::new(SystemClock), metrics);
    Arc::new(store.await.unwrap())
}

/// The error that the store returns when the time for a start is over.
async fn why_it_does_not_start(settings: &ScyllaSettings) -> String {
    let clock = Arc::new(ManualClock::new(millis(0)));
    let connecting = ScyllaStore::connect(settings, clock.clone(), Arc::new(Metrics::new()));
    let late = async { clock.advance(Duration::from_secs(3_600)) };
    let both = async { tokio::join!(biased; connecting, late).0 };
    let outcome = timeout(PATIENCE, both).await.unwrap();
    let Err(StoreError::Unavailable(why)) = outcome else {
        panic!("{outcome:?}")
    };
    why
}

/// The servers themselves, for what the store would never write.
async fn session() -> Session {
    let session = SessionBuilder::new().known_node(servers().split(',').next().unwrap());
    let session = session.build().await.unwrap();
    session
        .use_keyspace(KEYSPACE.as_str(), false)
        .await
        .unwrap();
    session
}

/// Appends in batches as large as they may be until the head is `head`, beginning with an empty log;
/// an entry's uid is its position.
async fn fill(store: &ScyllaStore, topic: Topic, head: u32) {
    let mut at = Seq::ZERO;
    while at.get() < head {
        let end = head.min(at.get() + 64).min(store.append_end(at).get());
        let entries = batch(at, end - at.get(), u128::from(at.get() + 1));
        let outcome = store.append(topic, at, entries).await.unwrap();
        assert_eq!(outcome, Append::Applied, "at {at}");
        at = seq(end.into());
    }
}

async fn append(store: &ScyllaStore, topic: Topic, head: u32, count: u32) -> Append {
    let head = seq(head.into());
    let entries = batch(head, count, u128::from(head.get() + 1));
    store.append(topic, head, entries).await.unwrap()
}

fn conflict(head: u32) -> Append {
    Append::Conflict(seq(head.into()))
}

async fn head(store: &ScyllaStore, topic: Topic) -> u32 {
    let quorum = store.head(topic, ReadConsistency::Quorum).await.unwrap();
    let settled = store.head(topic, ReadConsistency::Serial).await.unwrap();
    assert_eq!(quorum, settled);
    settled.get()
}

async fn read(store: &ScyllaStore, topic: Topic, first: u32, last: u32) -> Vec<Arc<Entry>> {
    let range = (seq(first.into()), seq(last.into()));
    let quorum = store
        .read(topic, range.0, range.1, ReadConsistency::Quorum)
        .await;
    let settled = store
        .read(topic, range.0, range.1, ReadConsistency::Serial)
        .await;
    let settled = settled.unwrap();
    assert_eq!(quorum.unwrap(), settled);
    settled
}

/// All positions from 1 to the head are there, each with its own entry.
async fn assert_whole(store: &ScyllaStore, topic: Topic, head: u32) {
    for first in (1..=head).step_by(READ_ENTRIES_MAX as usize) {
        let last = head.min(first + READ_ENTRIES_MAX - 1);
        let page = read(store, topic, first, last).await;
        let expected = batch(seq(u64::from(first) - 1), last + 1 - first, first.into());
        assert_eq!(page, expected);
    }
}
