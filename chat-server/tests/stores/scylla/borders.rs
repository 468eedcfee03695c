//! Where one bucket ends and the next begins: positions 4,095 and 4,096, 8,191 and 8,192.

use chat_server::log::Topic;
use chat_server::store::{Append, MessageStore, ReadConsistency, RoomHead, RoomStore, StoreError};
use shared::ids::Seq;
use tokio::task::JoinSet;

use super::{append, assert_whole, conflict, connect, fill, head, read, settings};
use crate::contract::make::{batch, fresh_member, fresh_room, fresh_topic, millis, seq};

#[tokio::test]
async fn log_goes_on_over_its_borders() {
    let store = connect(&settings()).await;
    let inbox = Topic::Inbox(fresh_member());
    for topic in [fresh_topic(), inbox] {
        fill(&store, topic, 4_094).await;
        assert_eq!(head(&store, topic).await, 4_094);
        for at in 4_094..4_098 {
            assert_eq!(append(&store, topic, at, 1).await, Append::Applied, "{at}");
            assert_eq!(head(&store, topic).await, at + 1);
            // A node that knows nothing of the log finds its end, too.
            let other = connect(&settings()).await;
            assert_eq!(head(&other, topic).await, at + 1);
        }
        assert_whole(&store, topic, 4_098).await;
        let across = read(&store, topic, 4_000, 4_194_303).await;
        assert_eq!(across, batch(seq(3_999), 99, 4_000));
    }
}

#[tokio::test]
async fn log_of_three_buckets_is_found_from_any_guess() {
    let (store, behind) = (connect(&settings()).await, connect(&settings()).await);
    let topic = fresh_topic();
    fill(&store, topic, 10).await;
    // One that remembers the first bucket.
    let fresh = fresh_topic();
    assert_eq!(head(&behind, fresh).await, 0);
    fill(&store, fresh, 8_193).await;
    assert_eq!(head(&behind, fresh).await, 8_193);
    assert_whole(&behind, fresh, 8_193).await;
    // One whose lists tell of more than there is: a restored backup.
    let Topic::Room(room) = topic else {
        panic!("{topic}")
    };
    let noted = RoomHead {
        room,
        seq: seq(100_000),
        text: String::new(),
        at: millis(1),
    };
    store.note_head(noted).await.unwrap();
    let other = connect(&settings()).await;
    assert_eq!(head(&other, topic).await, 10);
}

#[tokio::test]
async fn append_behind_a_border_meets_the_newest_head() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    fill(&store, topic, 4_097).await;
    for behind in [0, 1, 100, 4_093, 4_094, 4_095, 4_096] {
        assert_eq!(
            append(&store, topic, behind, 1).await,
            conflict(4_097),
            "{behind}"
        );
    }
    for ahead in [4_098, 5_000, 8_190, 8_191, 8_192, 100_000] {
        assert_eq!(
            append(&store, topic, ahead, 1).await,
            conflict(4_097),
            "{ahead}"
        );
    }
    assert_whole(&store, topic, 4_097).await;
    assert_eq!(read(&store, topic, 4_098, 4_194_303).await, []);
}

#[tokio::test]
async fn bucket_is_begun_only_when_the_one_before_is_full() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 4_095, 1).await, conflict(0));
    fill(&store, topic, 4_094).await;
    assert_eq!(append(&store, topic, 4_095, 1).await, conflict(4_094));
    assert_eq!(append(&store, topic, 4_094, 1).await, Append::Applied);
    assert_eq!(append(&store, topic, 8_191, 1).await, conflict(4_095));
    assert_eq!(append(&store, topic, 4_095, 1).await, Append::Applied);
    assert_whole(&store, topic, 4_096).await;
}

#[tokio::test]
async fn append_over_a_border_is_refused_whole() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    assert_eq!(store.append_end(Seq::ZERO), seq(4_095));
    assert_eq!(store.append_end(seq(4_094)), seq(4_095));
    assert_eq!(store.append_end(seq(4_095)), seq(8_191));
    fill(&store, topic, 4_090).await;
    let over = store
        .append(topic, seq(4_090), batch(seq(4_090), 6, 4_091))
        .await;
    assert!(matches!(over, Err(StoreError::Unavailable(_))), "{over:?}");
    assert_eq!(head(&store, topic).await, 4_090);
    assert_eq!(append(&store, topic, 4_090, 5).await, Append::Applied);
    assert_whole(&store, topic, 4_095).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_nodes_one_begins_the_bucket() {
    let topic = Topic::Room(fresh_room());
    let first = connect(&settings()).await;
    fill(&first, topic, 4_095).await;
    let mut nodes = JoinSet::new();
    for node in 0..6_u32 {
        nodes.spawn(async move {
            let store = connect(&settings()).await;
            let entries = batch(seq(4_095), 1 + node, 10_000 * u128::from(node + 1));
            (
                store.append(topic, seq(4_095), entries).await.unwrap(),
                node,
            )
        });
    }
    let outcomes = nodes.join_all().await;
    let applied: Vec<_> = outcomes
        .iter()
        .filter(|(outcome, _)| *outcome == Append::Applied)
        .collect();
    assert_eq!(applied.len(), 1, "{outcomes:?}");
    let node = applied[0].1;
    let newest = 4_096 + node;
    assert_eq!(
        first.head(topic, ReadConsistency::Quorum).await.unwrap(),
        seq(newest.into())
    );
    let expected = batch(seq(4_095), 1 + node, 10_000 * u128::from(node + 1));
    assert_eq!(read(&first, topic, 4_096, newest).await, expected);
    for (outcome, _) in &outcomes {
        assert!(
            [Append::Applied, conflict(newest)].contains(outcome),
            "{outcome:?}"
        );
    }
}
