//! The contract of `MessageStore` and `RoomStore`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::{Entry, Kind, Topic};
use chat_server::store::{
    APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Append, MessageStore, READ_ENTRIES_MAX, Role, RoomStore,
    StoreError, View,
};
use shared::ids::{MemberId, Seq};
use tokio::task::JoinSet;

use super::make::{batch, entry, fresh_member, fresh_room, fresh_topic, member, seq};
use super::rooms::{room_head, room_of};

/// Both halves of a store.
pub(crate) trait Store: MessageStore + RoomStore {}

impl<S: MessageStore + RoomStore> Store for S {}

/// An open store, and what must outlive it: a folder, a server.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) _kept: Box<dyn std::any::Any + Send>,
}

/// Runs every test of this file and the model test against what `$open` opens.
#[macro_export]
macro_rules! store_contract {
    ($open:path) => {
        $crate::store_contract! { @ $open:
            empty_topic_has_head_zero,
            append_moves_the_head_to_its_last_entry,
            append_is_applied_only_at_the_head,
            conflict_writes_nothing,
            append_of_nothing_compares_and_writes_nothing,
            append_takes_the_most_entries_allowed,
            append_takes_one_entry_above_the_byte_limit,
            of_several_appends_at_the_same_head_one_is_applied,
            crowded_topic_stays_dense,
            many_topics_grow_at_once,
            repeated_append_finds_out_that_it_was_applied,
            batch_is_seen_whole_or_not_at_all,
            applied_entries_are_read_as_they_were_written,
            read_gives_what_lies_between_its_borders,
            read_is_limited_from_its_first_position,
            inbox_and_room_of_one_number_are_apart,
            neighbouring_topics_do_not_mix,
            topic_ends_at_the_last_position,
            deleted_entry_keeps_its_position_and_loses_its_body,
            delete_twice_is_the_same_as_once,
            delete_of_a_missing_entry_makes_none,
            delete_races_with_appends_and_both_hold,
            unknown_room_is_none,
            room_is_replaced_whole,
            largest_room_fits,
            memberships_follow_the_room,
            memberships_of_members_do_not_mix,
            who_left_keeps_the_read_mark,
            rooms_put_at_once_leave_one_of_them,
            read_mark_only_moves_forward,
            read_marks_at_once_leave_the_greatest,
            read_mark_needs_no_membership,
            room_heads_are_given_for_rooms_that_have_one,
            newer_room_head_wins_in_any_order,
        }
    };
    (@ $open:path: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let subject = $open().await;
                $crate::contract::store::$name(Arc::clone(&subject.store)).await;
            }
        )+
    };
}

const QUORUM: View = View::Quorum;

async fn append(store: &dyn Store, topic: Topic, head: Seq, count: u32, uid: u128) -> Append {
    store
        .append(topic, head, batch(head, count, uid))
        .await
        .unwrap()
}

async fn read_all(store: &dyn Store, topic: Topic) -> Vec<Arc<Entry>> {
    let head = store.head(topic, View::Settled).await.unwrap();
    let mut entries = Vec::new();
    let mut next = seq(1);
    while next <= head {
        let page = store.read(topic, next, head, View::Settled).await.unwrap();
        next = page
            .last()
            .expect("none is missing up to the head")
            .seq
            .next()
            .unwrap_or(Seq::MAX);
        entries.extend(page);
    }
    entries
}

fn seqs(entries: &[Arc<Entry>]) -> Vec<u32> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}

fn uids(entries: &[Arc<Entry>]) -> Vec<u128> {
    entries.iter().map(|entry| entry.draft.uid.0).collect()
}

/// Positions are 1, 2, 3, …, and no uid is there twice.
fn assert_dense(entries: &[Arc<Entry>]) {
    let expected: Vec<u32> = (1..).take(entries.len()).collect();
    assert_eq!(seqs(entries), expected);
    let distinct: BTreeSet<u128> = uids(entries).into_iter().collect();
    assert_eq!(distinct.len(), entries.len(), "an entry is there twice");
}

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
    assert_eq!(store.head(topic, View::Quorum).await.unwrap(), Seq::ZERO);
    assert_eq!(store.head(topic, View::Settled).await.unwrap(), Seq::ZERO);
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
    assert_eq!(store.head(topic, View::Settled).await.unwrap(), seq(4));
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
    let mut told: Vec<(Seq, u128)> = tasks.join_all().await.into_iter().flatten().collect();
    told.sort_unstable();
    let entries = read_all(&*store, topic).await;
    assert_dense(&entries);
    let stored: Vec<(Seq, u128)> = entries.iter().map(|e| (e.seq, e.draft.uid.0)).collect();
    assert_eq!(
        stored, told,
        "nothing lost, nothing doubled, each where its sender was told"
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
                .read(topic, seq(1), head, View::Settled)
                .await
                .unwrap()
        ),
        [1, 2]
    );
}

