//! Cache of one value per member with an upper bound on its age, by the node's clock.
//!
//! A value whose read overlaps a change is returned but not kept: it may be the one from before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::future::Cache;
use shared::clock::Clock;
use shared::ids::MemberId;

/// See the module.
pub(crate) struct AgedCache<V> {
    cache: Cache<MemberId, Aged<V>>,
    age_max: Duration,
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
    /// An empty cache of values not older than `age_max`, of `count_max` members.
    pub(crate) fn new(age_max: Duration, count_max: u64, clock: Arc<dyn Clock>) -> Self {
        let cache = Cache::builder()
            .time_to_live(age_max)
            .max_capacity(count_max)
            .build();
        Self {
            cache,
            age_max,
            changes: AtomicU64::new(0),
            clock,
        }
    }

    /// From the cache or by `read`; concurrent callers share one read.
    pub(crate) async fn get<R, E>(
        &self,
        member: MemberId,
        read: impl Fn() -> R + Send,
    ) -> Result<V, E>
    where
        R: Future<Output = Result<V, E>> + Send,
        E: Copy + Send + Sync + 'static,
    {
        let known = self.cache.try_get_with(member, self.aged(read()));
        let known = known.await.map_err(|error| *error)?;
        let now = self.clock.now();
        let is_young = |read_at: Instant| now.saturating_duration_since(read_at) < self.age_max;
        if known.read_at.is_some_and(is_young) {
            return Ok(known.value);
        }
        self.refresh(member, read()).await
    }

    /// By `read`, whatever is cached.
    pub(crate) async fn refresh<E>(
        &self,
        member: MemberId,
        read: impl Future<Output = Result<V, E>> + Send,
    ) -> Result<V, E> {
        let known = self.aged(read).await?;
        self.cache.insert(member, known.clone()).await;
        Ok(known.value)
    }

    /// The member's value has changed.
    pub(crate) async fn forget(&self, member: MemberId) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.cache.invalidate(&member).await;
    }

    /// Changes may have been missed.
    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.cache.invalidate_all();
    }

    pub(crate) fn count(&self) -> u64 {
        self.cache.entry_count()
    }

    async fn aged<E>(&self, read: impl Future<Output = Result<V, E>> + Send) -> Result<Aged<V>, E> {
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

    const AGE_MAX: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn value_read_while_it_changed_is_not_kept() {
        let start = shared::clock::UnixMillis::from_seconds(1_754_537_696).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let cache = AgedCache::new(AGE_MAX, 10, clock.clone());
        let member = MemberId::try_from(7_u64).unwrap();
        let read = |value: u8| move || async move { Ok::<_, ()>(value) };
        let overlapped = || async {
            cache.forget(member).await;
            Ok::<_, ()>(1)
        };
        assert_eq!(cache.get(member, overlapped).await, Ok(1));
        assert_eq!(cache.get(member, read(2)).await, Ok(2));
        assert_eq!(cache.get(member, read(3)).await, Ok(2));
        clock.advance(AGE_MAX);
        assert_eq!(cache.get(member, read(4)).await, Ok(4));
        cache.forget(member).await;
        assert_eq!(cache.get(member, read(5)).await, Ok(5));
        cache.forget_all();
        assert_eq!(cache.get(member, read(6)).await, Ok(6));
    }
}
