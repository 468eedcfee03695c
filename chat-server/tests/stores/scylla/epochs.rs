//! A store that was put back from a backup: its logs go on far ahead.

use std::sync::Arc;

use chat_server::append::{Appender, AppenderParts, RoomHeads, RoomHeadsParts};
use chat_server::bus::local::LocalBus;
use chat_server::metrics::Metrics;
use chat_server::store::epoch::GAP_MIN;
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::{Append, MessageStore, ReadConsistency, RoomStore};
use futures_util::future::join_all;
use scylla::client::session_builder::SessionBuilder;
use shared::clock::SystemClock;
use shared::drain::Drain;
use shared::ids::Seq;

use super::transactions::draft;
use super::{connect, fill, fresh_keyspace, head, read, servers, settings_at};
use crate::contract::make::{batch, fresh_topic, seq};
use crate::program::{program, run};

fn appender(store: &Arc<ScyllaStore>) -> Appender {
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
    let heads = RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(store) as Arc<dyn RoomStore>,
        messages: Arc::clone(store) as Arc<dyn MessageStore>,
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    Appender::new(AppenderParts {
        store: Arc::clone(store) as Arc<dyn MessageStore>,
        heads,
        bus: Arc::new(LocalBus::new().attach(64).0),
        clock: Arc::new(SystemClock),
        drain,
        metrics,
        placed: Box::new(|_, _, _| {}),
        stored: Box::new(|_, _, _| {}),
    })
}

fn seqs(entries: &[Arc<chat_server::log::Entry>]) -> Vec<u32> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_a_store_that_was_put_back_jump_once_to_one_place() {
    let settings = settings_at(&servers(), &fresh_keyspace());
    let store = connect(&settings).await;
    let (room, young, quiet) = (fresh_topic(), fresh_topic(), fresh_topic());
    fill(&store, room, 4_100).await;
    fill(&store, quiet, 3).await;
    assert_eq!(
        store.enter(room).await.unwrap(),
        seq(4_100),
        "no backup yet"
    );
    let epoch = store.begin_epoch().await.unwrap();
    // Nodes that start in the new epoch and write at once: all of them jump to the same position.
    let nodes = join_all((0..3).map(|_| connect(&settings))).await;
    let appenders: Vec<Appender> = nodes.iter().map(appender).collect();
    let sends = appenders.iter().enumerate().flat_map(|(nth, appender)| {
        let own = [room, young].map(|topic| appender.send(topic, vec![draft(format!("{nth}"))]));
        own.into_iter()
    });
    let mut assigned: Vec<u32> = join_all(sends)
        .await
        .into_iter()
        .map(|one| one.unwrap()[0].seq.get())
        .collect();
    assigned.sort_unstable();
    for (topic, before) in [(room, 4_100), (young, 0)] {
        let jumps = nodes[0].jumps(topic).await.unwrap();
        let [jump] = jumps[..] else {
            panic!("{jumps:?}")
        };
        let first = jump.get();
        assert!(first > before + GAP_MIN && first % 4_096 == 0);
        for (node, at) in nodes.iter().zip(first..) {
            assert!(assigned.contains(&at), "{at} is given once");
            assert_eq!(head(node, topic).await, first + 2);
        }
        let new = read(&nodes[1], topic, first, first + 2).await;
        assert_eq!(seqs(&new), [first, first + 1, first + 2]);
        // Over the hole, both ways.
        let (near, far) = (seq(u64::from(before) + 1), seq(u64::from(first) - 1));
        let found = nodes[0]
            .nearest(topic, near, seq(u64::from(first) + 2))
            .await;
        assert_eq!(found.unwrap(), Some(jump));
        let earlier = nodes[0].nearest(topic, far, seq(1)).await.unwrap();
        assert_eq!(earlier.unwrap_or(Seq::ZERO).get(), before);
        let hole = nodes[0]
            .read(
                topic,
                near,
                seq(u64::from(before) + 512),
                ReadConsistency::Serial,
            )
            .await;
        assert_eq!(hole.unwrap().len(), 0);
    }
    // A log without writes is unchanged, and a second call of `enter` jumps no further.
    assert_eq!(head(&nodes[2], quiet).await, 3);
    let entered = nodes[2].enter(quiet).await.unwrap();
    assert_eq!(nodes[0].enter(quiet).await.unwrap(), entered);
    assert!(entered.get() > 3 + GAP_MIN);
    let next = batch(entered, 1, 1);
    let appended = nodes[1].append(quiet, entered, next).await.unwrap();
    assert_eq!(appended, Append::Applied);
    assert_eq!(
        connect(&settings).await.enter(quiet).await.unwrap().get(),
        entered.get() + 1
    );
    // Put back once more.
    assert!(store.begin_epoch().await.unwrap() > epoch);
    let later = connect(&settings).await.enter(quiet).await.unwrap();
    assert!(later.get() > entered.get() + GAP_MIN);
}

#[tokio::test]
async fn new_epoch_of_a_wrong_keyspace_is_refused_and_makes_nothing() {
    let keyspace = fresh_keyspace();
    let store = format!("scylla://{}/{keyspace}", servers());
    let refused = run(program(&["new-epoch", "--store", &store])).await;
    let log = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{log}");
    assert!(refused.stdout.is_empty());
    let says = format!("the keyspace {keyspace} holds no messages");
    assert!(log.contains(&says), "{log}");
    let named = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let servers = SessionBuilder::new().known_node(servers().split(',').next().unwrap());
    let servers = servers.build().await.unwrap();
    let found = servers.query_unpaged(named, (keyspace,)).await.unwrap();
    assert_eq!(found.into_rows_result().unwrap().rows_num(), 0);
}
