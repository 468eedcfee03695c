//! Turns of the nodes in writing to one log, while they hinder each other.
//!
//! On a slow store conditional writes of several nodes to one log preempt each other until all of them
//! time out; alone, each takes a fraction of that time. So after a slow attempt a node takes the log's
//! turn on the bus before each append, for a while, and reads what was written before its turn. The
//! store alone decides what is written: a turn is a hint, and without the bus, or after a bounded wait, a
//! node appends without one. A fast store repeats a lost attempt at less than the cost of turns.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use shared::ids::Seq;
use tokio::time::{sleep, timeout};

use super::{AppenderParts, SEND_DEADLINE};
use crate::log::Topic;

/// An attempt that takes longer is slow: it has nearly timed out. A store that is merely busy answers
/// sooner, and turns would cost it throughput (a third, measured with two nodes).
const SLOW: Duration = Duration::from_secs(1);

/// For how long nodes take turns after a slow attempt, or after another node had the turn.
const TURNS_FOR: Duration = Duration::from_secs(10);

/// The turn of a node that has died ends by itself: after two requests to the store.
const TURN_MAX: Duration = Duration::from_secs(3);

/// The wait for a turn leaves time for an attempt.
const WAIT_MAX: Duration = SEND_DEADLINE.saturating_sub(Duration::from_millis(1_500));

/// For the position that other nodes noted; without it the append finds out.
const NOTED_MAX: Duration = Duration::from_millis(250);

/// Between two requests for a turn, and before the first if the turn is contended: the node that had
/// it last must not always be the first.
const PAUSE_MS: RangeInclusive<u64> = 5..=30;

/// That nodes take turns in writing to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    until: Instant,
    /// Another node had the turn when this one wanted it.
    is_contended: bool,
}

impl Turns {
    /// The turns after an attempt that took so long, whatever its outcome: also the node that was first has
    /// to wait for the others from then on. A node without others takes none.
    pub(super) fn after_attempt(
        parts: &AppenderParts,
        turns: Option<Self>,
        took: Duration,
        now: Instant,
    ) -> Option<Self> {
        if parts.bus.is_shared() {
            Self::after(turns, took, now)
        } else {
            None
        }
    }

    fn after(turns: Option<Self>, took: Duration, now: Instant) -> Option<Self> {
        if took < SLOW {
            return turns;
        }
        Some(Self {
            until: now.checked_add(TURNS_FOR).unwrap_or(now),
            is_contended: turns.is_some_and(|turns| turns.is_contended),
        })
    }

    /// Whether the nodes still take turns.
    pub(super) fn are_taken(self, now: Instant) -> bool {
        now < self.until
    }

    /// Waits for the turn, for a bounded time.
    pub(super) async fn wait(self, parts: &AppenderParts, topic: Topic) -> Self {
        let began = parts.clock.now();
        let mut pause = self.is_contended;
        let mut turns = Self {
            is_contended: false,
            ..self
        };
        while parts.clock.now().saturating_duration_since(began) < WAIT_MAX {
            if pause {
                sleep(Duration::from_millis(rand::random_range(PAUSE_MS))).await;
            }
            if parts.bus.take_turn(topic, TURN_MAX).await {
                break;
            }
            pause = true;
            turns = Self {
                until: began.checked_add(TURNS_FOR).unwrap_or(began),
                is_contended: true,
            };
        }
        turns
    }
}

/// The position up to which a room's log has grown, or was to grow, as far as nodes have noted.
pub(super) async fn noted_head(parts: &AppenderParts, topic: Topic) -> Option<Seq> {
    let Topic::Room(_) = topic else {
        return None; // entries of an inbox may be missing
    };
    let noted = timeout(NOTED_MAX, parts.bus.heads(&[topic])).await;
    noted.ok()?.ok()?.first().copied()?
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn turns_begin_with_a_slow_attempt_and_end_after_a_while() {
        let now = SystemClock.now();
        assert_eq!(Turns::after(None, SLOW / 2, now), None);
        let turns = Turns::after(None, SLOW, now);
        assert!(turns.unwrap().are_taken(now));
        let later = now + TURNS_FOR;
        assert!(!turns.unwrap().are_taken(later));
        let turns = Turns::after(turns, SLOW, later);
        assert!(turns.unwrap().are_taken(later));
    }
}
