//! Rooms: membership checks, history, read marks, deletion of messages, and room lists.
//!
//! | file | contents |
//! |---|---|
//! | `cache` | rooms read by this node; the membership check |
//! | `change` | creation and changes of rooms |
//! | `log`, `history`, `tail` | reads of a room's log: pages backwards; its end, for lists |
//! | `list` | a member's rooms, the newest message first |
//! | `marks` | read marks; deletion of a message |
//! | `message` | one message, for a report |
//! | `compare` | periodic reconciliation of subscriptions with memberships |
//! | `presence` | members that come online or go offline, shown in their rooms |
//!
//! What this module does not do: send. A connection hands messages to the appender.

mod cache;
mod change;
mod compare;
mod history;
mod list;
mod log;
mod marks;
mod message;
mod presence;
mod tail;

use std::fmt;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::ids::{MemberId, MessageId, RoomId};
use tokio::sync::Mutex as Gate;

use crate::aged_cache::Dated;
use crate::append::RoomHeads;
use crate::bus::Bus;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::store::{MessageStore, Room, RoomStore, StoreError};

pub use cache::CACHE_AGE_MAX;
use cache::RoomCache;
pub use change::{InvalidRoom, PutError, RoomSpec};
pub use compare::{COMPARE_TICK, Reconciler};
pub use history::HistoryPage;
use list::RoomLists;
pub use list::{ListCursor, ListedRoom, RoomFilter, RoomPage};
use log::RoomLog;
pub use marks::{DELETE_AGE_MAX, DeleteError, MarkError};
pub use message::{MessageError, RoomMessage};
pub use presence::PresenceFeed;
pub use tail::UNREAD_MAX;

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
    /// The store does not answer now. A later retry may succeed.
    #[error("rooms cannot be read now")]
    Unavailable,
}

/// Why a page is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// See [`RoomError`].
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The cursor is not a position in this list.
    #[error("the cursor is no place in this list")]
    Cursor,
}

/// What [`Rooms`] is made of.
pub struct RoomsParts {
    /// Rooms and their members.
    pub rooms: Arc<dyn RoomStore>,
    /// The messages of the rooms.
    pub messages: Arc<dyn MessageStore>,
    /// Keeps what lists show of a room's newest message.
    pub heads: RoomHeads,
    /// Publishes events to the subscribers.
    pub hub: Hub,
    /// Publishes changes of rooms to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Times of rooms, ages of messages.
    pub clock: Arc<dyn Clock>,
    /// Counts failed requests to the store.
    pub metrics: Arc<Metrics>,
    /// For ids of new rooms; seeded differently on every node.
    pub random: StdRng,
}

/// The rooms of the site, as this node sees them.
pub struct Rooms {
    store: Arc<dyn RoomStore>,
    cache: RoomCache,
    log: RoomLog,
    lists: RoomLists,
    reconciler: Reconciler,
    presence_feed: PresenceFeed,
    hub: Hub,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    errors: StoreErrors,
    random: Mutex<StdRng>,
    gates: [Gate<()>; GATES],
}

/// Counts and logs what the store fails with.
#[derive(Clone)]
struct StoreErrors(Arc<Metrics>);

impl StoreErrors {
    /// What the caller gets: the cause is in our log.
    fn unavailable(&self, operation: &'static str, error: &StoreError) -> RoomError {
        self.note(operation, error);
        RoomError::Unavailable
    }

    fn note(&self, operation: &'static str, error: &StoreError) {
        error.note(operation, &self.0);
    }
}

