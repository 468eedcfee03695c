//! What is removed of an inbox when its member closes the account. Nobody can read the inbox then.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::ids::{MemberId, Seq};

use super::{InboxError, Inboxes};
use crate::log::Topic;
use crate::store::{READ_ENTRIES_MAX, ReadConsistency};

/// Entries that are deleted at a time.
const DELETIONS_AT_ONCE: usize = 16;

impl Inboxes {
    /// Forgets the running alarms and removes the texts of the newest [`READ_ENTRIES_MAX`] entries;
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
}
