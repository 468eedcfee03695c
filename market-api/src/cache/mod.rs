//! List cache: pages of lists, cached for a while because many members request the same ones.
//!
//! ```text
//! ListCache (circuit breaker, missed invalidations) ─► Cache: Redis, or this process
//! SingleFlight: concurrent look-ups of one key share one result
//! ```
//!
//! Invalidation is by version: each key contains its namespace's version, which is replaced after a change
//! commits. Values under an old version are never read again and expire; a look-up that started before the
//! change caches its result under the version it started with. So no key has to be found and deleted, and no
//! stale value comes back. If a process ends before it replaces the version, `changes` does so.
//!
//! What this module does not do: decide which data may be stale. Purchases read the database.

mod changes;
mod guard;
mod local;
mod redis;
mod single_flight;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use shared::ids::MemberId;
use shared::redis::RedisUrl;

pub use guard::{ListCache, Seen};
pub use local::LocalCache;
pub use redis::RedisCache;
pub use single_flight::{Joined, SingleFlight};

/// Bound of one value in bytes; larger values are not cached. A page of 100 spots with the longest texts
/// has about 300 KiB.
pub const VALUE_BYTES_MAX: usize = 512 << 10;

/// The list cache named by the settings.
#[derive(Clone, Debug)]
pub enum CacheUrl {
    /// In this process: for a single instance, or where another instance's lists may be stale until they
    /// expire.
    Local,
    /// In Redis, shared by all instances.
    Redis(RedisUrl),
}

/// A group of keys that is invalidated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub &'static str);

impl Namespace {
    /// Lists of mobile data offers.
    pub const MOBILE_DATA: Self = Self("MOBILE_DATA");
    /// Lists of Wi-Fi spots.
    pub const WIFI: Self = Self("WIFI");
    /// Lists of hotspot spots.
    pub const HOTSPOT: Self = Self("HOTSPOT");
    /// All lists of offers, for changes that concern every kind, such as a seller's name.
    pub const OFFERS: [Self; 3] = [Self::MOBILE_DATA, Self::WIFI, Self::HOTSPOT];

    /// What members' blocks separate them from, by the member's id: a block invalidates the values of two
    /// groups of members, not of all.
    const BLOCKS: [Self; 16] = [
        Self("BLOCKS0"),
        Self("BLOCKS1"),
        Self("BLOCKS2"),
        Self("BLOCKS3"),
        Self("BLOCKS4"),
        Self("BLOCKS5"),
        Self("BLOCKS6"),
        Self("BLOCKS7"),
        Self("BLOCKS8"),
        Self("BLOCKS9"),
        Self("BLOCKS10"),
        Self("BLOCKS11"),
        Self("BLOCKS12"),
        Self("BLOCKS13"),
        Self("BLOCKS14"),
        Self("BLOCKS15"),
    ];

    /// The namespace of what this member is separated from. The trigger on `member_block` computes the same
    /// name.
    #[must_use]
    pub fn blocks_of(member: MemberId) -> Self {
        let [first, ..] = Self::BLOCKS;
        let nth = usize::try_from(member.get()).unwrap_or(0) % Self::BLOCKS.len();
        Self::BLOCKS.get(nth).copied().unwrap_or(first)
    }

    /// The namespace with this name in `list_change`.
    fn of_name(name: &str) -> Option<Self> {
        let all = Self::OFFERS.into_iter().chain(Self::BLOCKS);
        all.into_iter().find(|space| space.0 == name)
    }
}

/// A namespace's version: a random number, drawn anew for each change. A counter would restart when the
/// store loses it, and repeat old versions and their stale values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// 53 bits: the chance that one of a million changes within the life of a value repeats its version is
    /// one in nine thousand million.
    fn fresh() -> Self {
        Self(rand::random::<u64>() >> 11)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The cache failed, or missed its deadline.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cache is away: {0}")]
pub struct CacheError(String);

/// A key-value cache with versions.
///
/// Contract: `get` returns the last value `set` under the key, whole, until it expires, or `None`: a value
/// may be evicted at any time. `version` is the same for all callers until the next `bump`; once `bump` has
/// returned, no caller gets an earlier version. A lost version is drawn anew. After an error the call may or
/// may not have taken effect.
#[async_trait]
pub trait Cache: Send + Sync + fmt::Debug {
    /// The deadline of a call; after it the caller goes on without the cache.
    fn answer_max(&self) -> Duration;

    /// The value cached under a key, or `None`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError>;

    /// Caches a value of at most [`VALUE_BYTES_MAX`] for at most `ttl`, which is not zero.
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError>;

    /// The current version of a namespace.
    async fn version(&self, space: Namespace) -> Result<Version, CacheError>;

    /// Replaces the namespace's version by a new random one.
    async fn bump(&self, space: Namespace) -> Result<(), CacheError>;
}
