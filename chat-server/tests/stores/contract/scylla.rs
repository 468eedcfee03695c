//! The contract of the store of several servers, run against the CQL server of `TEST_CQL`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chat_server::metrics::Metrics;
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::scylla::settings::{DataCenters, Replication, ScyllaSettings};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shared::clock::SystemClock;
use tokio::runtime::Runtime;

use crate::contract::model::{Model, steps};
use crate::contract::store::Subject;

/// One for this run: tables take seconds to be made, ids are fresh for every test.
static KEYSPACE: LazyLock<String> =
    LazyLock::new(|| format!("contract_{:08x}", rand::random::<u32>()));

#[expect(
    clippy::disallowed_methods,
    reason = "where the test's server is; infra/services says so"
)]
fn settings() -> ScyllaSettings {
    let servers = std::env::var("TEST_CQL").expect("TEST_CQL: `infra/services up cassandra`");
    let address = format!("scylla://{servers}/{}", *KEYSPACE);
    ScyllaSettings {
        address: address.parse().unwrap(),
        datacenter: None,
        // A copy on each of the servers that are named.
        replication: Replication::Factor(servers.split(',').count().try_into().unwrap()),
        reach: DataCenters::LocalQuorum,
        ca: None,
        // A busy machine is not what is tried here.
        answer_wait: Duration::from_secs(30),
    }
}

async fn connect() -> ScyllaStore {
    let metrics = Arc::new(Metrics::new());
    let settings = settings();
    let store = ScyllaStore::connect(&settings, Arc::new(SystemClock), metrics);
    store.await.unwrap()
}

async fn open() -> Subject {
    Subject {
        store: Arc::new(connect().await),
        _kept: Box::new(()),
    }
}

crate::store_contract!(open);

#[test]
fn random_walk_equals_the_model() {
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    };
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(connect());
    // On failure proptest prints the shortest walk that fails, which is its own seed.
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let mut model = Model::fresh();
            runtime.block_on(async {
                for step in &steps {
                    model.step(&store, step).await;
                }
                model.compare(&store).await;
            });
            Ok(())
        })
        .unwrap();
}
