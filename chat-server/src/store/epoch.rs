//! Epochs of a store: they keep positions unique after a backup was restored.
//!
//! In a restored backup logs end earlier than clients have seen. Were the next entries given the
//! positions that follow, a client that resumes after its last position would silently miss them.
//! So a store has an epoch, and a log that is appended to for the
//! first time in a new one *jumps*: its next entry goes to a position so far ahead that, as far as
//! can be known, none from there on was ever given, and leaves a hole. Ids stay as they are, one
//! integer each, and history stays readable, for readers pass over holes. A mark from before the
//! restore then names a position without an entry, by which it is known (see
//! `connection::subscribe`), and if a client does not care, all new entries still come after it.
//!
//! A log jumps once an epoch, which the store notes with the target before, or together with, the
//! jump. Between the jump and the next entry the log's head is the position before the target.
//!
//! The epoch of the embedded store changes by itself when its folder turns out to be a copy, and
//! with `chat-server new-epoch`; that of a distributed store only with the command.
//!
//! It cannot tell a mark from an entry where more than [`GAP_MIN`] entries of one room came after
//! the backup was made; or, for a backup restored twice, where both epochs chose the same target,
//! one time in thirty-two. Then the mark may name an entry of the new epoch.

use shared::clock::UnixMillis;
use shared::ids::Seq;

/// Jumps end at multiples of this, where a store that keeps logs in parts begins one.
const STEP: u32 = 4_096;

/// A jump passes over at least so many positions.
pub const GAP_MIN: u32 = 32_768;

/// So many targets, by the epoch: a backup that is put back twice seldom jumps to the same.
const TARGETS: u64 = 32;

/// The first position of a log that ends at `head` in a new epoch; `None` if positions do not
/// suffice, and the log goes on where it is.
#[must_use]
pub fn jump_target(head: Seq, epoch: u64) -> Option<Seq> {
    let slot = u32::try_from(epoch % TARGETS).expect("a remainder of 32 is below 32");
    let begun = (head.get() / STEP + 1) * STEP;
    let target = begun + GAP_MIN + slot * STEP;
    // A log that has jumped must have room for what it jumped for.
    let is_roomy = target.saturating_add(STEP) < Seq::MAX.get();
    is_roomy.then(|| Seq::try_from(u64::from(target)).ok())?
}

/// The epoch after one: the time, so that a store put back twice from one backup has two.
#[must_use]
pub fn next_epoch(epoch: u64, now: UnixMillis) -> u64 {
    let now = u64::try_from(now.seconds()).expect("no time is before 1970");
    now.max(epoch.saturating_add(1))
}

/// The position before.
#[must_use]
pub fn before(seq: Seq) -> Seq {
    seq.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(seq: u32) -> Seq {
        Seq::try_from(u64::from(seq)).unwrap()
    }

    #[test]
    fn a_jump_ends_far_ahead_at_the_start_of_a_part() {
        for head in [0, 1, 4_095, 4_096, 100_000, 3_000_000] {
            for epoch in [1, 31, 32, 1_800_000_017] {
                let target = jump_target(seq(head), epoch).unwrap().get();
                assert_eq!(target % STEP, 0);
                assert!(target > head + GAP_MIN, "{head} in {epoch}");
                assert!(target <= head + GAP_MIN + 33 * STEP, "{head} in {epoch}");
            }
        }
    }

    #[test]
    fn a_log_without_room_for_a_jump_stays() {
        assert_eq!(jump_target(seq(Seq::MAX.get() - GAP_MIN), 1), None);
        assert_eq!(jump_target(Seq::MAX, 1), None);
    }

    #[test]
    fn epochs_rise_whatever_the_clock_says() {
        let at = |seconds: i64| UnixMillis::try_from(1_000 * seconds).unwrap();
        assert_eq!(next_epoch(0, at(1_800_000_000)), 1_800_000_000);
        assert_eq!(next_epoch(1_800_000_000, at(5)), 1_800_000_001);
    }
}
