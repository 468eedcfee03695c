//! The contract of `MessageStore`: heads and appends.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::Topic;
use chat_server::store::{
    APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Append, READ_ENTRIES_MAX, ReadConsistency,
};
use shared::ids::Seq;
use tokio::task::JoinSet;

use super::make::{batch, entry, fresh_topic, seq};
use super::store::{QUORUM, Store, append, assert_dense, read_all, seqs, uids};

/// Appends one entry wherever the head is, however often it takes; gives its position.
async fn append_somewhere(store: &dyn Store, topic: Topic, uid: u128) -> Seq {
    let mut head = Seq::ZERO;
    loop {
        match append(store, topic, head, 1, uid).await {
            Append::Applied => return head.next().unwrap(),
            Append::Conflict(found) => {
                assert!(found > head, "{found} after {head}: heads only rise");
                head = found;
            }
        }
    }
}

pub(crate) async fn empty_topic_has_head_zero(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    assert_eq!(
        store.head(topic, ReadConsistency::Quorum).await.unwrap(),
        Seq::ZERO
    );
    assert_eq!(
        store.head(topic, ReadConsistency::Serial).await.unwrap(),
        Seq::ZERO
    );
    assert!(
        store
            .read(topic, Seq::ZERO, Seq::MAX, QUORUM)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn append_moves_the_head_to_its_last_entry(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    assert_eq!(
        append(&*store, topic, Seq::ZERO, 3, 1).await,
        Append::Applied
    );
    assert_eq!(store.head(topic, QUORUM).await.unwrap(), seq(3));
    assert_eq!(append(&*store, topic, seq(3), 1, 4).await, Append::Applied);
    assert_eq!(
        store.head(topic, ReadConsistency::Serial).await.unwrap(),
        seq(4)
    );
}

pub(crate) async fn append_is_applied_only_at_the_head(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    assert_eq!(
        append(&*store, topic, seq(1), 1, 1).await,
        Append::Conflict(Seq::ZERO)
    );
    append(&*store, topic, Seq::ZERO, 2, 1).await;
    assert_eq!(
        append(&*store, topic, Seq::ZERO, 1, 3).await,
        Append::Conflict(seq(2))
    );
    assert_eq!(
        append(&*store, topic, seq(1), 1, 3).await,
        Append::Conflict(seq(2))
    );
    assert_eq!(
        append(&*store, topic, seq(3), 1, 3).await,
        Append::Conflict(seq(2))
    );
    assert_eq!(append(&*store, topic, seq(2), 1, 3).await, Append::Applied);
}

pub(crate) async fn conflict_writes_nothing(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 2, 1).await;
    // One that would overwrite, one that would leave a hole, one that does both.
    for head in [0, 1, 3, 40] {
        append(&*store, topic, seq(head), 5, 100).await;
    }
    assert_eq!(store.head(topic, QUORUM).await.unwrap(), seq(2));
    let entries = store
        .read(topic, Seq::ZERO, Seq::MAX, QUORUM)
        .await
        .unwrap();
    assert_eq!(uids(&entries), [1, 2]);
}

pub(crate) async fn append_of_nothing_compares_and_writes_nothing(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    assert_eq!(
        append(&*store, topic, Seq::ZERO, 0, 1).await,
        Append::Applied
    );
    assert_eq!(
        append(&*store, topic, seq(1), 0, 1).await,
        Append::Conflict(Seq::ZERO)
    );
    assert_eq!(store.head(topic, QUORUM).await.unwrap(), Seq::ZERO);
}

pub(crate) async fn append_of_the_least_always_fits(store: Arc<dyn Store>) {
    for head in [
        0, 1, 4_094, 4_095, 4_096, 8_190, 8_191, 8_192, 4_194_301, 4_194_302,
    ] {
        let head = seq(head);
        assert!(store.append_end(head) > head, "{head}");
    }
    assert_eq!(store.append_end(Seq::MAX), Seq::MAX);
}

pub(crate) async fn append_takes_the_most_entries_allowed(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let most = u32::try_from(APPEND_ENTRIES_MAX).unwrap();
    let mut entries = batch(Seq::ZERO, most, 1);
    for entry in &mut entries {
        let body = vec![b'x'; APPEND_BYTES_MAX / APPEND_ENTRIES_MAX];
        Arc::make_mut(entry).draft.body = Bytes::from(body);
    }
    let sent = entries.clone();
    assert_eq!(
        store.append(topic, Seq::ZERO, entries).await.unwrap(),
        Append::Applied
    );
    assert_eq!(read_all(&*store, topic).await, sent);
}

pub(crate) async fn append_takes_one_entry_above_the_byte_limit(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let mut large = entry(seq(1), 1);
    // Not compressible, so that nothing hides its size.
    let noise = (0..APPEND_BYTES_MAX as u64 + 1)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    large.draft.body = noise.collect();
    let sent = vec![Arc::new(large)];
    assert_eq!(
        store.append(topic, Seq::ZERO, sent.clone()).await.unwrap(),
        Append::Applied
    );
    assert_eq!(read_all(&*store, topic).await, sent);
}

pub(crate) async fn of_several_appends_at_the_same_head_one_is_applied(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let mut head = Seq::ZERO;
    for round in 0..10_u128 {
        let mut tasks = JoinSet::new();
        for task in 0..8_u128 {
            let store = Arc::clone(&store);
            let uid = round * 1_000 + task * 10;
            let count = 1 + u32::try_from(task % 3).unwrap();
            tasks
                .spawn(async move { (append(&*store, topic, head, count, uid).await, count, uid) });
        }
        let outcomes = tasks.join_all().await;
        let applied: Vec<_> = outcomes
            .iter()
            .filter(|(outcome, ..)| *outcome == Append::Applied)
            .collect();
        assert_eq!(applied.len(), 1, "{outcomes:?}");
        let (_, count, uid) = applied[0];
        let moved = seq(u64::from(head.get() + count));
        let written = store
            .read(topic, head.next().unwrap(), Seq::MAX, QUORUM)
            .await
            .unwrap();
        assert_eq!(written, batch(head, *count, *uid));
        for (outcome, ..) in &outcomes {
            assert!(
                [Append::Applied, Append::Conflict(moved)].contains(outcome),
                "{outcome:?}"
            );
        }
        head = moved;
    }
}

pub(crate) async fn crowded_topic_stays_dense(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let mut tasks = JoinSet::new();
    for task in 0..16_u128 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut positions = Vec::new();
            for nth in 0..20 {
                let uid = task * 1_000 + nth;
                positions.push((append_somewhere(&*store, topic, uid).await, uid));
            }
            positions
        });
    }
    let mut receipts: Vec<(Seq, u128)> = tasks.join_all().await.into_iter().flatten().collect();
    receipts.sort_unstable();
    let entries = read_all(&*store, topic).await;
    assert_dense(&entries);
    let stored: Vec<(Seq, u128)> = entries.iter().map(|e| (e.seq, e.draft.uid.0)).collect();
    assert_eq!(
        stored, receipts,
        "nothing lost, nothing doubled, each at the position of its receipt"
    );
}

