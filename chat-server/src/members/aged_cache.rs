//! Cache of one value per member with an upper bound on its age, by the node's clock.
//!
//! A value whose read overlaps a change is returned but not kept: it may be the one from before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use moka::future::Cache;
use shared::clock::Clock;
use shared::ids::MemberId;

use super::{CACHE_AGE_MAX, MemberError};

/// Some 100 bytes each: 20 MiB, more members than a node has connections.
const CACHED_MAX: u64 = 200_000;

/// See the module.
pub(super) struct AgedCache<V> {
    cache: Cache<MemberId, Aged<V>>,
    /// Counts changes, of any member.
    changes: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// A value with the time it was read at; `None`: not to be used again.
#[derive(Clone)]
struct Aged<V> {
    value: V,
    read_at: Option<Instant>,
}

impl<V: Clone + Send + Sync + 'static> AgedCache<V> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_AGE_MAX)
            .max_capacity(CACHED_MAX)
            .build();
        Self {
            cache,
            changes: AtomicU64::new(0),
            clock,
        }
    }

    /// From the cache or by `read`; concurrent callers share one read.
    pub(super) async fn get<R>(
        &self,
        member: MemberId,
        read: impl Fn() -> R + Send,
    ) -> Result<V, MemberError>
    where
        R: Future<Output = Result<V, MemberError>> + Send,
    {
        let known = self.cache.try_get_with(member, self.aged(read()));
        let known = known.await.map_err(|error| *error)?;
        let now = self.clock.now();
        let is_young = |read_at: Instant| now.saturating_duration_since(read_at) < CACHE_AGE_MAX;
        if known.read_at.is_some_and(is_young) {
            return Ok(known.value);
        }
        self.refresh(member, read()).await
    }

    /// By `read`, whatever is cached.
    pub(super) async fn refresh(
        &self,
        member: MemberId,
        read: impl Future<Output = Result<V, MemberError>> + Send,
    ) -> Result<V, MemberError> {
        let known = self.aged(read).await?;
        self.cache.insert(member, known.clone()).await;
        Ok(known.value)
    }

    /// The member's value has changed.
    pub(super) async fn forget(&self, member: MemberId) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.cache.invalidate(&member).await;
    }

    /// Changes may have been missed.
    pub(super) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.cache.invalidate_all();
    }

    pub(super) fn count(&self) -> u64 {
        self.cache.entry_count()
    }

    async fn aged(
        &self,
        read: impl Future<Output = Result<V, MemberError>> + Send,
    ) -> Result<Aged<V>, MemberError> {
        // Before the request: a copy is as old as the request.
        let (changes, now) = (self.changes.load(Ordering::Relaxed), self.clock.now());
        let value = read.await?;
        let is_current = self.changes.load(Ordering::Relaxed) == changes;
        let read_at = is_current.then_some(now);
        Ok(Aged { value, read_at })
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn value_read_while_it_changed_is_not_kept() {
        let start = shared::clock::UnixMillis::from_seconds(1_754_537_696).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let cache = AgedCache::new(clock.clone());
        let member = MemberId::try_from(7_u64).unwrap();
        let read = |value: u8| move || async move { Ok(value) };
        let overlapped = || async {
            cache.forget(member).await;
            Ok(1)
        };
        assert_eq!(cache.get(member, overlapped).await, Ok(1));
        assert_eq!(cache.get(member, read(2)).await, Ok(2));
        assert_eq!(cache.get(member, read(3)).await, Ok(2));
        clock.advance(CACHE_AGE_MAX);
        assert_eq!(cache.get(member, read(4)).await, Ok(4));
        cache.forget(member).await;
        assert_eq!(cache.get(member, read(5)).await, Ok(5));
        cache.forget_all();
        assert_eq!(cache.get(member, read(6)).await, Ok(6));
    }
}
