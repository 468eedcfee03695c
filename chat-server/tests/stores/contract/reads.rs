//! The contract of `MessageStore`: reads and deletes.

use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::{Kind, Topic};
use chat_server::store::{Append, READ_ENTRIES_MAX, ReadConsistency};
use shared::ids::{MemberId, Seq};

use super::make::{batch, entry, fresh_member, fresh_room, fresh_topic, member, seq};
use super::store::{QUORUM, Store, append, assert_dense, read_all, seqs, uids};

pub(crate) async fn applied_entries_are_read_as_they_were_written(store: Arc<dyn Store>) {
    let topic = Topic::Inbox(fresh_member());
    let mut bare = entry(seq(1), u128::MAX);
    bare.draft.kind = Kind::Notice;
    bare.draft.sender = None;
    bare.draft.client_message_id = None;
    bare.draft.headers = Vec::new();
    bare.draft.content_type = None;
    bare.draft.body = Bytes::new();
    let mut full = entry(seq(2), 0);
    full.draft.kind = Kind::Opaque;
    full.draft.sender = Some(MemberId::try_from((1_u64 << 31) - 1).unwrap());
    full.draft.client_message_id = Some("아이디 \u{0} \"'".into());
    full.draft.headers = vec![
        ("a".into(), "1".into()),
        ("a".into(), "2".into()),
        ("".into(), "".into()),
    ];
    full.draft.content_type = Some("".into());
    full.draft.body = Bytes::from((0..=u8::MAX).collect::<Vec<u8>>());
    full.draft.sent_at = shared::clock::UnixMillis::MAX;
    let mut alarm = entry(seq(3), 1);
    alarm.draft.kind = Kind::Alarm;
    let sent: Vec<_> = [bare, full, alarm].into_iter().map(Arc::new).collect();
    store.append(topic, Seq::ZERO, sent.clone()).await.unwrap();
    assert_eq!(
        store.read(topic, seq(1), seq(3), QUORUM).await.unwrap(),
        sent
    );
}

pub(crate) async fn read_gives_what_lies_between_its_borders(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 10, 1).await;
    let cases: [(u64, u64, &[u32]); 8] = [
        (1, 1, &[1]),
        (10, 10, &[10]),
        (3, 6, &[3, 4, 5, 6]),
        (0, 2, &[1, 2]),
        (0, 0, &[]),
        (9, 4_194_303, &[9, 10]),
        (11, 4_194_303, &[]),
        (6, 3, &[]),
    ];
    for (first, last, expected) in cases {
        for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
            let entries = store
                .read(topic, seq(first), seq(last), view)
                .await
                .unwrap();
            assert_eq!(seqs(&entries), expected, "{first}..={last}");
        }
    }
}

pub(crate) async fn read_is_limited_from_its_first_position(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let size = 64;
    for nth in 0..10 {
        append(&*store, topic, seq(nth * size), 64, u128::from(nth * size)).await;
    }
    let entries = store.read(topic, seq(5), Seq::MAX, QUORUM).await.unwrap();
    assert_eq!(
        seqs(&entries),
        (5..5 + READ_ENTRIES_MAX).collect::<Vec<_>>()
    );
    let entries = store.read(topic, seq(600), Seq::MAX, QUORUM).await.unwrap();
    assert_eq!(seqs(&entries), (600..=640).collect::<Vec<_>>());
}

pub(crate) async fn nearest_entry_is_found_in_both_directions(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 3, 1).await;
    let cases = [
        (0, 9, Some(1)),
        (2, 9, Some(2)),
        (4, 2_000, None),
        (2_000, 1, Some(3)),
        (2, 1, Some(2)),
        (0, 0, None),
    ];
    for (from, to, expected) in cases {
        let found = store.nearest(topic, seq(from), seq(to)).await.unwrap();
        assert_eq!(found, expected.map(seq), "from {from} to {to}");
    }
}