pub(crate) async fn many_topics_grow_at_once(store: Arc<dyn Store>) {
    let topics: BTreeSet<Topic> = (0..50).map(|_| fresh_topic()).collect();
    let mut tasks = JoinSet::new();
    for topic in topics.clone() {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for nth in 0..6_u32 {
                let outcome = append(
                    &*store,
                    topic,
                    seq(u64::from(nth * 2)),
                    2,
                    u128::from(nth * 2),
                )
                .await;
                assert_eq!(outcome, Append::Applied);
            }
        });
    }
    tasks.join_all().await;
    for topic in topics {
        let entries = read_all(&*store, topic).await;
        assert_eq!(uids(&entries), (0..12).collect::<Vec<u128>>());
        assert_dense(&entries);
    }
}

pub(crate) async fn repeated_append_finds_out_that_it_was_applied(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 2, 1).await;
    let Append::Conflict(head) = append(&*store, topic, Seq::ZERO, 2, 1).await else {
        panic!("applied twice");
    };
    assert_eq!(
        uids(
            &store
                .read(topic, seq(1), head, ReadConsistency::Serial)
                .await
                .unwrap()
        ),
        [1, 2]
    );
}

pub(crate) async fn batch_is_seen_whole_or_not_at_all(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let size = u32::try_from(APPEND_ENTRIES_MAX).unwrap();
    let end = 60 * size;
    let reader = Arc::clone(&store);
    let reading = async move {
        let mut seen = 0;
        while seen < end {
            let head = reader.head(topic, QUORUM).await.unwrap().get();
            assert_eq!(head % size, 0, "a head within a batch was seen");
            // Only what is new, so that the reads are quick and many fall into an append.
            let page = reader
                .read(topic, seq(u64::from(seen) + 1), Seq::MAX, QUORUM)
                .await
                .unwrap();
            let count = u32::try_from(page.len()).unwrap();
            assert_eq!(count % size, 0, "a part of a batch was seen");
            assert_eq!(seqs(&page), (seen + 1..=seen + count).collect::<Vec<_>>());
            seen += count;
            assert!(
                head <= seen || page.len() == READ_ENTRIES_MAX as usize,
                "{head} is not there"
            );
        }
    };
    // The reader on a worker of its own, so that it truly runs beside the writer.
    let mut tasks = JoinSet::new();
    tasks.spawn(reading);
    for head in (0..end).step_by(APPEND_ENTRIES_MAX) {
        let outcome = append(&*store, topic, seq(head.into()), size, head.into()).await;
        assert_eq!(outcome, Append::Applied);
    }
    tasks.join_all().await;
}
