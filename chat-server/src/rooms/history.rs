//! The history of a room: pages of its messages, backwards.

use std::sync::Arc;

use shared::ids::{MessageId, RoomId, Seq};

use super::log::RoomLog;
use super::{PageError, RoomError};
use crate::log::{Entry, Topic};
use crate::store::ReadConsistency;

/// A piece of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The newest first.
    pub entries: Vec<Arc<Entry>>,
    /// Give this as `before` for the next page; `None` at the start of the log.
    pub next: Option<MessageId>,
}

/// Holes that one page is read over; behind them the next page goes on.
const HOLES_MAX: usize = 64;

/// What was read of a log.
#[derive(Default)]
struct Piece {
    /// The oldest first.
    entries: Vec<Arc<Entry>>,
    /// Nothing from here on is left to read.
    first: Seq,
}

impl RoomLog {
    /// The `size` entries before `before`, or the newest ones.
    ///
    /// The position alone decides, so messages sent meanwhile change no later page.
    ///
    /// # Errors
    /// See [`PageError`].
    pub(super) async fn history(
        &self,
        room: RoomId,
        before: Option<MessageId>,
        size: u32,
    ) -> Result<HistoryPage, PageError> {
        let topic = Topic::Room(room);
        let last = match before {
            None => self.head(room, ReadConsistency::Quorum).await?,
            Some(before) => {
                let before = topic.seq_of(before).ok_or(PageError::Cursor)?;
                before.saturating_sub(1)
            }
        };
        let mut page = self.page(room, last, size, ReadConsistency::Quorum).await?;
        if page.entries.len() < expected(last, size) {
            // A replica lags, the cursor lies past the end of the log, or there are holes.
            let last = last.min(self.head(room, ReadConsistency::Serial).await?);
            page = self.page(room, last, size, ReadConsistency::Serial).await?;
            self.read_back_over_holes(room, size, &mut page).await?;
        }
        let next = (page.first > Seq::FIRST)
            .then(|| topic.message_id(page.first))
            .flatten();
        page.entries.reverse();
        Ok(HistoryPage {
            entries: page.entries,
            next,
        })
    }

    /// Goes further back until the page is full, for as many holes as one request may cost.
    async fn read_back_over_holes(
        &self,
        room: RoomId,
        size: u32,
        page: &mut Piece,
    ) -> Result<(), RoomError> {
        for _ in 0..HOLES_MAX {
            let missing = size.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(size));
            if missing == 0 || page.first <= Seq::FIRST {
                return Ok(());
            }
            let nearest =
                self.messages
                    .nearest(Topic::Room(room), page.first.saturating_sub(1), Seq::FIRST);
            let nearest = nearest
                .await
                .map_err(|error| self.unavailable("read", &error))?;
            let Some(last) = nearest else {
                page.first = Seq::FIRST;
                return Ok(());
            };
            let mut earlier = self
                .page(room, last, missing, ReadConsistency::Serial)
                .await?;
            earlier.entries.append(&mut page.entries);
            *page = earlier;
        }
        Ok(())
    }

    /// The positions of one page that ends at `last`.
    async fn page(
        &self,
        room: RoomId,
        last: Seq,
        size: u32,
        view: ReadConsistency,
    ) -> Result<Piece, RoomError> {
        if last == Seq::ZERO || size == 0 {
            return Ok(Piece::default());
        }
        let first = last.saturating_sub(size - 1).max(Seq::FIRST);
        let entries = self.read(room, first, last, view).await?;
        Ok(Piece { entries, first })
    }
}

/// How many entries a page that ends at `last` has in a room without holes.
fn expected(last: Seq, size: u32) -> usize {
    last.get().min(size) as usize
}
