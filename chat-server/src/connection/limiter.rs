//! Rate limits of one connection: sends, and typing events.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use shared::ids::RoomId;

/// Bursts are this many times the rate: a client that was offline sends all that was written
/// meanwhile.
const BURST: u32 = 5;

/// A typing event is published at most this often per room; the page shows it a little longer.
const TYPING_EVERY: Duration = Duration::from_secs(2);

/// Rooms with typing events of one connection at a time: a person has one page open, or a few.
const TYPING_ROOMS_MAX: usize = 16;

/// Throttles the sends of a connection.
#[derive(Debug)]
pub(super) struct Limiter {
    /// With the burst: the most that passes at once. `None`: no limit.
    limiter: Option<(
        NonZeroU32,
        RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
    )>,
}

impl Limiter {
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        let quota = per_second.map(|rate| {
            let burst = NonZeroU32::new(rate.get().saturating_mul(BURST)).unwrap_or(rate);
            (burst, Quota::per_second(rate).allow_burst(burst))
        });
        Self {
            limiter: quota.map(|(burst, quota)| (burst, RateLimiter::direct(quota))),
        }
    }

    /// Whether so many sends may pass now, all or none. More than a burst, which could never pass,
    /// count as a burst.
    pub(super) fn allows(&self, sends: usize) -> bool {
        let Some((burst, limiter)) = &self.limiter else {
            return true;
        };
        let sends = u32::try_from(sends).unwrap_or(u32::MAX);
        let Some(sends) = NonZeroU32::new(sends) else {
            return true;
        };
        matches!(limiter.check_n(sends.min(*burst)), Ok(Ok(())))
    }
}

/// Recent typing events.
#[derive(Debug, Default)]
pub(super) struct Typed {
    recent: Vec<(RoomId, Instant)>,
}

impl Typed {
    /// Whether a typing event of this room may be published now; if so, it is counted.
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
