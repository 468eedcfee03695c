//! How fast one connection may send.

use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Bursts are this many times the rate: a person who was offline sends what was written meanwhile.
const BURST: u32 = 5;

/// Lets sends through at a rate.
#[derive(Debug)]
pub(super) struct Limiter {
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, DefaultClock>>,
}

impl Limiter {
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        let quota = per_second.map(|rate| {
            let burst = NonZeroU32::new(rate.get().saturating_mul(BURST)).unwrap_or(rate);
            Quota::per_second(rate).allow_burst(burst)
        });
        Self {
            limiter: quota.map(RateLimiter::direct),
        }
    }

    /// Whether one more may pass now.
    pub(super) fn allows_one(&self) -> bool {
        self.limiter
            .as_ref()
            .is_none_or(|limiter| limiter.check().is_ok())
    }
}
