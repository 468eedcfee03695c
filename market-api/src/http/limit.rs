//! Rate limits: by client address for every request, by member for authenticated ones.
//!
//! Many members share an address (an office, a mobile carrier), so the limit by address is wide and
//! the one by member narrow. Both count within this process: with n instances a client may send n
//! times as many requests.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use axum::extract::Request;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use shared::clock::Clock;
use shared::ids::MemberId;
use shared::web::ErrorCode;

use super::HttpStack;
use super::address::ClientAddress;

/// Requests between two evictions of idle keys. A key is idle once its full burst is available again, so
/// the memory is bounded by the requests within that time.
const FORGET_EVERY: u32 = 4_096;

/// A rate limit: sustained rate and burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Sustained requests per second.
    pub per_second: NonZeroU32,
    /// Requests at once after a pause: a page load sends several.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate with bursts of five seconds' worth; `None`, no limit, for 0.
    #[must_use]
    pub fn per_second(requests: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(requests)?;
        let burst = NonZeroU32::new(requests.saturating_mul(5))?;
        Some(Self { per_second, burst })
    }
}

/// The rate limiters of this process.
#[derive(Debug)]
pub struct Limits {
    by_address: Option<Keyed<ClientAddress>>,
    by_member: Option<Keyed<MemberId>>,
}

impl Limits {
    /// Rate limiters; `None` is no limit.
    #[must_use]
    pub fn new(address: Option<Rate>, member: Option<Rate>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            by_address: address.map(|rate| Keyed::new(rate, Arc::clone(clock))),
            by_member: member.map(|rate| Keyed::new(rate, Arc::clone(clock))),
        }
    }

    /// Takes one request of this member from the limit; false if the member must be throttled.
    #[must_use]
    pub fn allow_member(&self, member: MemberId) -> bool {
        self.by_member
            .as_ref()
            .is_none_or(|limit| limit.allows(&member))
    }

    fn allow_address(&self, address: ClientAddress) -> bool {
        self.by_address
            .as_ref()
            .is_none_or(|limit| limit.allows(&address))
    }
}

/// Throttles clients by address.
pub(super) fn by_address(all: &HttpStack, request: &Request) -> Result<(), ErrorCode> {
    let address = ClientAddress::of(request.extensions(), request.headers(), all.trusted_hops);
    if all.limits.allow_address(address) {
        return Ok(());
    }
    let limited = &all.metrics.rate_limited;
    limited.with_label_values(&["address"]).inc();
    Err(ErrorCode::TooManyRequests)
}

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, DefaultKeyedStateStore<K>, LimitClock, NoOpMiddleware<Instant>>,
    asked: AtomicU32,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::new(quota, DefaultKeyedStateStore::default(), LimitClock(clock));
        Self {
            limiter,
            asked: AtomicU32::new(0),
        }
    }

    fn allows(&self, key: &K) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).is_ok()
    }
}

/// Adapts the process's clock to the limiter.
#[derive(Clone, Debug)]
struct LimitClock(Arc<dyn Clock>);

impl GovernorClock for LimitClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::clock::{ManualClock, UnixMillis};

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
        let seen: Arc<dyn Clock> = clock.clone();
        let limits = Limits::new(None, Rate::per_second(2), &seen);
        let one = MemberId::try_from(1_u64).unwrap();
        let other = MemberId::try_from(2_u64).unwrap();
        let passed = (0..20).filter(|_| limits.allow_member(one)).count();
        assert_eq!(passed, 10);
        assert!(limits.allow_member(other));
        clock.advance(Duration::from_millis(500));
        assert!(limits.allow_member(one));
        assert!(!limits.allow_member(one));
    }

    #[test]
    fn idle_keys_are_evicted() {
        let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
        let seen: Arc<dyn Clock> = clock.clone();
        let limits = Limits::new(None, Rate::per_second(2), &seen);
        for id in 1..=u64::from(FORGET_EVERY) * 3 {
            assert!(limits.allow_member(MemberId::try_from(id).unwrap()));
            clock.advance(Duration::from_millis(10));
        }
        let kept = limits.by_member.as_ref().unwrap().limiter.len();
        assert!(kept <= FORGET_EVERY as usize + 1_000, "{kept}");
    }

    #[test]
    fn no_rate_is_no_limit() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(UnixMillis::EPOCH));
        let limits = Limits::new(Rate::per_second(0), Rate::per_second(0), &clock);
        let one = MemberId::try_from(1_u64).unwrap();
        assert!((0..10_000).all(|_| limits.allow_member(one)));
    }
}
