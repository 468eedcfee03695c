//! Exponential back-off with jitter, and the outage that it bridges.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt as _};

/// The first delay.
const FIRST: Duration = Duration::from_millis(100);

/// Bound of a delay. Half a minute after the chat server is back, events flow.
const LAST: Duration = Duration::from_secs(30);

/// The delays of an outage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// When the outage began; `None` while there is none.
    since: Option<Instant>,
    /// Before this nothing is tried.
    due: Option<Instant>,
}

impl Backoff {
    /// Notes a failure; true if it begins an outage.
    pub(super) fn fail(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(LAST);
        // At least half, so that the delay grows; the rest at random, so that instances spread.
        let delay = full.mul_f64(rng.random_range(0.5..=1.0));
        self.failures = self.failures.saturating_add(1);
        self.due = Some(now + delay);
        let is_first = self.since.is_none();
        self.since.get_or_insert(now);
        is_first
    }

    /// Ends the outage, if there is one; returns its length.
    pub(super) fn succeed(&mut self, now: Instant) -> Option<Duration> {
        let since = std::mem::take(self).since;
        since.map(|since| now.saturating_duration_since(since))
    }

    /// How long to wait still.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let left = self.due.map(|due| due.saturating_duration_since(now));
        left.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use shared::clock::{Clock as _, ManualClock, UnixMillis};

    use super::*;

    #[test]
    fn delays_double_with_jitter_up_to_the_bound() {
        let (now, mut rng) = (
            ManualClock::new(UnixMillis::EPOCH).now(),
            StdRng::seed_from_u64(7),
        );
        let mut backoff = Backoff::default();
        assert_eq!(backoff.left(now), Duration::ZERO);
        for nth in 0..100_u32 {
            assert_eq!(backoff.fail(now, &mut rng), nth == 0);
            let full = (100_u64 << nth.min(16)).min(30_000);
            let left = backoff.left(now);
            assert!(
                left >= Duration::from_millis(full / 2) && left <= Duration::from_millis(full),
                "{nth}: {left:?}"
            );
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(backoff.succeed(later), Some(Duration::from_secs(60)));
        assert_eq!(backoff.succeed(later), None);
        assert!(backoff.fail(later, &mut rng));
        assert!(backoff.left(later) <= Duration::from_millis(100));
    }
}
