//! What was said in a room, backwards.

use std::sync::Arc;

use shared::ids::{MemberId, MessageId, RoomId, Seq};

use super::{PageError, RoomError, Rooms};
use crate::log::{Entry, Topic};
use crate::store::View;

/// A piece of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The newest first.
    pub entries: Vec<Arc<Entry>>,
    /// Give this as `before` for the next page; `None` at the start of the log.
    pub next: Option<MessageId>,
}

impl Rooms {
    /// The `size` entries before `before`, or the newest ones.
    ///
    /// The position alone decides, so what is said meanwhile changes no later page.
    ///
    /// # Errors
    /// See [`PageError`].
    pub async fn history(
        &self,
        room: RoomId,
        member: MemberId,
        before: Option<MessageId>,
        size: u32,
    ) -> Result<HistoryPage, PageError> {
        self.access(room, member).await?;
        let topic = Topic::Room(room);
        let last = match before {
            None => self.head(room, View::Quorum).await?,
            Some(before) => {
                let before = topic.seq_of(before).ok_or(PageError::Cursor)?;
                back(before, 1)
            }
        };
        let mut entries = self.page(room, last, size, View::Quorum).await?;
        if entries.len() < expected(last, size) {
            // A replica lags, or the cursor lies past the end of the log.
            let last = last.min(self.head(room, View::Settled).await?);
            entries = self.page(room, last, size, View::Settled).await?;
        }
        entries.reverse();
        let oldest = entries.last().map(|entry| entry.seq);
        let next = oldest
            .filter(|oldest| oldest.get() > 1)
            .and_then(|oldest| topic.message_id(oldest));
        Ok(HistoryPage { entries, next })
    }

    async fn page(
        &self,
        room: RoomId,
        last: Seq,
        size: u32,
        view: View,
    ) -> Result<Vec<Arc<Entry>>, RoomError> {
        if last == Seq::ZERO || size == 0 {
            return Ok(Vec::new());
        }
        let first = back(last, size - 1).max(FIRST);
        self.read(room, first, last, view).await
    }

    async fn head(&self, room: RoomId, view: View) -> Result<Seq, RoomError> {
        let head = self.messages.head(Topic::Room(room), view).await;
        head.map_err(|error| self.unavailable("head", &error))
    }
}

/// The position of a log's first entry.
pub(super) const FIRST: Seq = match Seq::ZERO.next() {
    Some(first) => first,
    None => Seq::ZERO, // never: a log holds more than nothing
};

/// So many positions earlier, at least [`Seq::ZERO`].
pub(super) fn back(seq: Seq, by: u32) -> Seq {
    let earlier = seq.get().saturating_sub(by);
    Seq::try_from(u64::from(earlier)).expect("an earlier position is a position")
}

/// How many entries a page that ends at `last` has, as a room has no holes.
fn expected(last: Seq, size: u32) -> usize {
    last.get().min(size) as usize
}
