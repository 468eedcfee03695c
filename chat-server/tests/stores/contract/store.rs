//! The contract of `MessageStore`, `RoomStore`, `MemberStore` and `RecordStore`: the list of its tests, and what they share.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_server::log::{Entry, Topic};
use chat_server::store::{
    Append, MemberStore, MessageStore, ReadConsistency, RecordStore, RoomStore, StoreError,
};
use shared::ids::Seq;

use super::make::{batch, seq};

/// All parts of a store.
pub(crate) trait Store: MessageStore + RoomStore + MemberStore + RecordStore {}

impl<S: MessageStore + RoomStore + MemberStore + RecordStore> Store for S {}

/// An open store, and what must outlive it: a folder, a server.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) _kept: Box<dyn std::any::Any + Send>,
}

/// Runs every test of the five parts against what `$open` opens.
#[macro_export]
macro_rules! store_contract {
    ($open:path) => {
        $crate::store_contract! { @ $open, appends:
            empty_topic_has_head_zero,
            append_moves_the_head_to_its_last_entry,
            append_is_applied_only_at_the_head,
            conflict_writes_nothing,
            append_of_nothing_compares_and_writes_nothing,
            append_of_the_least_always_fits,
            append_takes_the_most_entries_allowed,
            append_takes_one_entry_above_the_byte_limit,
            of_several_appends_at_the_same_head_one_is_applied,
            crowded_topic_stays_dense,
            many_topics_grow_at_once,
            repeated_append_finds_out_that_it_was_applied,
            batch_is_seen_whole_or_not_at_all,
        }
        $crate::store_contract! { @ $open, reads:
            applied_entries_are_read_as_they_were_written,
            read_gives_what_lies_between_its_borders,
            read_is_limited_from_its_first_position,
            nearest_entry_is_found_in_both_directions,
            inbox_and_room_of_one_number_are_apart,
            neighbouring_topics_do_not_mix,
            topic_ends_at_the_last_position,
            deleted_entry_keeps_its_position_and_loses_its_body,
            delete_twice_is_the_same_as_once,
            delete_of_a_missing_entry_makes_none,
            delete_races_with_appends_and_both_hold,
        }
        $crate::store_contract! { @ $open, room_store:
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
        $crate::store_contract! { @ $open, member_store:
            unknown_member_has_a_good_account_status,
            account_status_is_what_was_set_last,
            later_decision_wins_in_any_order,
            decisions_at_once_leave_the_latest,
            account_statuses_of_members_do_not_mix,
        }
        $crate::store_contract! { @ $open, record_store:
            record_is_what_was_put,
            record_of_the_greatest_stamp_wins_in_any_order,
            record_of_the_greatest_rank_wins_among_those_of_one_stamp,
            records_of_a_prefix_are_listed_by_key,
            record_expires,
        }
    };
    (@ $open:path, $part:ident: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let subject = $open().await;
                $crate::contract::$part::$name(Arc::clone(&subject.store)).await;
            }
        )+
    };
}

pub(crate) const QUORUM: ReadConsistency = ReadConsistency::Quorum;

pub(crate) async fn append(
    store: &dyn Store,
    topic: Topic,
    head: Seq,
    count: u32,
    uid: u128,
) -> Append {
    store
        .append(topic, head, batch(head, count, uid))
        .await
        .unwrap()
}

pub(crate) async fn read_all(store: &dyn Store, topic: Topic) -> Vec<Arc<Entry>> {
    let head = store.head(topic, ReadConsistency::Serial).await.unwrap();
    let mut entries = Vec::new();
    let mut next = seq(1);
    while next <= head {
        let page = store
            .read(topic, next, head, ReadConsistency::Serial)
            .await
            .unwrap();
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

pub(crate) fn seqs(entries: &[Arc<Entry>]) -> Vec<u32> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}

pub(crate) fn uids(entries: &[Arc<Entry>]) -> Vec<u128> {
    entries.iter().map(|entry| entry.draft.uid.0).collect()
}

/// Positions are 1, 2, 3, …, and no uid is there twice.
pub(crate) fn assert_dense(entries: &[Arc<Entry>]) {
    let expected: Vec<u32> = (1..).take(entries.len()).collect();
    assert_eq!(seqs(entries), expected);
    let distinct: BTreeSet<u128> = uids(entries).into_iter().collect();
    assert_eq!(distinct.len(), entries.len(), "an entry is there twice");
}

/// For tests of one implementation: the error is damage.
pub(crate) fn assert_corrupt<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
}
