//! The end of a room's log, as the list shows it to a member.

use std::sync::Arc;

use shared::ids::{MemberId, RoomId, Seq};

use super::RoomError;
use super::log::{RoomLog, Span};
use crate::log::{Entry, Topic};
use crate::store::{ReadConsistency, RoomHead};

/// What unread messages are counted up to; this many means "at least".
pub const UNREAD_MAX: u32 = 100;

/// Entries read at once for a row. Most rows need one entry, the others hardly more than this.
const TAIL_ENTRIES: u32 = 128;

/// Reads for one row. Beyond 512 entries without 100 that count nearly all were taken back.
const TAIL_READS_MAX: u32 = 4;

/// The end of a log as a member sees it: newest entry and unread count.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) newest: Option<Arc<Entry>>,
    pub(super) unread: u32,
    /// The log goes on after the record.
    pub(super) newer: bool,
}

impl RoomLog {
    /// The newest message of a room whose record ends at `noted`, if its log does not. The record is
    /// mended.
    pub(super) async fn newest_after(
        &self,
        room: RoomId,
        noted: Seq,
    ) -> Result<Option<RoomHead>, RoomError> {
        let Some(first) = noted.next() else {
            return Ok(None);
        };
        let last = first.saturating_add(TAIL_ENTRIES - 1);
        let entries = self
            .read(room, first, last, ReadConsistency::Quorum)
            .await?;
        let newest = match entries.last() {
            Some(newest) => Some(Arc::clone(newest)),
            None => self.behind_jump(room, noted).await?,
        };
        let Some(mut newest) = newest else {
            return Ok(None);
        };
        if newest.seq == last {
            // The record is far behind; the end of the log has to be read from the store.
            let head = self.head(room, ReadConsistency::Quorum).await?;
            newest = self.entry(room, head).await?.unwrap_or(newest);
        }
        self.metrics.room_heads_behind.inc();
        self.heads.note(Topic::Room(room), &newest);
        Ok(Some(RoomHead::of(room, &newest)))
    }

    /// The newest entry of a log that has jumped since `noted`.
    async fn behind_jump(&self, room: RoomId, noted: Seq) -> Result<Option<Arc<Entry>>, RoomError> {
        let jumps = self.messages.jumps(Topic::Room(room)).await;
        let jumps = jumps.map_err(|error| self.unavailable("jumps", &error))?;
        if !jumps.iter().any(|to| *to > noted) {
            return Ok(None);
        }
        let head = self.head(room, ReadConsistency::Quorum).await?;
        // `None` where nothing came after the jump yet.
        self.entry(room, head).await
    }

    /// The newest entry, and how many the member has not read: backwards from there to the mark or
    /// to the member's own newest message, since a writer has read what came before.
    pub(super) async fn tail(
        &self,
        member: MemberId,
        head: &RoomHead,
        mark: Seq,
    ) -> Result<Tail, RoomError> {
        let jumped = self.behind_jump(head.room, head.seq).await?;
        let mut tail = Tail {
            newer: jumped.is_some(),
            ..Tail::default()
        };
        let mut last = head.seq;
        for _ in 0..TAIL_READS_MAX {
            let after_mark = mark.saturating_add(1).min(last);
            let first = last
                .saturating_sub(TAIL_ENTRIES - 1)
                .max(Seq::FIRST)
                .max(after_mark);
            // One further than was noted: there is nothing, or the record is behind.
            let further = if last == head.seq {
                last.saturating_add(1)
            } else {
                last
            };
            let span = Span {
                first,
                last,
                further,
            };
            let mut entries = self.read_span(head.room, span).await?;
            tail.newer |= entries.pop_if(|entry| entry.seq > last).is_some();
            for entry in entries.iter().rev() {
                if tail.newest.is_none() {
                    tail.newest = Some(Arc::clone(entry));
                }
                let is_read = entry.seq <= mark || entry.draft.sender == Some(member);
                if is_read || tail.unread == UNREAD_MAX {
                    return Ok(tail);
                }
                tail.unread += u32::from(!entry.deleted);
            }
            last = first.saturating_sub(1);
            if last <= mark {
                break;
            }
            if entries.is_empty() {
                // A hole, maybe a long one: a log that was put back from a backup jumps.
                let topic = Topic::Room(head.room);
                let earlier = self.messages.nearest(topic, last, Seq::FIRST).await;
                let earlier = earlier.map_err(|error| self.unavailable("read", &error))?;
                match earlier.filter(|earlier| *earlier > mark) {
                    Some(earlier) => last = earlier,
                    None => break,
                }
            }
        }
        Ok(tail)
    }
}
