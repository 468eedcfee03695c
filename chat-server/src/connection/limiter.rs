//! How fast one connection may send.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use shared::ids::RoomId;

/// Bursts are this many times the rate: a person who was offline sends what was written meanwhile.
const BURST: u32 = 5;

/// "Is writing" is passed on at most this often; the page shows it a little longer.
const TYPING_EVERY: Duration = Duration::from_secs(2);

/// Rooms that one connection may be writing in at a time: a person has one page open, or a few.
const TYPING_ROOMS_MAX: usize = 16;

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

/// Where a member was writing lately.
#[derive(Debug, Default)]
pub(super) struct Typed {
    recent: Vec<(RoomId, Instant)>,
}

impl Typed {
    /// Whether "is writing" in this room may be passed on now; if so, that is noted.
    pub(super) fn allows(&mut self, room: RoomId, now: Instant) -> bool {
        self.recent
            .retain(|(_, at)| now.saturating_duration_since(*at) < TYPING_EVERY);
        let known = self.recent.iter().any(|(typed_in, _)| *typed_in == room);
        let allowed = !known && self.recent.len() < TYPING_ROOMS_MAX;
        if allowed {
            self.recent.push((room, now));
        }
        allowed
    }
}
