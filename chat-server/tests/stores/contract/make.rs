//! Entries and ids for tests.

use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::{Draft, Entry, Kind, Topic, Uid};
use rand::RngExt;
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};

pub(crate) fn seq(number: u64) -> Seq {
    Seq::try_from(number).unwrap()
}

pub(crate) fn member(number: u64) -> MemberId {
    MemberId::try_from(number).unwrap()
}

pub(crate) fn room(number: u64) -> RoomId {
    RoomId::try_from(number).unwrap()
}

pub(crate) fn millis(number: i64) -> UnixMillis {
    UnixMillis::try_from(number).unwrap()
}

/// An id that no other test has, also not in an earlier run against the same servers. Chance only
/// keeps tests apart here, no outcome depends on it.
pub(crate) fn fresh_room() -> RoomId {
    room(rand::rng().random_range(1..1 << 31))
}

pub(crate) fn fresh_member() -> MemberId {
    member(rand::rng().random_range(1..1 << 31))
}

pub(crate) fn fresh_topic() -> Topic {
    Topic::Room(fresh_room())
}

pub(crate) fn entry(at: Seq, uid: u128) -> Entry {
    Entry {
        seq: at,
        deleted: false,
        draft: Draft {
            uid: Uid(uid),
            kind: Kind::Chat,
            sender: Some(member(7)),
            client_message_id: Some(format!("c-{uid:x}").into()),
            headers: vec![("priority".into(), "4".into())],
            content_type: Some("text/plain".into()),
            body: Bytes::from(format!("message {uid}")),
            sent_at: millis(1_754_537_696_789),
        },
    }
}

/// `count` entries that come after `head`, with uids from `uid` on.
pub(crate) fn batch(head: Seq, count: u32, uid: u128) -> Vec<Arc<Entry>> {
    (1..=count)
        .map(|nth| {
            Arc::new(entry(
                seq(u64::from(head.get() + nth)),
                uid + u128::from(nth) - 1,
            ))
        })
        .collect()
}
