//! The cache as its users see it: never an error, never in the way, never old.
//!
//! A call that fails or takes too long opens the breaker: from then on everybody goes to the
//! database at once. A probe tries again and closes it only after every version that could not be
//! replaced meanwhile has been, because what is kept under those is old.
//!
//! A change that this process cannot tell the cache, other instances find in the database and tell
//! it (`changes`).

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shared::drain::Drain;
use tokio::time::{sleep, timeout};

use super::{Cache, CacheError, Namespace, VALUE_BYTES_MAX, Version};
use crate::db::{DbError, WriteError};
use crate::metrics::Metrics;

/// Between two probes. Short: meanwhile the database does all the work.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// What the probe asks when nothing was missed.
const PROBED: Namespace = Namespace("PROBE");

/// What a look-up must not be older than. Part of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The version of the namespace.
    Version(Version),
    /// The cache is away; how many changes this process had made by then. Two who saw the same
    /// number may share a look-up, but not keep it.
    Away(u64),
}

/// A cache behind its breaker. Clones are the same.
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
    /// Namespaces that changed, and whose version may not have been replaced.
    missed: BTreeSet<Namespace>,
    changes: u64,
}

impl ListCache {
    /// `cache`, taken to be there. The probe runs in `drain`.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, metrics: Arc<Metrics>, drain: Drain) -> Self {
        Self {
            cache,
            metrics,
            drain,
            state: Arc::default(),
        }
    }

    /// Whether the breaker is open.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state().away
    }

    /// What a look-up that begins now must not be older than.
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

    /// What is kept under a key, if the cache is there.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        if self.is_away() {
            return None;
        }
        self.ask("get", self.cache.get(key)).await.flatten()
    }

    /// Keeps a value, if the cache is there and takes it.
    pub async fn set(&self, key: &str, value: Bytes, ttl: Duration) {
        if self.is_away() || value.len() > VALUE_BYTES_MAX || ttl.is_zero() {
            return;
        }
        self.ask("set", self.cache.set(key, value, ttl)).await;
    }

    /// Writes, then invalidates the namespaces that the write says it has changed: the one way to
    /// invalidate lists. In a task of its own, because a caller who leaves between the two would leave
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
        let task = self.drain.spawn("listed-change", async move {
            let (changed, value) = write.await?;
            for space in changed {
                own.bump(space).await;
            }
            Ok(value)
        });
        match task.await {
            Ok(done) => done,
            Err(lost) => Err(WriteError::Db(DbError::Unavailable(lost.to_string()))),
        }
    }

    /// Something that the namespace shows has changed, and is committed. When this returns, nobody
    /// in this process is given what was kept before.
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

    /// A call's answer; an error if the cache takes longer than it says of itself.
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
        tracing::warn!("lists come from the database for now: {error}");
        let own = self.clone();
        drop(self.drain.spawn("cache-probe", async move {
            let stopping = own.drain.soft();
            stopping.run_until_cancelled(own.probe()).await;
        }));
    }

    /// Tries until the cache is there and has missed nothing.
    async fn probe(&self) {
        loop {
            sleep(PROBE_EVERY).await;
            let missed = mem::take(&mut self.state().missed);
            match self.catch_up(&missed).await {
                Err(_still_away) => self.state().missed.extend(missed),
                Ok(()) => {
                    let mut state = self.state();
                    // A change while the probe was under way may have come after its bump.
                    if state.missed.is_empty() {
                        state.away = false;
                        break;
                    }
                }
            }
        }
        self.metrics.cache_closed.inc();
        tracing::info!("the cache is back");
    }

    async fn catch_up(&self, missed: &BTreeSet<Namespace>) -> Result<(), CacheError> {
        self.in_time(self.cache.version(PROBED)).await?;
        for space in missed {
            self.in_time(self.cache.bump(*space)).await?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain assignments under the lock: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