pub(crate) async fn batch_is_seen_whole_or_not_at_all(store: Arc<dyn Store>) {
    let topic = fresh_topic();
    let size = u32::try_from(APPEND_ENTRIES_MAX).unwrap();
    let batches = 8;
    let writing = async {
        for nth in 0..batches {
            let head = seq(u64::from(nth * size));
            let outcome = append(&*store, topic, head, size, u128::from(nth * size)).await;
            assert_eq!(outcome, Append::Applied);
        }
    };
    let reader = Arc::clone(&store);
    let reading = async move {
        let mut seen = 0;
        while seen < batches * size {
            let head = reader.head(topic, QUORUM).await.unwrap().get();
            let page = reader.read(topic, seq(1), Seq::MAX, QUORUM).await.unwrap();
            seen = u32::try_from(page.len()).unwrap();
            assert_eq!(seen % size, 0, "a part of a batch was seen");
            assert_eq!(head % size, 0, "a head within a batch was seen");
            assert!(
                head <= seen,
                "the head says {head}, a later read finds {seen}"
            );
            assert_dense(&page);
        }
    };
    // The reader on a worker of its own, so that it truly runs beside the writer.
    let mut tasks = JoinSet::new();
    tasks.spawn(reading);
    writing.await;
    tasks.join_all().await;
}

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
        for view in [View::Quorum, View::Settled] {
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

pub(crate) async fn unknown_room_is_none(store: Arc<dyn Store>) {
    assert_eq!(store.room(fresh_room()).await.unwrap(), None);
    assert_eq!(store.memberships(fresh_member()).await.unwrap(), []);
    assert_eq!(
        store.last_read(fresh_member(), fresh_room()).await.unwrap(),
        Seq::ZERO
    );
}

pub(crate) async fn room_is_replaced_whole(store: Arc<dyn Store>) {
    let id = fresh_room();
    let (buyer, seller) = (fresh_member(), fresh_member());
    let mut room = room_of(id, &[(buyer, Role::Buyer), (seller, Role::Seller)]);
    room.opaque = true;
    store.put_room(&room).await.unwrap();
    assert_eq!(store.room(id).await.unwrap().as_ref(), Some(&room));
    let other = room_of(id, &[(seller, Role::Member)]);
    store.put_room(&other).await.unwrap();
    assert_eq!(store.room(id).await.unwrap(), Some(other));
}

pub(crate) async fn largest_room_fits(store: Arc<dyn Store>) {
    let id = fresh_room();
    let first = u64::from(fresh_member().get()).min((1 << 31) - 2_000);
    let most = chat_server::store::room::MEMBERS_MAX as u64;
    let members: Vec<_> = (first..first + most)
        .map(|id| (member(id), Role::Member))
        .collect();
    let room = room_of(id, &members);
    store.put_room(&room).await.unwrap();
    assert_eq!(store.room(id).await.unwrap().as_ref(), Some(&room));
    for at in [first, first + most - 1] {
        assert_eq!(rooms_of(&*store, member(at)).await, [(id, Role::Member, 0)]);
    }
    store.put_room(&room_of(id, &[])).await.unwrap();
    assert_eq!(rooms_of(&*store, member(first)).await, []);
}

async fn rooms_of(store: &dyn Store, of: MemberId) -> Vec<(shared::ids::RoomId, Role, u32)> {
    let memberships = store.memberships(of).await.unwrap();
    let mut rooms: Vec<_> = memberships
        .iter()
        .map(|m| (m.room, m.role, m.last_read.get()))
        .collect();
    rooms.sort_by_key(|(room, ..)| *room);
    rooms
}

pub(crate) async fn memberships_follow_the_room(store: Arc<dyn Store>) {
    let (first, second) = (fresh_room(), fresh_room());
    let (one, two) = (fresh_member(), fresh_member());
    store
        .put_room(&room_of(first, &[(one, Role::Buyer), (two, Role::Seller)]))
        .await
        .unwrap();
    store
        .put_room(&room_of(second, &[(one, Role::Member)]))
        .await
        .unwrap();
    let mut both = vec![(first, Role::Buyer, 0), (second, Role::Member, 0)];
    both.sort_by_key(|(room, ..)| *room);
    assert_eq!(rooms_of(&*store, one).await, both);
    assert_eq!(rooms_of(&*store, two).await, [(first, Role::Seller, 0)]);

    // One leaves, the other's role changes.
    store
        .put_room(&room_of(first, &[(two, Role::Member)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, one).await, [(second, Role::Member, 0)]);
    assert_eq!(rooms_of(&*store, two).await, [(first, Role::Member, 0)]);

    // And comes back.
    store
        .put_room(&room_of(first, &[(one, Role::Seller), (two, Role::Member)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, one).await.len(), 2);
}

pub(crate) async fn memberships_of_members_do_not_mix(store: Arc<dyn Store>) {
    let middle = u64::from(fresh_member().get()).clamp(300, (1 << 31) - 300);
    let id = fresh_room();
    store
        .put_room(&room_of(id, &[(member(middle), Role::Buyer)]))
        .await
        .unwrap();
    for other in [middle - 256, middle - 1, middle + 1, middle + 256] {
        assert_eq!(rooms_of(&*store, member(other)).await, []);
    }
}

pub(crate) async fn who_left_keeps_the_read_mark(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    store
        .put_room(&room_of(id, &[(who, Role::Buyer)]))
        .await
        .unwrap();
    store.mark_read(who, id, seq(9)).await.unwrap();
    store.put_room(&room_of(id, &[])).await.unwrap();
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(9));
    store
        .put_room(&room_of(id, &[(who, Role::Buyer)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, who).await, [(id, Role::Buyer, 9)]);
    store.mark_read(who, id, seq(8)).await.unwrap();
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(9));
}

pub(crate) async fn rooms_put_at_once_leave_one_of_them(store: Arc<dyn Store>) {
    let id = fresh_room();
    let members: Vec<MemberId> = (0..6).map(|_| fresh_member()).collect();
    let mut tasks = JoinSet::new();
    for who in members.clone() {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store
                .put_room(&room_of(id, &[(who, Role::Member)]))
                .await
                .unwrap()
        });
    }
    tasks.join_all().await;
    // Whichever came last: it is there whole. Put once more, it is alone for certain.
    let left = store.room(id).await.unwrap().unwrap();
    assert_eq!(left.members.len(), 1);
    assert!(store.put_room(&left).await.is_ok());
    assert_eq!(rooms_of(&*store, left.members[0].member_id).await.len(), 1);
}

