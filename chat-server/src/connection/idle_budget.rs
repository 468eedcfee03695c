//! Budget of idle input: WebSocket frames that are empty or only control, and STOMP's line ends. Each
//! costs little, so no other limit bounds their number.
//!
//! It closes nothing.

use std::time::{Duration, Instant};

/// Idle frames and line ends per second that may come for ever. Heart-beats and pings come once a
/// second at most.
const PER_SECOND: u32 = 50;

/// The same at once: so many heart-beats of one per second gather while this server, or the network,
/// stands still for a quarter of an hour.
const BURST: u64 = 1_000;

/// A leaky bucket.
#[derive(Debug)]
pub(super) struct IdleBudget {
    level: u64,
    leaked_at: Instant,
}

impl IdleBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: 0,
            leaked_at: now,
        }
    }

    /// Whether so many more are within the budget.
    pub(super) fn takes(&mut self, count: u64, now: Instant) -> bool {
        let drop_every = Duration::from_secs(1) / PER_SECOND;
        let passed = now.saturating_duration_since(self.leaked_at);
        let drops = passed.as_nanos() / drop_every.as_nanos();
        let leaked = u64::try_from(drops).unwrap_or(u64::MAX);
        // Whole drops only, so that many calls leak as much as one.
        if leaked >= self.level {
            self.level = 0;
            self.leaked_at = now;
        } else if let Ok(drops) = u32::try_from(leaked) {
            self.level -= leaked;
            self.leaked_at += drop_every.saturating_mul(drops);
        }
        self.level = self.level.saturating_add(count);
        self.level <= BURST
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn a_beat_a_second_is_never_too_much_and_a_flood_soon_is() {
        let start = SystemClock.now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut budget = IdleBudget::new(start);
        assert!((0..100_000).all(|second| budget.takes(2, after(second * 1_000))));
        let mut budget = IdleBudget::new(start);
        assert!((0..100_000).all(|beat| budget.takes(1, after(beat * 20))));
        let mut budget = IdleBudget::new(start);
        assert!(budget.takes(BURST, start));
        assert!(!budget.takes(1, start));
        assert!(budget.takes(0, after(1_000)) && budget.takes(40, after(1_000)));
        let mut budget = IdleBudget::new(start);
        let taken = (0..10_000).take_while(|beat| budget.takes(1, after(*beat)));
        assert!((1_000..1_100).contains(&taken.count()), "at 1,000 a second");
    }
}
