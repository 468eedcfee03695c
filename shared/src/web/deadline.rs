//! Moments of tokio's clock, for deadlines of connections and requests.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::{Clock as _, SystemClock};

/// The present time of tokio's clock, which its timers use.
pub(super) fn now() -> Instant {
    Instant::from_std(SystemClock.now())
}

/// A timer that ends at this moment.
pub(super) fn at(moment: Instant) -> Pin<Box<Sleep>> {
    Box::pin(sleep_until(moment))
}
