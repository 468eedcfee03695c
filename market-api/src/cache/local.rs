//! In-process list cache, for a single instance without Redis.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache as Moka;

use super::{Cache, CacheError, Namespace, Version};

/// Bound of all keys and values, in bytes: about 10,000 pages.
const BYTES_MAX: u64 = 64 << 20;

/// Bounded by bytes; evicts the least used values.
#[derive(Debug)]
pub struct LocalCache {
    values: Moka<String, Kept>,
    /// A handful of entries: one per kind of product.
    versions: Mutex<BTreeMap<Namespace, Version>>,
}

#[derive(Clone, Debug)]
struct Kept {
    value: Bytes,
    ttl: Duration,
}

struct EachItsOwn;

impl Expiry<String, Kept> for EachItsOwn {
    fn expire_after_create(&self, _: &String, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl LocalCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        let weight = |key: &String, kept: &Kept| {
            u32::try_from(key.len() + kept.value.len()).unwrap_or(u32::MAX)
        };
        Self {
            values: Moka::builder()
                .max_capacity(BYTES_MAX)
                .weigher(weight)
                .expire_after(EachItsOwn)
                .build(),
            versions: Mutex::default(),
        }
    }
}

impl Default for LocalCache {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Cache for LocalCache {
    /// Longer than any call takes: there is no network in between.
    fn answer_max(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        Ok(self.values.get(key).await.map(|kept| kept.value))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        let kept = Kept { value, ttl };
        self.values.insert(key.to_owned(), kept).await;
        Ok(())
    }

    async fn version(&self, space: Namespace) -> Result<Version, CacheError> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(*versions.entry(space).or_insert_with(Version::fresh))
    }

    async fn bump(&self, space: Namespace) -> Result<(), CacheError> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.insert(space, Version::fresh());
        Ok(())
    }
}