pub(crate) async fn inbox_and_room_of_one_number_are_apart(store: Arc<dyn Store>) {
    let room = fresh_room();
    let inbox = Topic::Inbox(member(u64::from(room.get())));
    append(&*store, Topic::Room(room), Seq::ZERO, 2, 1).await;
    assert_eq!(store.head(inbox, QUORUM).await.unwrap(), Seq::ZERO);
    append(&*store, inbox, Seq::ZERO, 1, 100).await;
    store.delete(inbox, seq(1)).await.unwrap();
    assert_eq!(uids(&read_all(&*store, Topic::Room(room)).await), [1, 2]);
    let entries = read_all(&*store, inbox).await;
    assert_eq!(uids(&entries), [100]);
    assert!(entries[0].deleted);
}

pub(crate) async fn neighbouring_topics_do_not_mix(store: Arc<dyn Store>) {
    let middle = u64::from(fresh_room().get()).clamp(300, (1 << 31) - 300);
    // Neighbours in number, and in the bytes of the number.
    let numbers = [middle - 256, middle - 1, middle, middle + 1, middle + 256];
    let topics = numbers.map(|number| Topic::Room(number.try_into().unwrap()));
    for (nth, topic) in topics.into_iter().enumerate() {
        append(&*store, topic, Seq::ZERO, 2, nth as u128 * 10).await;
    }
    for (nth, topic) in topics.into_iter().enumerate() {
        let entries = store
            .read(topic, Seq::ZERO, Seq::MAX, QUORUM)
            .await
            .unwrap();
        assert_eq!(uids(&entries), [nth as u128 * 10, nth as u128 * 10 + 1]);
        assert_eq!(store.head(topic, QUORUM).await.unwrap(), seq(2));
    }
}

pub(crate) async fn topic_ends_at_the_last_position(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    // Filling it takes four million entries; what can be tried is that its far end is refused.
    let before = seq(u64::from(Seq::MAX.get()) - 1);
    assert_eq!(
        append(&*store, topic, before, 1, 1).await,
        Append::Conflict(Seq::ZERO)
    );
    assert_eq!(store.head(topic, QUORUM).await.unwrap(), Seq::ZERO);
    assert!(
        store
            .read(topic, Seq::MAX, Seq::MAX, QUORUM)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn deleted_entry_keeps_its_position_and_loses_its_body(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 3, 1).await;
    store.delete(topic, seq(2)).await.unwrap();
    let mut expected = batch(Seq::ZERO, 3, 1);
    let taken_back = Arc::make_mut(&mut expected[1]);
    taken_back.deleted = true;
    taken_back.draft.body = Bytes::new();
    assert_eq!(read_all(&*store, topic).await, expected);
    assert_eq!(store.head(topic, QUORUM).await.unwrap(), seq(3));
    assert_eq!(append(&*store, topic, seq(3), 1, 4).await, Append::Applied);
}

pub(crate) async fn delete_twice_is_the_same_as_once(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 1, 1).await;
    store.delete(topic, seq(1)).await.unwrap();
    let once = read_all(&*store, topic).await;
    store.delete(topic, seq(1)).await.unwrap();
    assert_eq!(read_all(&*store, topic).await, once);
}

pub(crate) async fn delete_of_a_missing_entry_makes_none(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    for at in [0, 1, 4_194_303] {
        store.delete(topic, seq(at)).await.unwrap();
    }
    assert_eq!(store.head(topic, QUORUM).await.unwrap(), Seq::ZERO);
    assert_eq!(
        append(&*store, topic, Seq::ZERO, 1, 1).await,
        Append::Applied
    );
    store.delete(topic, seq(2)).await.unwrap();
    assert_eq!(append(&*store, topic, seq(1), 1, 2).await, Append::Applied);
    let entries = read_all(&*store, topic).await;
    assert_eq!(entries, batch(Seq::ZERO, 2, 1));
}

pub(crate) async fn delete_races_with_appends_and_both_hold(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    append(&*store, topic, Seq::ZERO, 1, 0).await;
    for nth in 1..30_u32 {
        let head = seq(u64::from(nth));
        let appending = append(&*store, topic, head, 1, u128::from(nth));
        let (outcome, deleted) = tokio::join!(appending, store.delete(topic, head));
        assert_eq!(outcome, Append::Applied);
        deleted.unwrap();
    }
    let entries = read_all(&*store, topic).await;
    assert_dense(&entries);
    assert_eq!(entries.len(), 30);
    assert!(
        entries[..29]
            .iter()
            .all(|entry| entry.deleted && entry.draft.body.is_empty())
    );
    assert!(!entries[29].deleted);
}
