//! Timestamps of unconditional writes: of two writes to one cell the one with the later timestamp
//! wins.
//!
//! The clocks of the nodes must agree to within what may pass between two changes of one room or
//! member, as with every store of this kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use shared::clock::Clock;

/// Rising timestamps of this process, in microseconds since 1970.
#[derive(Debug)]
pub(super) struct Stamps {
    clock: Arc<dyn Clock>,
    last: AtomicI64,
    /// The clock counts milliseconds. What it leaves open is this process's own number, so that two
    /// nodes that write within one of them seldom write the same timestamp.
    offset: i64,
}

impl Stamps {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: AtomicI64::new(0),
            offset: rand::random_range(0..1_000),
        }
    }

    /// Later than all before, also after the clock was set back.
    pub(super) fn next(&self) -> i64 {
        let now = self.clock.unix_millis().get() * 1_000 + self.offset;
        let later = |last: i64| Some(now.max(last.saturating_add(1)));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        let last = last.unwrap_or_else(|last| last);
        now.max(last.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{ManualClock, UnixMillis};

    use super::*;

    #[test]
    fn timestamps_rise_whatever_the_clock_does() {
        let clock = Arc::new(ManualClock::new(UnixMillis::try_from(5_000_i64).unwrap()));
        let stamps = Stamps::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut last = 5_000_000 - 1;
        for wall in [5_000, 5_000, 5_001, 4_000, 4_000, 6_000_i64] {
            clock.set_wall(UnixMillis::try_from(wall).unwrap());
            let next = stamps.next();
            assert!(next > last, "{next} after {last}");
            last = next;
        }
        assert!((6_000_000..6_001_000).contains(&last), "{last}");
    }
}
