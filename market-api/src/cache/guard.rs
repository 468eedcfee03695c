//! Circuit breaker for the list cache: on an error or a time-out callers read the database.
//!
//! A failed or slow call opens the breaker. While it is open, calls skip the cache. A probe closes it again,
//! but only after it has replaced the version of every namespace that changed meanwhile, because values under
//! those are stale.
//!
//! Changes that this process cannot invalidate are found in the database by other instances (`changes`).

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shared::drain::Drain;
use shared::trace::in_current_trace;
use tokio::time::{sleep, timeout};

use super::{Cache, CacheError, Namespace, VALUE_BYTES_MAX, Version};
use crate::db::{DbError, WriteError};
use crate::metrics::Metrics;

/// Interval between two probes. Short: while the breaker is open, the database takes the whole load.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// The namespace that a probe reads when no change was missed.
const PROBED: Namespace = Namespace("PROBE");

/// The state of the data that a look-up must reflect at least. Part of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The version of the namespace, read from the cache.
    Version(Version),
    /// The cache is unreachable; the number of changes that this process had made by then. Look-ups with an
    /// equal number may share a result, but not cache it.
    Away(u64),
}

/// A cache behind its circuit breaker. Clones share one state.
#[derive(Clone, Debug)]
pub struct ListCache {
    cache: Arc<dyn Cache>,
    metrics: Arc<Metrics>,
    drain: Drain,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    away: bool,
    /// Namespaces that changed while their version could not be replaced.
    missed: BTreeSet<Namespace>,
    changes: u64,
}

impl ListCache {
    /// A closed breaker in front of `cache`. The probe runs in `drain`.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, metrics: Arc<Metrics>, drain: Drain) -> Self {
        Self {
            cache,
            metrics,
            drain,
            state: Arc::default(),
        }
    }

    /// True while the breaker is open.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state().away
    }

    /// The state of the data that a look-up which begins now must reflect at least.
    pub async fn seen(&self, space: Namespace) -> Seen {
        let changes = {
            let state = self.state();
            if state.away {
                return Seen::Away(state.changes);
            }
            state.changes
        };
        match self.ask("version", self.cache.version(space)).await {
            Some(version) => Seen::Version(version),
            None => Seen::Away(changes),
        }
    }

    /// The value cached under a key; `None` on a miss, or while the breaker is open.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        if self.is_away() {
            return None;
        }
        self.ask("get", self.cache.get(key)).await.flatten()
    }

    /// Caches a value; a failure opens the breaker and is not returned.
    pub async fn set(&self, key: &str, value: Bytes, ttl: Duration) {
        if self.is_away() || value.len() > VALUE_BYTES_MAX || ttl.is_zero() {
            return;
        }
        self.ask("set", self.cache.set(key, value, ttl)).await;
    }

    /// Runs a write, then invalidates the namespaces that it returns: the only way to invalidate lists. Runs
    /// in a task of its own, because a request cancelled between COMMIT and invalidation would leave stale lists.
    /// old lists behind.
    ///
    /// # Errors
    /// The write's.
    pub async fn change<T, E, S, F>(&self, write: F) -> Result<T, WriteError<E>>
    where
        F: Future<Output = Result<(S, T), WriteError<E>>> + Send + 'static,
        S: IntoIterator<Item = Namespace, IntoIter: Send> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let own = self.clone();
        let change = in_current_trace(async move {
            let (changed, value) = write.await?;
            for space in changed {
                own.bump(space).await;
            }
            Ok(value)
        });
        let task = self.drain.spawn("listed-change", change);
        match task.await {
            Ok(done) => done,
            Err(lost) => Err(WriteError::Db(DbError::Unavailable(lost.to_string()))),
        }
    }

    /// Invalidates a namespace after a committed change. Once this returns, no caller in this process gets a
    /// value cached before.
    pub(super) async fn bump(&self, space: Namespace) {
        {
            let mut state = self.state();
            state.changes += 1;
            if state.away {
                state.missed.insert(space);
                return;
            }
        }
        if let Err(error) = self.in_time(self.cache.bump(space)).await {
            self.open("bump", &error, Some(space));
        }
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, CacheError>>,
    ) -> Option<T> {
        let answered = self.in_time(call).await;
        answered
            .inspect_err(|error| self.open(operation, error, None))
            .ok()
    }

    /// The result of a call; an error if it takes longer than the cache's own `answer_max`.
    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        let answered = timeout(self.cache.answer_max(), call).await;
        answered.unwrap_or_else(|_elapsed| Err(CacheError("no answer in time".to_owned())))
    }

    fn open(&self, operation: &'static str, error: &CacheError, missed: Option<Namespace>) {
        let failures = &self.metrics.cache_failures;
        failures.with_label_values(&[operation]).inc();
        let mut state = self.state();
        state.missed.extend(missed);
        if mem::replace(&mut state.away, true) {
            return;
        }
        drop(state);
        self.metrics.cache_opened.inc();
        tracing::warn!("list cache unavailable, reading the database: {error}");
        let own = self.clone();
        drop(self.drain.spawn("cache-probe", async move {
            let stopping = own.drain.soft();
            stopping.run_until_cancelled(own.probe()).await;
        }));
    }

    /// Retries until the cache is reachable and every missed namespace is invalidated.
    async fn probe(&self) {
        loop {
            sleep(PROBE_EVERY).await;
            let missed = mem::take(&mut self.state().missed);
            match self.catch_up(&missed).await {
                Err(_still_away) => self.state().missed.extend(missed),
                Ok(()) => {
                    let mut state = self.state();
                    // A change may have been added after its namespace was bumped above.
                    if state.missed.is_empty() {
                        state.away = false;
                        break;
                    }
                }
            }
        }
        self.metrics.cache_closed.inc();
        tracing::info!("list cache available again");
    }

    async fn catch_up(&self, missed: &BTreeSet<Namespace>) -> Result<(), CacheError> {
        self.in_time(self.cache.version(PROBED)).await?;
        for space in missed {
            self.in_time(self.cache.bump(*space)).await?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain assignments under the lock: a panic elsewhere leaves no partial state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
