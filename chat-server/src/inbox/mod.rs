//! Inboxes: the notifications and alarms of each member, in a log of their own.
//!
//! `events` appends to them, a subscription reads them like any other log. This module has the rest:
//! pages backwards, the read mark, deletion, and the alarms that are still running.
//!
//! | file | contents |
//! |---|---|
//! | `notice` | what a notification and an alarm consist of |
//! | `list` | pages and unread counts |
//! | `alarms` | starts of booked time whose end has not come |
//!
//! What this module does not do: choose the recipients of events.

mod alarms;
mod list;
mod notice;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::ids::{MemberId, MessageId, Seq};

use crate::append::{AppendError, Appender, Placed};
use crate::hub::Hub;
use crate::log::{Draft, Entry, Kind, Topic};
use crate::metrics::Metrics;
use crate::store::{
    MessageStore, NewRecord, READ_ENTRIES_MAX, ReadConsistency, RecordStore, StoreError,
};

pub use alarms::RunningAlarm;
pub use list::{LIST_MAX, ListedNotice, UNREAD_MAX};
pub use notice::{Alarm, AlarmState, Notice};

/// Key of the record with the position up to which a member has read.
const READ_MARK: &str = "inbox-read";

/// Entries of a closed account's inbox that are deleted at a time.
const DELETIONS_AT_ONCE: usize = 16;

/// Why a request about an inbox is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// There is no such notification, or no longer.
    #[error("there is no notification {0}")]
    Unknown(MessageId),
    /// It is in another member's inbox.
    #[error("notification {0} is another member's")]
    NotYours(MessageId),
    /// The store does not answer now. A retry later may succeed.
    #[error("inboxes cannot be read now")]
    Unavailable,
}

/// Dependencies of [`Inboxes`].
pub struct InboxesParts {
    /// The logs.
    pub messages: Arc<dyn MessageStore>,
    /// Read marks, running alarms.
    pub records: Arc<dyn RecordStore>,
    /// Stores entries.
    pub appender: Arc<Appender>,
    /// Live subscriptions.
    pub hub: Hub,
    /// Counts failed requests to the store.
    pub metrics: Arc<Metrics>,
}

/// The inboxes of all members.
pub struct Inboxes {
    parts: InboxesParts,
}

impl Inboxes {
    /// Inboxes of these stores.
    #[must_use]
    pub fn new(parts: InboxesParts) -> Self {
        Self { parts }
    }

