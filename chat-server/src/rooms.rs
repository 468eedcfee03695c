//! The rooms: who may read and write in them, how far each has read, and what lists show of them.
//!
//! Rooms are read through a cache of this node, so somebody who was put out of a room may stay for
//! as long as [`CACHE_AGE_MAX`]; somebody who was just let in is not turned away, since a "no" from
//! an older copy is asked again. Sending is not done here: whoever may, hands it to the appender.

mod change;
mod compare;
mod history;
mod list;
mod marks;
mod tail;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use moka::future::Cache;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::sync::Mutex as Gate;

use crate::append::RoomHeads;
use crate::bus::Bus;
use crate::hub::Hub;
use crate::log::{Entry, Topic};
use crate::metrics::Metrics;
use crate::store::{MessageStore, ReadConsistency, Room, RoomStore, StoreError};

pub use change::{InvalidRoom, PutError, RoomSpec};
pub use compare::COMPARE_TICK;
pub use history::HistoryPage;
use list::Places;
pub use list::{ListCursor, ListedRoom, RoomFilter, RoomPage};
pub use marks::{DELETE_AGE_MAX, DeleteError, MarkError};
pub use tail::UNREAD_MAX;

/// How old a cached room may be. A bound on how long somebody who left may go on reading.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// 64 MiB of rooms: some 100,000 conversations of two, or 200 groups of a thousand.
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// A "not a participant" from a copy older than this is checked with the store. One question a
/// second is what knocking at a foreign room costs.
const REFUSAL_AGE_MAX: Duration = Duration::from_secs(1);

/// Changes of rooms that share a gate wait for each other.
const GATES: usize = 64;

/// Why a room's content is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// There is no such room.
    #[error("there is no room {0}")]
    Unknown(RoomId),
    /// The member is not in the room.
    #[error("not a participant of room {0}")]
    NotParticipant(RoomId),
    /// The store does not answer now. Asking again later may work.
    #[error("rooms cannot be read now")]
    Unavailable,
}

/// Why a page is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// See [`RoomError`].
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The cursor is no place in this list.
    #[error("the cursor is no place in this list")]
    Cursor,
}

/// What [`Rooms`] is made of.
pub struct RoomsParts {
    /// Who is in which room.
    pub rooms: Arc<dyn RoomStore>,
    /// What was said.
    pub messages: Arc<dyn MessageStore>,
    /// Keeps what lists show of a room's newest message.
    pub heads: RoomHeads,
    /// Tells who is listening what happened.
    pub hub: Hub,
    /// Tells the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Times of rooms, ages of messages.
    pub clock: Arc<dyn Clock>,
    /// Counts failed questions to the store.
    pub metrics: Arc<Metrics>,
    /// For ids of new rooms; seeded differently on every node.
    pub random: StdRng,
}

/// The rooms of the site, as this node sees them.
pub struct Rooms {
    rooms: Arc<dyn RoomStore>,
    messages: Arc<dyn MessageStore>,
    heads: RoomHeads,
    hub: Hub,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    random: Mutex<StdRng>,
    cache: Cache<RoomId, Known>,
    places: Places,
    gates: [Gate<()>; GATES],
}

/// A room as it was read, and when.
#[derive(Clone)]
struct Known {
    room: Arc<Room>,
    read_at: Instant,
}

