//! A clock that a test moves while timers run on real time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::clock::{Clock, SystemClock, UnixMillis};

/// Monotonic time goes on and can be moved forward; wall time stands still until it is moved.
///
/// A timer that was set before a move fires when it would have; what is due by then is decided by
/// the moved clock.
#[derive(Debug)]
pub struct MovableClock {
    moved: Mutex<(Duration, UnixMillis)>,
    checks: AtomicU64,
}

impl MovableClock {
    /// Wall time is 2025-08-07T12:34:56.789 in Korea.
    pub fn new() -> Self {
        let start = UnixMillis::try_from(1_754_537_696_789).unwrap();
        Self {
            moved: Mutex::new((Duration::ZERO, start)),
            checks: AtomicU64::new(0),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut moved = self.lock();
        moved.0 += by;
        moved.1 = moved.1.saturating_add(by);
    }

    /// Number of reads of the monotonic time.
    pub fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, (Duration, UnixMillis)> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Instant {
        self.checks.fetch_add(1, Ordering::Relaxed);
        SystemClock.now() + self.lock().0
    }

    fn unix_millis(&self) -> UnixMillis {
        self.lock().1
    }
}
