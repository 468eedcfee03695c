//! Readers of a ring: its followers, and what goes once all of them have read it.
//!
//! An entry counts the followers that have not passed it. Once all have, its encoded forms go, and of
//! such entries only a few stay, for those who reconnect: memory follows the readers, not the log.

use shared::ids::Seq;

use super::{RING_ENTRIES_MAX, Ring};

/// Entries retained for each follower when none is behind: enough for a client that reconnects.
pub(super) const KEPT_PER_FOLLOWER: usize = 4;

/// The same at least: a room of two keeps what the two have said in the last seconds.
pub(super) const KEPT_MIN: usize = 8;

impl Ring {
    /// A follower joins at the head, which is returned.
    pub(in crate::hub) fn join(&mut self) -> Seq {
        self.followers += 1;
        self.head.unwrap_or(Seq::ZERO)
    }

    /// The follower at this position leaves.
    pub(in crate::hub) fn leave(&mut self, position: Seq) {
        self.followers = self.followers.saturating_sub(1);
        let head = self.head.unwrap_or(position);
        self.note_moved(position, head.max(position));
    }

    /// A follower has passed the entries between two positions, or has gone back over them.
    pub(in crate::hub) fn note_moved(&mut self, from: Seq, to: Seq) {
        let (first, last) = (self.place_after(from.min(to)), from.max(to));
        let between = self.kept.range_mut(first..);
        for kept in between.take_while(|kept| kept.seq <= last) {
            if from > to {
                kept.unread = kept.unread.saturating_add(1);
                continue;
            }
            kept.unread = kept.unread.saturating_sub(1);
            if kept.unread == 0 {
                kept.encoded.clear();
            }
        }
        if from < to {
            self.drop_read();
        }
    }

    /// Drops the oldest entries that all have passed, but for a few.
    fn drop_read(&mut self) {
        let few = KEPT_PER_FOLLOWER.saturating_mul(self.followers as usize);
        let few = few.clamp(KEPT_MIN, RING_ENTRIES_MAX);
        while self.kept.len() > few && self.kept.front().is_some_and(|kept| kept.unread == 0) {
            self.drop_oldest();
        }
        if self.kept.capacity() > 4 * self.kept.len().max(KEPT_MIN) {
            self.kept.shrink_to(2 * self.kept.len());
        }
    }
}
