//! Store: the source of truth for logs, rooms, read marks and members, behind four traits.
//!
//! [`MessageStore`] has the logs; its central operation is compare-and-append. [`RoomStore`] has
//! the rooms, their members and read marks, [`MemberStore`] the account status of members,
//! [`RecordStore`] small records of members by key. Each has an embedded and a distributed implementation; the contract tests run against both.

mod appends;
pub mod embedded;
pub mod epoch;
#[cfg(test)]
#[path = "../../tests/support/faulty_store.rs"]
pub(crate) mod faulty;
mod holes;
mod member;
mod record;
pub mod room;
pub mod scylla;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};

use crate::log::{Entry, Topic};
use crate::metrics::Metrics;
pub use appends::{AppendOutcomes, CompletedAppend, TopicAppend};
pub use member::{
    AccountStatus, NewRecord, RECORD_BYTES_MAX, RECORD_KEY_BYTES_MAX, RECORD_RANKS, RECORDS_MAX,
    Record,
};
pub use room::{ItemType, Membership, Product, Role, Room, RoomHead, RoomMember};

/// Entries that one [`MessageStore::append`] takes at most.
pub const APPEND_ENTRIES_MAX: usize = 64;

/// Bytes of bodies that one append takes; a single larger entry may still go alone.
pub const APPEND_BYTES_MAX: usize = 1 << 20;

/// Entries that one [`MessageStore::read`] returns at most.
pub const READ_ENTRIES_MAX: u32 = 512;

/// A failed request to the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written. A retry later may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A write may have happened or may happen yet.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Stored data cannot be decoded: damage, or written by a newer version. An operator must act.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Counts a failed request and logs its reason; damage as an error, as an operator must act.
    pub fn note(&self, operation: &'static str, metrics: &Metrics) {
        let errors = &metrics.store_errors;
        errors.with_label_values(&[operation]).inc();
        match self {
            Self::Corrupt(_) => tracing::error!(operation, "{operation}: {self}"),
            Self::Unavailable(_) | Self::Unknown(_) => {
                tracing::warn!(operation, "{operation}: {self}");
            }
        }
    }
}

/// The outcome of a compare-and-append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// All entries are stored, for good.
    Applied,
    /// The topic's head is this and not the expected one; nothing was written.
    Conflict(Seq),
}

/// Consistency of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadConsistency {
    /// From a quorum of replicas; an append that is being settled may be missing.
    Quorum,
    /// The same, after every append under way was settled. Slower; for missing entries.
    Serial,
}

/// The logs.
///
/// Contract:
/// * A topic's head is the position of its newest entry, [`Seq::ZERO`] while there is none; after
///   a jump the position before its target, until an entry comes.
/// * `append` stores all entries or none, and only if the head is `head`. Their positions are
///   `head + 1`, `head + 2`, …; the store does not check that again. Of several appends at the same
///   head exactly one is applied. After [`StoreError::Unknown`] the entries may be stored or may
///   yet be; a retry with the same `head` finds out: applied, or a head that moved.
/// * An applied append survives the end of the process, is never changed, and is seen by every read
///   that starts later, at the positions given.
/// * `read` returns the entries of `first..=last`, rising, at most [`READ_ENTRIES_MAX`] from
///   `first` on. Positions of an inbox whose entries expired are missing. Of a room, a
///   [`ReadConsistency::Quorum`] read may end before an append that is being settled; a position up
///   to the head that a [`ReadConsistency::Serial`] read does not give is a hole: the entry is lost
///   or cannot be read. Readers pass over holes, however long; the store logs and counts each once.
///   A read fails only if none of its entries can be read.
/// * `nearest` finds the next entry beyond a hole, in a few requests to the store.
/// * `delete` marks an entry; reads then return it with an empty body. Without an entry it does
///   nothing. It is idempotent.
/// * Each call has a time-out of its own.
/// * An append reaches no further than `append_end` of its head. One that does is
///   [`StoreError::Unavailable`].
#[async_trait]
pub trait MessageStore: Send + Sync + fmt::Debug {
    /// The last position that one append after `head` may have: a store may divide a log into parts
    /// and write to one of them at a time. At least one entry always fits, up to [`Seq::MAX`].
    fn append_end(&self, _head: Seq) -> Seq {
        Seq::MAX
    }

    /// Appends the entries if the topic's head is `head`.
    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError>;

    /// Appends to many logs, each as by [`append`](Self::append), and gives the outcomes to `outcomes`: once
    /// for each append, within the store's time-out, in no order, many in one call where that is cheaper.
    /// Those that are refused at once may be given before this returns.
    fn append_many(self: Arc<Self>, appends: Vec<TopicAppend>, outcomes: Arc<dyn AppendOutcomes>);

