//! Pages of an inbox, the newest notification first, and the number of unread ones.

use std::sync::Arc;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, MessageId, Seq};

use super::notice::Notice;
use super::{InboxError, Inboxes};
use crate::log::{Entry, Kind, Topic};
use crate::store::{ReadConsistency, StoreError};

/// Notifications of one page at most.
pub const LIST_MAX: usize = 100;

/// Unread notifications are counted up to this number.
pub const UNREAD_MAX: usize = 100;

/// Positions of one read.
const READ_LEN: u32 = 256;

/// Reads that one request may cost: past that many alarms and deleted notifications a page is short.
const READS_MAX: usize = 32;

/// A notification on a page.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedNotice {
    /// Its id.
    pub id: MessageId,
    /// Its content.
    pub notice: Notice,
    /// When it was stored.
    pub at: UnixMillis,
    /// Whether the member has read it.
    pub is_read: bool,
}

impl Inboxes {
    /// At most `size` notifications before `before`, or the newest ones; the newest first.
    ///
    /// # Errors
    /// [`InboxError::NotYours`]: `before` is of another inbox. [`InboxError::Unavailable`].
    pub async fn list(
        &self,
        member: MemberId,
        before: Option<MessageId>,
        size: usize,
    ) -> Result<Vec<ListedNotice>, InboxError> {
        let topic = Topic::Inbox(member);
        let before = match before {
            None => None,
            Some(id) => Some(topic.seq_of(id).ok_or(InboxError::NotYours(id))?),
        };
        let mark = self.read_mark(member).await?;
        let size = size.min(LIST_MAX);
        let entries = self.newest(member, before, Seq::ZERO, size).await?;
        let listed = entries.iter().filter_map(|entry| {
            Some(ListedNotice {
                id: topic.message_id(entry.seq)?,
                // A body of a later release that does not have this form is not listed.
                notice: serde_json::from_slice(&entry.draft.body).ok()?,
                at: entry.draft.sent_at,
                is_read: entry.seq <= mark,
            })
        });
        Ok(listed.collect())
    }

    /// How many notifications the member has not read, at most [`UNREAD_MAX`].
    ///
    /// # Errors
    /// [`InboxError::Unavailable`].
    pub async fn unread(&self, member: MemberId) -> Result<usize, InboxError> {
        let mark = self.read_mark(member).await?;
        let unread = self.newest(member, None, mark, UNREAD_MAX).await?;
        Ok(unread.len())
    }

    /// The newest `size` notifications between `after` and `before`, both excluded.
    async fn newest(
        &self,
        member: MemberId,
        before: Option<Seq>,
        after: Seq,
        size: usize,
    ) -> Result<Vec<Arc<Entry>>, InboxError> {
        let (topic, store) = (Topic::Inbox(member), &self.parts.messages);
        let failed = |error: StoreError| self.unavailable("read", &error);
        let head = store.head(topic, ReadConsistency::Quorum).await;
        let head = head.map_err(failed)?;
        let mut last = before.map_or(head, |before| before.saturating_sub(1).min(head));
        let mut found = Vec::new();
        for _ in 0..READS_MAX {
            if last <= after || found.len() >= size {
                break;
            }
            let first = last.saturating_sub(READ_LEN - 1);
            let first = first.max(after.saturating_add(1)).max(Seq::FIRST);
            let read = store.read(topic, first, last, ReadConsistency::Quorum);
            let entries = read.await.map_err(failed)?;
            last = if entries.is_empty() {
                // Expired, or passed over by a jump.
                let nearest = store.nearest(topic, first, Seq::FIRST).await;
                nearest.map_err(failed)?.unwrap_or(Seq::ZERO)
            } else {
                first.saturating_sub(1)
            };
            let visible = entries.into_iter().rev();
            found
                .extend(visible.filter(|entry| !entry.deleted && entry.draft.kind == Kind::Notice));
        }
        found.truncate(size);
        Ok(found)
    }
}