    /// Appends entries, all or none; what became of each. A draft whose client message id is in the
    /// log already is not appended again, whatever its body.
    ///
    /// # Errors
    /// See [`AppendError`]; never [`AppendError::NameTaken`].
    pub async fn append(
        &self,
        member: MemberId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Placed>, AppendError> {
        let topic = Topic::Inbox(member);
        match self.parts.appender.send(topic, drafts.clone()).await {
            Err(AppendError::NameTaken) => {}
            outcome => return outcome,
        }
        // A repetition whose text was rendered anew, in another language. One after the other, so
        // that the rest keeps its order.
        let mut placed = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match self.parts.appender.send(topic, vec![draft]).await {
                Ok(one) => placed.extend(one),
                Err(AppendError::NameTaken) => placed.push(Placed {
                    seq: Seq::ZERO,
                    is_new: false,
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(placed)
    }

    /// The member has read all notifications up to this one. The mark only goes forward.
    ///
    /// # Errors
    /// See [`InboxError`].
    pub async fn mark_read(&self, member: MemberId, id: MessageId) -> Result<(), InboxError> {
        // A mark past the head would hide notifications that are yet to come.
        self.entry(member, id).await?;
        let seq = id.seq();
        let mark = NewRecord {
            key: READ_MARK.into(),
            value: Bytes::copy_from_slice(&seq.get().to_be_bytes()),
            stamp: seq.get().into(),
            rank: 0,
            time_to_live: None,
        };
        let put = self.parts.records.put_record(member, mark).await;
        put.map_err(|error| self.unavailable("put_record", &error))
    }

    /// Deletes a notification: its text is removed, its position stays. A repetition fails like a
    /// deletion of an unknown one.
    ///
    /// # Errors
    /// See [`InboxError`].
    pub async fn delete(&self, member: MemberId, id: MessageId) -> Result<(), InboxError> {
        let entry = self.entry(member, id).await?;
        if entry.deleted || entry.draft.kind != Kind::Notice {
            return Err(InboxError::Unknown(id));
        }
        let (topic, seq) = (Topic::Inbox(member), id.seq());
        let deleted = self.parts.messages.delete(topic, seq).await;
        deleted.map_err(|error| self.unavailable("delete", &error))?;
        self.parts.hub.forget_body(topic, seq);
        Ok(())
    }

    /// The member closed the account: forgets the running alarms and removes the texts of the newest [`READ_ENTRIES_MAX`] entries;
    /// older ones expire like those of every inbox. Idempotent.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`]: some may be removed. Again is harmless.
    pub async fn erase(&self, member: MemberId) -> Result<(), InboxError> {
        self.forget_running(member).await?;
        let (topic, store) = (Topic::Inbox(member), &self.parts.messages);
        let head = store.head(topic, ReadConsistency::Quorum).await;
        let head = head.map_err(|error| self.unavailable("head", &error))?;
        if head == Seq::ZERO {
            return Ok(());
        }
        let first = head.saturating_sub(READ_ENTRIES_MAX - 1).max(Seq::FIRST);
        let read = store.read(topic, first, head, ReadConsistency::Quorum);
        let entries = read
            .await
            .map_err(|error| self.unavailable("read", &error))?;
        let left = entries.into_iter().filter(|entry| !entry.deleted);
        stream::iter(left.map(|entry| entry.seq))
            .map(async |seq| {
                let deleted = store.delete(topic, seq).await;
                deleted.map_err(|error| self.unavailable("delete", &error))?;
                self.parts.hub.forget_body(topic, seq);
                Ok(())
            })
            .buffer_unordered(DELETIONS_AT_ONCE)
            .try_collect()
            .await
    }

    /// How far the member has read; [`Seq::ZERO`] if not at all.
    async fn read_mark(&self, member: MemberId) -> Result<Seq, InboxError> {
        let mark = self.parts.records.record(member, READ_MARK).await;
        let mark = mark.map_err(|error| self.unavailable("record", &error))?;
        let Some(bytes) = mark else {
            return Ok(Seq::ZERO);
        };
        let seq = <[u8; 4]>::try_from(&bytes[..]).map(u32::from_be_bytes);
        let seq = seq.ok().and_then(|seq| Seq::try_from(u64::from(seq)).ok());
        seq.ok_or_else(|| {
            let damaged = StoreError::Corrupt(format!("read mark of inbox {member}"));
            self.unavailable("record", &damaged)
        })
    }

    /// The entry of this id in the member's own inbox.
    async fn entry(&self, member: MemberId, id: MessageId) -> Result<Arc<Entry>, InboxError> {
        let topic = Topic::Inbox(member);
        let seq = topic.seq_of(id).ok_or(InboxError::NotYours(id))?;
        for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
            let read = self.parts.messages.read(topic, seq, seq, view).await;
            let read = read.map_err(|error| self.unavailable("read", &error))?;
            if let Some(entry) = read.into_iter().next() {
                return Ok(entry);
            }
        }
        Err(InboxError::Unknown(id))
    }

    /// What the caller gets: the cause is in our log.
    fn unavailable(&self, operation: &'static str, error: &StoreError) -> InboxError {
        error.note(operation, &self.parts.metrics);
        InboxError::Unavailable
    }
}

impl fmt::Debug for Inboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inboxes").finish_non_exhaustive()
    }
}

impl fmt::Debug for InboxesParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxesParts").finish_non_exhaustive()
    }
}