impl Rooms {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(parts: RoomsParts) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_AGE_MAX)
            .max_capacity(CACHE_BYTES_MAX)
            .weigher(|_, known: &Known| weight(&known.room))
            .build();
        Self {
            rooms: parts.rooms,
            messages: parts.messages,
            heads: parts.heads,
            hub: parts.hub,
            bus: parts.bus,
            clock: parts.clock,
            metrics: parts.metrics,
            random: Mutex::new(parts.random),
            cache,
            places: Places::new(),
            gates: std::array::from_fn(|_| Gate::new(())),
        }
    }

    /// The room, if the member is in it.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn access(&self, room: RoomId, member: MemberId) -> Result<Arc<Room>, RoomError> {
        let known = self.known(room).await?;
        if known.room.member(member).is_some() {
            return Ok(known.room);
        }
        let age = self.clock.now().saturating_duration_since(known.read_at);
        if age > REFUSAL_AGE_MAX {
            self.cache.invalidate(&room).await;
            let known = self.known(room).await?;
            if known.room.member(member).is_some() {
                return Ok(known.room);
            }
        }
        Err(RoomError::NotParticipant(room))
    }

    /// Whether the store answers at all: one small question past the cache.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`].
    pub async fn check_store(&self) -> Result<(), RoomError> {
        let answer = self.rooms.room(RoomId::FIRST_ALLOCATED_BY_CHAT).await;
        answer
            .map(drop)
            .map_err(|error| self.unavailable("check", &error))
    }

    /// Forgets what is cached of a room: somebody says that it changed.
    pub async fn forget(&self, room: RoomId) {
        self.cache.invalidate(&room).await;
    }

    /// Forgets all that is cached: changes may have been missed.
    pub fn forget_all(&self) {
        self.cache.invalidate_all();
    }

    /// The room from the cache or the store; those who ask at once share one question. That there
    /// is no room is not remembered: it may be made the next moment.
    async fn known(&self, room: RoomId) -> Result<Known, RoomError> {
        let read = async {
            let read_at = self.clock.now();
            match self.rooms.room(room).await {
                Ok(Some(found)) => Ok(Known {
                    room: Arc::new(found),
                    read_at,
                }),
                Ok(None) => Err(RoomError::Unknown(room)),
                Err(error) => Err(self.unavailable("room", &error)),
            }
        };
        let known = self.cache.try_get_with(room, read).await;
        known.map_err(|error| *error)
    }

    /// The entry at this position, if there is one. Asked twice before it is said that none is.
    async fn entry(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Entry>>, RoomError> {
        for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
            let found = self.read(room, seq, seq, view).await?.pop();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn read(
        &self,
        room: RoomId,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, RoomError> {
        let entries = self.messages.read(Topic::Room(room), first, last, view);
        entries
            .await
            .map_err(|error| self.unavailable("read", &error))
    }

    /// Entries that are known to be there up to `last`, and what there may be up to `further`; asked
    /// again when some are missing. Two questions may still find fewer: a hint can name what a restored backup does not have.
    async fn read_to(
        &self,
        room: RoomId,
        (first, last): (Seq, Seq),
        further: Seq,
    ) -> Result<Vec<Arc<Entry>>, RoomError> {
        let wanted = (last.get() + 1).saturating_sub(first.get()) as usize;
        let entries = self
            .read(room, first, further, ReadConsistency::Quorum)
            .await?;
        if entries.len() >= wanted {
            return Ok(entries);
        }
        self.read(room, first, further, ReadConsistency::Serial)
            .await
    }

    /// The caller is told to come again; why is for us.
    fn unavailable(&self, operation: &'static str, error: &StoreError) -> RoomError {
        self.note(operation, error);
        RoomError::Unavailable
    }

    fn note(&self, operation: &'static str, error: &StoreError) {
        let counter = self.metrics.store_errors.with_label_values(&[operation]);
        counter.inc();
        match error {
            StoreError::Corrupt(_) => tracing::error!(operation, "{operation}: {error}"),
            StoreError::Unavailable(_) | StoreError::Unknown(_) => {
                tracing::warn!(operation, "{operation}: {error}");
            }
        }
    }
}

/// What a cached room takes: its texts, and for each member and the room what surrounds them.
fn weight(room: &Room) -> u32 {
    let members = room.members.iter().map(|member| {
        let image = member.image_url.as_ref().map_or(0, String::len);
        member.name.len() + image + 96
    });
    u32::try_from(256 + members.sum::<usize>()).unwrap_or(u32::MAX)
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms")
            .field("cached", &self.cache.entry_count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomsParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomsParts").finish_non_exhaustive()
    }
}
