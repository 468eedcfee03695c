//! Cache of one value per member with an upper bound on its age, by the node's clock.
//!
//! A value whose read overlaps a change is returned but not kept: it may be the one from before.
//!
//! A caller may keep what it has decided by a value until the value's end, while the generation is the
//! one from before the value was got.

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
    /// Counts changes, of any member, before the cache follows them.
    changes: AtomicU64,
    generation: Generation,
    clock: Arc<dyn Clock>,
}

/// Incremented after each invalidation of a cache: a value read after the generation is not from before
/// that invalidation.
#[derive(Debug, Default)]
pub(crate) struct Generation(AtomicU64);

/// Moves a generation when it is dropped: also when the change it stands for was cancelled half done.
pub(crate) struct Moving<'a>(&'a Generation);

/// A value, and when it ends; `None`: it is not to be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dated<V> {
    pub(crate) value: V,
    pub(crate) ends_at: Option<Instant>,
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
            generation: Generation::default(),
            clock,
        }
    }

    /// Differs from an earlier one if a value may have changed in between.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.current()
    }

    /// A value that was refreshed refuses what the one before may have allowed.
    pub(crate) fn note_change(&self) {
        drop(self.generation.moving());
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
        Ok(self.get_dated(member, read).await?.value)
    }

    /// The same with the value's end.
    pub(crate) async fn get_dated<R, E>(
        &self,
        member: MemberId,
        read: impl Fn() -> R + Send,
    ) -> Result<Dated<V>, E>
    where
        R: Future<Output = Result<V, E>> + Send,
        E: Copy + Send + Sync + 'static,
    {
        let known = self.cache.try_get_with(member, self.aged(read()));
        let known = known.await.map_err(|error| *error)?;
        let now = self.clock.now();
        let is_young = |read_at: Instant| now.saturating_duration_since(read_at) < self.age_max;
        if known.read_at.is_some_and(is_young) {
            return Ok(self.dated(known));
        }
        let known = self.aged(read()).await?;
        self.cache.insert(member, known.clone()).await;
        Ok(self.dated(known))
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
        let _moving = self.generation.moving();
        self.cache.invalidate(&member).await;
    }

    /// Changes may have been missed.
    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let _moving = self.generation.moving();
        self.cache.invalidate_all();
    }

    pub(crate) fn count(&self) -> u64 {
        self.cache.entry_count()
    }

    fn dated(&self, aged: Aged<V>) -> Dated<V> {
        let end = |read_at: Instant| read_at.checked_add(self.age_max);
        Dated {
            value: aged.value,
            ends_at: aged.read_at.and_then(end),
        }
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

impl Generation {
    pub(crate) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// To be held while a change is made.
    pub(crate) fn moving(&self) -> Moving<'_> {
        Moving(self)
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The earlier of two ends; a value that is not to be used again ends both.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    Some(one?.min(other?))
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

    #[tokio::test]
    async fn generation_moves_after_each_change_and_values_have_an_end() {
        let start = shared::clock::UnixMillis::from_seconds(1_754_537_696).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let cache = AgedCache::new(AGE_MAX, 10, clock.clone());
        let member = MemberId::try_from(7_u64).unwrap();
        let read = || async { Ok::<_, ()>(1) };
        let end = clock.now().checked_add(AGE_MAX);
        clock.advance(AGE_MAX / 2);
        let later = clock.now().checked_add(AGE_MAX);
        assert_ne!(end, later);
        for _ in 0..2 {
            let dated = cache.get_dated(member, read).await.unwrap();
            assert_eq!(dated.ends_at, later);
            assert_eq!(cache.generation(), 0, "nothing has changed");
        }
        cache.forget(member).await;
        assert_eq!(cache.generation(), 1);
        cache.forget_all();
        assert_eq!(cache.generation(), 2);
        cache.note_change();
        assert_eq!(cache.generation(), 3);
        let cancelled = Box::pin(cache.forget(member));
        drop(cancelled);
        assert_eq!(cache.generation(), 3, "it was not begun");
        let overlapped = || async {
            cache.forget(member).await;
            Ok::<_, ()>(1)
        };
        let dated = cache.get_dated(member, overlapped).await.unwrap();
        assert_eq!(dated.ends_at, None, "not to be used again");
    }

    #[test]
    fn what_is_not_to_be_used_again_ends_what_depends_on_it() {
        let now = shared::clock::SystemClock.now();
        let later = now.checked_add(AGE_MAX);
        assert_eq!(earlier(Some(now), later), Some(now));
        assert_eq!(earlier(later, Some(now)), Some(now));
        assert_eq!(earlier(None, later), None);
        assert_eq!(earlier(later, None), None);
    }
}