impl Rooms {
    /// Rooms of these stores, with an empty cache.
    #[must_use]
    pub fn new(parts: RoomsParts) -> Self {
        let errors = StoreErrors(Arc::clone(&parts.metrics));
        let cache = RoomCache::new(
            Arc::clone(&parts.rooms),
            Arc::clone(&parts.clock),
            errors.clone(),
        );
        let log = RoomLog {
            messages: parts.messages,
            heads: parts.heads,
            metrics: Arc::clone(&parts.metrics),
            errors: errors.clone(),
        };
        let reconciler = Reconciler {
            hub: parts.hub.clone(),
            cache: cache.clone(),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
        };
        let presence_feed = PresenceFeed {
            store: Arc::clone(&parts.rooms),
            cache: cache.clone(),
            hub: parts.hub.clone(),
            metrics: Arc::clone(&parts.metrics),
            errors: errors.clone(),
        };
        Self {
            lists: RoomLists::new(Arc::clone(&parts.rooms), cache.clone(), log.clone()),
            store: parts.rooms,
            cache,
            log,
            reconciler,
            presence_feed,
            hub: parts.hub,
            bus: parts.bus,
            clock: parts.clock,
            metrics: parts.metrics,
            errors,
            random: Mutex::new(parts.random),
            gates: std::array::from_fn(|_| Gate::new(())),
        }
    }

    /// The room, if the member is in it.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn access(&self, room: RoomId, member: MemberId) -> Result<Arc<Room>, RoomError> {
        Ok(self.access_dated(room, member).await?.value)
    }

    /// The same, and until when that may be kept, while the [`generation`](Self::generation) is the one
    /// from before the call.
    pub(crate) async fn access_dated(
        &self,
        room: RoomId,
        member: MemberId,
    ) -> Result<Dated<Arc<Room>>, RoomError> {
        self.cache.access(room, member).await
    }

    /// Differs from an earlier one if a room may have changed in between.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.cache.generation()
    }

    /// The room, without a check of permission: for work of the server's own.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn room(&self, room: RoomId) -> Result<Arc<Room>, RoomError> {
        self.cache.room(room).await
    }

    /// The `size` entries before `before`, or the newest ones.
    ///
    /// The position alone decides, so a message that is sent meanwhile changes no later page.
    ///
    /// # Errors
    /// See [`PageError`].
    pub async fn history(
        &self,
        room: RoomId,
        member: MemberId,
        before: Option<MessageId>,
        size: u32,
    ) -> Result<HistoryPage, PageError> {
        self.access(room, member).await?;
        self.log.history(room, before, size).await
    }

    /// A message, if `reader` is in its room.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub async fn message(
        &self,
        id: MessageId,
        reader: MemberId,
    ) -> Result<RoomMessage, MessageError> {
        match self.access(id.room(), reader).await {
            Ok(_) => RoomMessage::read(&self.log, id).await,
            Err(RoomError::Unknown(_)) => Err(MessageError::Unknown(id)),
            Err(error @ (RoomError::NotParticipant(_) | RoomError::Unavailable)) => {
                Err(error.into())
            }
        }
    }

    /// `size` of the member's rooms, after the cursor. A room without new messages meanwhile is on
    /// exactly one page of a walk through the list.
    ///
    /// # Errors
    /// See [`PageError`].
    pub async fn list(
        &self,
        member: MemberId,
        filter: RoomFilter,
        cursor: Option<ListCursor>,
        size: usize,
    ) -> Result<RoomPage, PageError> {
        self.lists.list(member, filter, cursor, size).await
    }

    /// The periodic check of subscriptions against memberships.
    #[must_use]
    pub fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    /// The publisher of members that come online or go offline.
    #[must_use]
    pub fn presence_feed(&self) -> &PresenceFeed {
        &self.presence_feed
    }

    /// Whether the store answers: one small read past the cache.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`].
    pub async fn check_store(&self) -> Result<(), RoomError> {
        let answer = self.store.room(RoomId::FIRST_ALLOCATED_BY_CHAT).await;
        answer
            .map(drop)
            .map_err(|error| self.errors.unavailable("check", &error))
    }

    /// Evicts a room from the cache: another node has changed it.
    pub async fn forget(&self, room: RoomId) {
        self.cache.evict(room).await;
    }

    /// Evicts all rooms from the cache: changes may have been missed.
    pub fn forget_all(&self) {
        self.cache.evict_all();
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms")
            .field("cached", &self.cache.count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomsParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomsParts").finish_non_exhaustive()
    }
}