    /// Moves the log into the store's epoch (see [`epoch`]) if it is not there, and gives its head.
    /// An appender calls this first, once.
    async fn enter(&self, topic: Topic) -> Result<Seq, StoreError> {
        self.head(topic, ReadConsistency::Quorum).await
    }

    /// The first position of each epoch that the log has jumped into, rising.
    async fn jumps(&self, _topic: Topic) -> Result<Vec<Seq>, StoreError> {
        Ok(Vec::new())
    }

    /// The position of the newest entry.
    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError>;

    /// The entries at `first..=last`.
    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError>;

    /// The first position with an entry from `from` on towards `to`, which may be the smaller one;
    /// with [`ReadConsistency::Serial`].
    async fn nearest(&self, topic: Topic, from: Seq, to: Seq) -> Result<Option<Seq>, StoreError> {
        const STEP: u32 = READ_ENTRIES_MAX - 1;
        let mut at = from;
        loop {
            let is_forward = at <= to;
            let next = if is_forward {
                at.saturating_add(STEP).min(to)
            } else {
                at.saturating_sub(STEP).max(to)
            };
            let (first, last) = (at.min(next), at.max(next));
            let found = self
                .read(topic, first, last, ReadConsistency::Serial)
                .await?;
            let found = if is_forward {
                found.first()
            } else {
                found.last()
            };
            if found.is_some() || next == to {
                return Ok(found.map(|entry| entry.seq));
            }
            at = if is_forward {
                next.saturating_add(1)
            } else {
                next.saturating_sub(1)
            };
        }
    }

    /// Marks the entry at `seq` as deleted.
    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError>;
}

/// The rooms, their members and read marks.
///
/// Contract:
/// * `put_room` creates the room or replaces it whole; its members' [`Membership`]s follow: those
///   of former members are hidden, those of members are there, read marks stay.
/// * `mark_read` moves a mark forward only: the greatest position wins whatever the order of calls.
/// * `memberships` returns the rooms that are not hidden, in no order.
/// * `heads` returns the newest message of those of the rooms that have one, for lists. If
///   `heads_follow_logs`, it reads it from the logs. Otherwise it returns what `note_head` has stored, which
///   is a hint: it may be lost, and of two the greater position wins.
#[async_trait]
pub trait RoomStore: Send + Sync + fmt::Debug {
    /// The room, if there is one.
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError>;

    /// Creates or replaces a room.
    async fn put_room(&self, room: &Room) -> Result<(), StoreError>;

    /// The rooms a member is in.
    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError>;

    /// A member's read mark in a room; [`Seq::ZERO`] without one.
    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError>;

    /// Moves a member's read mark forward to `seq`.
    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError>;

    /// Whether `heads` reads the logs; `note_head` does nothing then.
    fn heads_follow_logs(&self) -> bool {
        false
    }

    /// The newest message of each of these rooms.
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError>;

    /// Stores a room's newest message.
    async fn note_head(&self, head: RoomHead) -> Result<(), StoreError>;
}

/// The account status of members.
///
/// Contract:
/// * A member without a stored status is [`AccountStatus::Good`].
/// * Of two statuses set for a member the one with the later `at` wins, whatever the order of
///   calls; of the same `at`, either.
#[async_trait]
pub trait MemberStore: Send + Sync + fmt::Debug {
    /// Whether the member may use the site.
    async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError>;

    /// Sets whether the member may use the site from `at` on.
    async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError>;
}

/// Small records of members by key: what a feature stores per member without an index or an order.
///
/// Contract:
/// * Of two writes of a key the one with the greater stamp wins, whatever the order of calls; of the
///   same stamp, the one with the greater rank; of the same rank, either. This also holds for removals,
///   for ten days.
/// * `records` returns those whose key starts with the prefix, in the order of the keys, at most
///   [`RECORDS_MAX`].
/// * A record with a time to live is gone when that has passed on the store's own clock.
#[async_trait]
pub trait RecordStore: Send + Sync + fmt::Debug {
    /// The record of this key, if there is one.
    async fn record(&self, member: MemberId, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// The records whose key starts with `prefix`.
    async fn records(&self, member: MemberId, prefix: &str) -> Result<Vec<Record>, StoreError>;

    /// Writes or removes a record.
    async fn put_record(&self, member: MemberId, record: NewRecord) -> Result<(), StoreError>;
}

/// How often writes reach the disk itself.
///
/// In every mode a write reaches the operating system before it is answered, so it survives
/// `kill -9`. Against power loss it must also be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before it is answered; concurrent writes share one sync.
    Always,
    /// This often, so a power loss takes at most the writes since the last sync.
    Every(Duration),
}