pub(crate) async fn read_mark_only_moves_forward(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    store
        .put_room(&room_of(id, &[(who, Role::Buyer)]))
        .await
        .unwrap();
    for (mark, expected) in [
        (5, 5),
        (3, 5),
        (5, 5),
        (0, 5),
        (300, 300),
        (299, 300),
        (65_536, 65_536),
    ] {
        store.mark_read(who, id, seq(mark)).await.unwrap();
        assert_eq!(store.last_read(who, id).await.unwrap(), seq(expected));
        let told = u32::try_from(expected).unwrap();
        assert_eq!(rooms_of(&*store, who).await, [(id, Role::Buyer, told)]);
    }
}

pub(crate) async fn read_marks_at_once_leave_the_greatest(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    let mut tasks = JoinSet::new();
    for nth in 0..64_u64 {
        let store = Arc::clone(&store);
        // Each number once, in no order.
        let mark = seq(nth * 37 % 64 + 1);
        tasks.spawn(async move { store.mark_read(who, id, mark).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(64));
}

pub(crate) async fn read_mark_needs_no_membership(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    store.mark_read(who, id, seq(4)).await.unwrap();
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(4));
    assert_eq!(
        rooms_of(&*store, who).await,
        [],
        "a mark makes nobody a member"
    );
    store
        .put_room(&room_of(id, &[(who, Role::Seller)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, who).await, [(id, Role::Seller, 4)]);
}

pub(crate) async fn room_heads_are_given_for_rooms_that_have_one(store: Arc<dyn Store>) {
    let (first, second, silent) = (fresh_room(), fresh_room(), fresh_room());
    assert_eq!(store.heads(&[]).await.unwrap(), []);
    assert_eq!(store.heads(&[silent]).await.unwrap(), []);
    let (one, two) = (
        room_head(first, seq(3), "안녕"),
        room_head(second, seq(1), ""),
    );
    store.note_head(one.clone()).await.unwrap();
    store.note_head(two.clone()).await.unwrap();
    let mut heads = store.heads(&[first, silent, second]).await.unwrap();
    heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
    assert_eq!(heads, [one, two]);
}

pub(crate) async fn newer_room_head_wins_in_any_order(store: Arc<dyn Store>) {
    let id = fresh_room();
    for (at, expected) in [(2, 2), (1, 2), (3, 3), (2, 3)] {
        let text = format!("text {at}");
        store
            .note_head(room_head(id, seq(at), &text))
            .await
            .unwrap();
        let heads = store.heads(&[id]).await.unwrap();
        assert_eq!(
            heads,
            [room_head(id, seq(expected), &format!("text {expected}"))]
        );
    }
    let mut tasks = JoinSet::new();
    for nth in 0..64_u64 {
        let store = Arc::clone(&store);
        let head = room_head(id, seq(nth * 37 % 64 + 4), "many");
        tasks.spawn(async move { store.note_head(head).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(
        store.heads(&[id]).await.unwrap(),
        [room_head(id, seq(67), "many")]
    );
}

/// For tests of one implementation: the error is damage.
pub(crate) fn assert_corrupt<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
}
