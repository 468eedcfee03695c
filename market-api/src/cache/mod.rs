//! Answers that are kept for a while, because many ask for the same.
//!
//! ```text
//! ListCache (is it there? what was missed?) ─► Cache: Redis, or this process
//! SingleFlight: who asks for what is being looked up already waits for that
//! ```
//!
//! A key has its namespace's version in it. After a change is committed the version is replaced, and
//! all that was kept under the old one is never asked for again; what somebody still computes from
//! before the change is kept under the version they began with. So nothing has to be found and
//! deleted, and nothing old comes back. A change whose process ends before that is found in the
//! database (`changes`).
//!
//! What this module does not do: decide what may be old. Nothing that is bought is looked up here.

mod changes;
mod guard;
mod local;
mod redis;
mod single_flight;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use shared::redis::RedisUrl;

pub use guard::{ListCache, Seen};
pub use local::LocalCache;
pub use redis::RedisCache;
pub use single_flight::{Joined, SingleFlight};

/// Bytes of one value; what is larger is not kept. A page of 100 spots with the longest texts has
/// about 300 KiB.
pub const VALUE_BYTES_MAX: usize = 512 << 10;

/// Which cache.
#[derive(Clone, Debug)]
pub enum CacheUrl {
    /// This process's own: for one instance, or where a list may be up to its time old on another.
    Local,
    /// One that all instances share.
    Redis(RedisUrl),
}

/// Keys whose versions go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub &'static str);

impl Namespace {
    /// Lists of mobile data.
    pub const MOBILE_DATA: Self = Self("MOBILE_DATA");
    /// Lists of Wi-Fi.
    pub const WIFI: Self = Self("WIFI");
    /// Lists of hotspots.
    pub const HOTSPOT: Self = Self("HOTSPOT");
    /// All lists of what is offered: they show who sells.
    pub const OFFERS: [Self; 3] = [Self::MOBILE_DATA, Self::WIFI, Self::HOTSPOT];
}

/// A namespace's version: a number without an order that is drawn anew for each change. Counting
/// would come to old numbers again when the store that counts forgets, and to old answers with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// 53 bits: the chance that one of a million changes within the life of a value draws its
    /// version again is one in nine thousand million.
    fn fresh() -> Self {
        Self(rand::random::<u64>() >> 11)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The cache did not answer, or not in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cache is away: {0}")]
pub struct CacheError(String);

/// Keeps values for a while.
///
/// Contract: `get` gives what the last `set` of the key gave it, whole, until its time is over, or
/// nothing: a value may go at any time. `version` is the same for all who ask until somebody bumps;
/// once `bump` has answered, nobody is given a version from before. A version that is lost is drawn
/// anew. An error says that the call may or may not have been done.
#[async_trait]
pub trait Cache: Send + Sync + fmt::Debug {
    /// How long a call may take; after that its user goes on without it.
    fn answer_max(&self) -> Duration;

    /// What is kept under a key.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError>;

    /// Keeps a value of at most [`VALUE_BYTES_MAX`] for at most `ttl`, which is not zero.
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError>;

    /// The version that keys of the namespace have now.
    async fn version(&self, space: Namespace) -> Result<Version, CacheError>;

    /// Draws a new version.
    async fn bump(&self, space: Namespace) -> Result<(), CacheError>;
}
