//! Cache of the rooms that this node has read, and the membership check.
//!
//! A cached room is at most [`CACHE_AGE_MAX`] old: a bound on how long a removed member may go on reading.
//! A new member is not refused, since a refusal from an older copy is checked with the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use shared::clock::Clock;
use shared::ids::{MemberId, RoomId};

use super::{RoomError, StoreErrors};
use crate::aged_cache::{Dated, Generation};
use crate::store::{Room, RoomStore};

/// Maximum age of a cached room, which bounds how long a member may still read after leaving.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// 64 MiB of rooms: some 100,000 conversations of two, or 200 groups of a thousand.
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// A refusal from a copy older than this is checked with the store: requests to a foreign room cost one
/// read a second.
const REFUSAL_AGE_MAX: Duration = Duration::from_secs(1);

/// The rooms of the store, cached. Clones are the same.
#[derive(Clone)]
pub(super) struct RoomCache {
    store: Arc<dyn RoomStore>,
    clock: Arc<dyn Clock>,
    errors: StoreErrors,
    cache: Cache<RoomId, CachedRoom>,
    generation: Arc<Generation>,
}

/// A room as it was read, and when.
#[derive(Clone)]
struct CachedRoom {
    room: Arc<Room>,
    read_at: Instant,
}

impl RoomCache {
    /// An empty cache of `store`.
    pub(super) fn new(
        store: Arc<dyn RoomStore>,
        clock: Arc<dyn Clock>,
        errors: StoreErrors,
    ) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_AGE_MAX)
            .max_capacity(CACHE_BYTES_MAX)
            .weigher(|_, cached: &CachedRoom| weight(&cached.room))
            .build();
        Self {
            store,
            clock,
            errors,
            cache,
            generation: Arc::default(),
        }
    }

    /// Differs from an earlier one if a room may have changed in between.
    pub(super) fn generation(&self) -> u64 {
        self.generation.current()
    }

    /// The room, if the member is in it, and until when that may be kept while the generation is the one
    /// from before the call.
    pub(super) async fn access(
        &self,
        room: RoomId,
        member: MemberId,
    ) -> Result<Dated<Arc<Room>>, RoomError> {
        let cached = self.cached(room).await?;
        if cached.room.member(member).is_some() {
            return Ok(cached.into());
        }
        let age = self.clock.now().saturating_duration_since(cached.read_at);
        if age > REFUSAL_AGE_MAX {
            self.evict(room).await;
            let cached = self.cached(room).await?;
            if cached.room.member(member).is_some() {
                return Ok(cached.into());
            }
        }
        Err(RoomError::NotParticipant(room))
    }

    /// The room from the cache or the store.
    pub(super) async fn room(&self, room: RoomId) -> Result<Arc<Room>, RoomError> {
        Ok(self.cached(room).await?.room)
    }

    /// The room from the store, past the cache; it is cached as of `read_at`, the time before the read
    /// began.
    pub(super) async fn read_again(
        &self,
        room: RoomId,
        read_at: Instant,
    ) -> Result<Option<Arc<Room>>, RoomError> {
        let found = self.store.room(room).await;
        let found = found.map_err(|error| self.errors.unavailable("room", &error))?;
        let Some(found) = found.map(Arc::new) else {
            self.evict(room).await;
            return Ok(None);
        };
        self.put(&found, read_at).await;
        Ok(Some(found))
    }

    /// Caches a room as of `read_at`.
    pub(super) async fn put(&self, room: &Arc<Room>, read_at: Instant) {
        let cached = CachedRoom {
            room: Arc::clone(room),
            read_at,
        };
        let before = self.cache.get(&room.room_id).await;
        let is_same = before.is_some_and(|before| before.room == *room);
        let _moving = (!is_same).then(|| self.generation.moving());
        self.cache.insert(room.room_id, cached).await;
    }

    /// Evicts a room: it has changed.
    pub(super) async fn evict(&self, room: RoomId) {
        let _moving = self.generation.moving();
        self.cache.invalidate(&room).await;
    }

    /// Evicts all rooms: changes may have been missed.
    pub(super) fn evict_all(&self) {
        let _moving = self.generation.moving();
        self.cache.invalidate_all();
    }

    /// How many rooms are cached.
    pub(super) fn count(&self) -> u64 {
        self.cache.entry_count()
    }

    /// Concurrent misses share one read. That there is no such room is not cached: it may be created the
    /// next moment.
    async fn cached(&self, room: RoomId) -> Result<CachedRoom, RoomError> {
        let read = async {
            let read_at = self.clock.now();
            match self.store.room(room).await {
                Ok(Some(found)) => Ok(CachedRoom {
                    room: Arc::new(found),
                    read_at,
                }),
                Ok(None) => Err(RoomError::Unknown(room)),
                Err(error) => Err(self.errors.unavailable("room", &error)),
            }
        };
        let cached = self.cache.try_get_with(room, read).await;
        cached.map_err(|error| *error)
    }
}

impl From<CachedRoom> for Dated<Arc<Room>> {
    fn from(cached: CachedRoom) -> Self {
        Self {
            value: cached.room,
            ends_at: cached.read_at.checked_add(CACHE_AGE_MAX),
        }
    }
}

/// The bytes of a cached room: its texts, and the overhead of each member and of the room.
fn weight(room: &Room) -> u32 {
    let members = room.members.iter().map(|member| {
        let image = member.image_url.as_ref().map_or(0, String::len);
        member.name.len() + image + 96
    });
    u32::try_from(256 + members.sum::<usize>()).unwrap_or(u32::MAX)
}
