//! The relay's view of the lease: whether this instance holds it, and whether another's has expired.
//!
//! It expires in two ways. By the time in the row, so that a lease left over from yesterday is taken at once. And by
//! this instance's monotonic clock when the row did not change for as long as a lease lasts: a holder whose clock is
//! ahead, and that died, must not block the others for that time.

use std::time::{Duration, Instant};

use shared::clock::UnixMillis;

use crate::outbox::LeaseRecord;

/// Renewal interval while there is something to relay.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// The part of a lease that remains after a renewal was due and a post has taken all its time: for the statements
/// around the post.
const MARGIN: Duration = Duration::from_secs(5);

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) monotonic: Instant,
    pub(super) wall: UnixMillis,
}

/// The lease as this instance sees it.
#[derive(Debug)]
pub(super) struct Lease {
    /// The name of this instance in the row.
    pub(super) name: String,
    duration: Duration,
    /// The row this instance has written, and when.
    held: Option<(LeaseRecord, Instant)>,
    /// The last row of another instance, and since when it is the same.
    observed: Option<(LeaseRecord, Instant)>,
}

impl Lease {
    /// A lease that this instance does not hold. A post takes `post_max` at most.
    pub(super) fn new(name: String, post_max: Duration) -> Self {
        Self {
            name,
            duration: post_max + RENEW_EVERY + MARGIN,
            held: None,
            observed: None,
        }
    }

    /// True if a post may begin without a renewal.
    pub(super) fn is_fresh(&self, now: Now) -> bool {
        self.held
            .as_ref()
            .is_some_and(|(_, at)| now.monotonic.saturating_duration_since(*at) < RENEW_EVERY)
    }

    /// True if the lease is this instance's and has not expired.
    pub(super) fn is_held(&self, now: Now) -> bool {
        self.held
            .as_ref()
            .is_some_and(|(_, at)| now.monotonic.saturating_duration_since(*at) < self.duration)
    }

    /// The row to write in place of `seen`; `None` while another instance holds the lease.
    pub(super) fn claim(&mut self, seen: &LeaseRecord, now: Now) -> Option<LeaseRecord> {
        let is_own = seen.holder == self.name;
        if !is_own && !self.has_expired(seen, now) {
            self.held = None;
            return None;
        }
        Some(self.take_over(now))
    }

    /// The row to write, regardless of the holder.
    pub(super) fn take_over(&self, now: Now) -> LeaseRecord {
        LeaseRecord {
            holder: self.name.clone(),
            held_until: now.wall.saturating_add(self.duration),
        }
    }

    fn has_expired(&mut self, seen: &LeaseRecord, now: Now) -> bool {
        let since = match &self.observed {
            Some((observed, since)) if observed == seen => *since,
            _ => {
                self.observed = Some((seen.clone(), now.monotonic));
                now.monotonic
            }
        };
        seen.held_until <= now.wall
            || now.monotonic.saturating_duration_since(since) >= self.duration
    }

    /// Notes that the row was written.
    pub(super) fn note_held(&mut self, record: LeaseRecord, now: Now) {
        self.held = Some((record, now.monotonic));
    }

    /// Notes that another instance has written the row.
    pub(super) fn note_lost(&mut self) {
        self.held = None;
    }

    /// The rows of a release: the present one, and the one in its place. `None` if the lease is not held.
    pub(super) fn release(&mut self) -> Option<(LeaseRecord, LeaseRecord)> {
        let (record, _) = self.held.take()?;
        let released = LeaseRecord {
            held_until: UnixMillis::EPOCH,
            ..record.clone()
        };
        Some((record, released))
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, ManualClock};

    use super::*;

    fn now(clock: &ManualClock) -> Now {
        Now {
            monotonic: clock.now(),
            wall: clock.unix_millis(),
        }
    }

    fn lease(name: &str) -> Lease {
        Lease::new(name.to_owned(), Duration::from_secs(10))
    }

    fn noon() -> ManualClock {
        ManualClock::new(UnixMillis::try_from(1_794_711_600_000).unwrap())
    }

    #[test]
    fn another_instance_takes_over_after_the_lease() {
        let clock = noon();
        let never = LeaseRecord {
            holder: String::new(),
            held_until: UnixMillis::EPOCH,
        };
        let (mut one, mut other) = (lease("one"), lease("other"));
        let record = one.claim(&never, now(&clock)).unwrap();
        one.note_held(record.clone(), now(&clock));
        assert!(one.is_fresh(now(&clock)));
        clock.advance(Duration::from_secs(19));
        assert!(!one.is_fresh(now(&clock)) && one.is_held(now(&clock)));
        assert_eq!(other.claim(&record, now(&clock)), None);
        clock.advance(Duration::from_secs(1));
        assert!(!one.is_held(now(&clock)));
        let taken = other.claim(&record, now(&clock)).unwrap();
        assert_eq!(taken.holder, "other");
        assert_eq!(one.claim(&taken, now(&clock)), None);
    }

    #[test]
    fn a_dead_holder_whose_clock_was_ahead_blocks_nobody() {
        let clock = noon();
        let ahead = LeaseRecord {
            holder: "dead".to_owned(),
            held_until: clock
                .unix_millis()
                .saturating_add(Duration::from_secs(3_600)),
        };
        let mut other = lease("other");
        assert_eq!(other.claim(&ahead, now(&clock)), None);
        clock.advance(Duration::from_secs(19));
        // It lives: its row has changed.
        let renewed = LeaseRecord {
            held_until: ahead.held_until.saturating_add(Duration::from_secs(5)),
            ..ahead
        };
        assert_eq!(other.claim(&renewed, now(&clock)), None);
        clock.advance(Duration::from_secs(19));
        assert_eq!(other.claim(&renewed, now(&clock)), None);
        clock.advance(Duration::from_secs(1));
        assert!(other.claim(&renewed, now(&clock)).is_some());
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let clock = noon();
        let (mut one, mut other) = (lease("one"), lease("other"));
        assert_eq!(one.release(), None);
        let never = LeaseRecord {
            holder: String::new(),
            held_until: UnixMillis::EPOCH,
        };
        let record = one.claim(&never, now(&clock)).unwrap();
        one.note_held(record.clone(), now(&clock));
        let (held, released) = one.release().unwrap();
        assert_eq!(held, record);
        assert!(other.claim(&released, now(&clock)).is_some());
    }
}
