//! What adapters have in common: the queue of changes, and the members whose grace runs.
//!
//! Neither knows whether a member is online.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::ids::MemberId;
use tokio::sync::mpsc;

use super::PresenceChange;
use crate::metrics::Metrics;

/// Changes that wait for their receiver. 4,096: those of a node that gets all members of a node that
/// stopped, within the time that reading their rooms takes.
const CHANGES_MAX: usize = 4_096;

/// Members whose grace runs. 65,536: all of a node, if they leave within the grace.
const DEPARTURES_MAX: usize = 65_536;

/// Half a second: later than that a change is noticed as late.
const TICK_MAX: Duration = Duration::from_millis(500);

/// Sender of changes.
#[derive(Debug)]
pub(super) struct Changes {
    sender: mpsc::Sender<PresenceChange>,
    metrics: Arc<Metrics>,
}

/// Members whose last connection has ended, first those that were the first.
#[derive(Debug, Default)]
pub(super) struct Departures(VecDeque<(Instant, MemberId)>);

impl Changes {
    pub(super) fn new(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<PresenceChange>) {
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        (Self { sender, metrics }, receiver)
    }

    /// Queues a change, or counts it as dropped.
    pub(super) fn push(&self, change: PresenceChange) {
        let metrics = &self.metrics.presence;
        match change {
            PresenceChange::Online(_) => metrics.online.inc(),
            PresenceChange::Offline(_) => metrics.offline.inc(),
        }
        if self.sender.try_send(change).is_err() {
            metrics.dropped.inc();
        }
    }
}

impl Departures {
    /// Adds a member that is to be checked at `due`, not before the one added last; `false` if there
    /// are too many.
    pub(super) fn push(&mut self, due: Instant, member: MemberId) -> bool {
        let fits = self.0.len() < DEPARTURES_MAX;
        if fits {
            self.0.push_back((due, member));
        }
        fits
    }

    /// Up to `max` members whose grace is over.
    pub(super) fn take_due(&mut self, now: Instant, max: usize) -> Vec<MemberId> {
        let due = self.0.iter().take(max).take_while(|(due, _)| *due <= now);
        let count = due.count();
        self.0.drain(..count).map(|(_, member)| member).collect()
    }
}

/// How often departures are checked: a change is late by so much at most.
pub(super) fn tick(grace: Duration) -> Duration {
    (grace / 8).clamp(Duration::from_millis(1), TICK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> MemberId {
        MemberId::try_from(id).unwrap()
    }

    #[test]
    fn departures_are_due_in_order_and_bounded() {
        use shared::clock::{Clock as _, SystemClock};

        let now = SystemClock.now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut departures = Departures::default();
        for id in 1..=3 {
            assert!(departures.push(at(id), member(id)));
        }
        assert_eq!(departures.take_due(now, 9), []);
        assert_eq!(departures.take_due(at(2), 1), [member(1)]);
        assert_eq!(departures.take_due(at(2), 9), [member(2)]);
        assert_eq!(departures.take_due(at(9), 9), [member(3)]);
        for _ in 0..DEPARTURES_MAX {
            assert!(departures.push(now, member(1)));
        }
        assert!(!departures.push(now, member(1)));
    }
}
