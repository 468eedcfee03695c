//! Room lists: a member's rooms, the one with the newest message first.
//!
//! A position in the list is (time of the last message, time of creation, id), all descending. The
//! first front end gets one number as cursor, the last row's room, and that room may have moved to
//! the top meanwhile; so the node caches for a while at which position it was shown. A client that
//! also sends the row's `lastMessageAt` gives the position itself and does not depend on that
//! cache.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use moka::future::Cache;
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};

use super::cache::RoomCache;
use super::log::RoomLog;
use super::{PageError, RoomError};
use crate::log::Entry;
use crate::store::{Membership, Role, Room, RoomHead, RoomStore};

/// Times that rows are sorted anew because a record was behind. Then the rows are shown as they are:
/// the room spoke meanwhile.
const ROUNDS_MAX: u32 = 3;

/// Rooms without a noted message whose log is looked at for one list.
const SILENT_MAX: usize = 32;

/// Concurrent requests to the store for one list.
const READS_AT_ONCE: usize = 16;

/// How long a position is remembered: no client waits longer with the next page.
const POSITION_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// Places remembered; each takes some 100 bytes.
const POSITIONS_MAX: u64 = 100_000;

/// Which rooms to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomFilter {
    /// All.
    #[default]
    All,
    /// Rooms in which the member is the buyer.
    Buyer,
    /// Rooms in which the member is the seller.
    Seller,
}

/// Where the last page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor {
    /// Its last row.
    pub room: RoomId,
    /// That row's `lastMessageAt`, if the client sends it.
    pub last_at: Option<UnixMillis>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRoom {
    /// The room.
    pub room: Arc<Room>,
    /// When its newest message was sent, or when it was made.
    pub last_at: UnixMillis,
    /// Its newest message: empty if that was taken back or has no text, `None` if there is none.
    pub last_text: Option<String>,
    /// Messages of others after the one read last, at most [`UNREAD_MAX`](super::UNREAD_MAX).
    pub unread: u32,
}

/// A piece of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPage {
    /// The rows.
    pub rooms: Vec<ListedRoom>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<RoomId>,
}

/// A position in the list; a greater one comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    last_at: Reverse<UnixMillis>,
    created_at: Reverse<UnixMillis>,
    room: Reverse<RoomId>,
}

/// A membership and the noted newest message of its room.
struct Row {
    position: Position,
    last_read: Seq,
    head: Option<RoomHead>,
}

/// A row as it is shown.
struct Listed {
    room: ListedRoom,
    /// The room's newest message, where the record was found behind the log.
    newer: Option<RoomHead>,
}

/// The newest message of rooms.
type Heads = HashMap<RoomId, RoomHead>;

impl RoomFilter {
    fn takes(self, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Buyer => role == Role::Buyer,
            Self::Seller => role == Role::Seller,
        }
    }
}

/// The lists of members' rooms.
pub(super) struct RoomLists {
    store: Arc<dyn RoomStore>,
    cache: RoomCache,
    log: RoomLog,
    /// Where each member was shown a room last: the positions that old cursors stand for.
    positions: Cache<(MemberId, RoomId), Position>,
}

impl RoomLists {
    pub(super) fn new(store: Arc<dyn RoomStore>, cache: RoomCache, log: RoomLog) -> Self {
        let positions = Cache::builder()
            .time_to_live(POSITION_AGE_MAX)
            .max_capacity(POSITIONS_MAX);
        Self {
            store,
            cache,
            log,
            positions: positions.build(),
        }
    }

    /// `size` of the member's rooms, after the cursor. A room without new messages meanwhile is on
    /// exactly one page of a walk.
    ///
    /// Where a room stands follows from a record that may be behind its log. So each row that is to
    /// be shown is compared with the log, which costs nothing where its end is read anyway, and so
    /// are rooms that have no record; what was behind is mended, and the rows are sorted again.
    ///
    /// # Errors
    /// See [`PageError`].
    pub(super) async fn list(
        &self,
        member: MemberId,
        filter: RoomFilter,
        cursor: Option<ListCursor>,
        size: usize,
    ) -> Result<RoomPage, PageError> {
        let memberships = self.store.memberships(member).await;
        let mut memberships =
            memberships.map_err(|error| self.log.unavailable("memberships", &error))?;
        memberships.retain(|membership| filter.takes(membership.role));

        let shown_at = match cursor {
            Some(cursor) => self.shown_at(member, cursor).await?,
            None => None,
        };
        let mut heads = self.heads_of(&memberships).await?;
        for round in 1.. {
            let rows = self.rows(&memberships, &heads, shown_at).await?;
            let after = match cursor {
                Some(cursor) => Some(after(&rows, cursor, shown_at)?),
                None => None,
            };
            let (rows, next) = cut(rows, after, size);
            let listed: Vec<Listed> = stream::iter(rows)
                .map(|row| self.listed(member, row))
                .buffered(READS_AT_ONCE)
                .try_filter_map(async |listed| Ok(listed))
                .try_collect()
                .await?;
            let newer = listed.iter().filter_map(|one| one.newer.clone());
            let newer: Vec<RoomHead> = newer.collect();
            if !newer.is_empty() && round < ROUNDS_MAX {
                heads.extend(newer.into_iter().map(|head| (head.room, head)));
                continue;
            }
            if let Some(position) = next {
                let name = (member, position.room.0);
                self.positions.insert(name, position).await;
            }
            let rooms = listed.into_iter().map(|one| one.room).collect();
            let next = next.map(|position| position.room.0);
            return Ok(RoomPage { rooms, next });
        }
        Err(RoomError::Unavailable.into()) // never: the last round returns
    }

    /// The position of the cursor's room when the page was sent; `None` if it is not cached.
    async fn shown_at(
        &self,
        member: MemberId,
        cursor: ListCursor,
    ) -> Result<Option<Position>, RoomError> {
        let Some(last_at) = cursor.last_at else {
            return Ok(self.positions.get(&(member, cursor.room)).await);
        };
        let created_at = self.created_at(cursor.room).await?;
        Ok(Some(Position {
            last_at: Reverse(last_at),
            created_at: Reverse(created_at.unwrap_or(UnixMillis::EPOCH)),
            room: Reverse(cursor.room),
        }))
    }

    /// The newest message of each of these rooms: as was noted, or as this node is about to note it;
    /// where nothing was noted, as the log itself says.
    async fn heads_of(&self, memberships: &[Membership]) -> Result<Heads, RoomError> {
        let ids: Vec<_> = memberships.iter().map(|one| one.room).collect();
        let waiting = self.log.heads.waiting(&ids);
        let noted = self.store.heads(&ids).await;
        let noted = noted.map_err(|error| self.log.unavailable("heads", &error))?;
        let mut heads: Heads = noted.into_iter().map(|head| (head.room, head)).collect();
        for head in waiting {
            if heads
                .get(&head.room)
                .is_none_or(|noted| noted.seq < head.seq)
            {
                heads.insert(head.room, head);
            }
        }
        // A room that never spoke is a recent one, or will not be looked for on the first pages.
        let silent = ids.into_iter().filter(|id| !heads.contains_key(id));
        let found: Vec<RoomHead> = stream::iter(silent.take(SILENT_MAX))
            .map(|room| self.log.newest_after(room, Seq::ZERO))
            .buffer_unordered(READS_AT_ONCE)
            .try_filter_map(async |head| Ok(head))
            .try_collect()
            .await?;
        heads.extend(found.into_iter().map(|head| (head.room, head)));
        Ok(heads)
    }

    /// The memberships with their positions. The time of creation is looked up only where it decides:
    /// for rooms without a message and among those that spoke last in the same millisecond.
    async fn rows(
        &self,
        memberships: &[Membership],
        heads: &Heads,
        cursor: Option<Position>,
    ) -> Result<Vec<Row>, RoomError> {
        let mut times = HashMap::<UnixMillis, u32>::new();
        let cursor_at = cursor.map(|position| position.last_at.0);
        for at in heads.values().map(|head| head.at).chain(cursor_at) {
            *times.entry(at).or_default() += 1;
        }
        let rows = memberships.iter().map(|one| {
            let head = heads.get(&one.room);
            let alone = head.is_some_and(|head| times.get(&head.at) == Some(&1));
            (one.clone(), head.cloned(), alone)
        });
        let rows: Vec<_> = rows.collect();
        stream::iter(rows)
            .map(async |(one, head, alone)| {
                let created_at = if alone {
                    Some(UnixMillis::EPOCH)
                } else {
                    self.created_at(one.room).await?
                };
                Ok(created_at.map(|created_at| row(&one, head, created_at)))
            })
            .buffered(READS_AT_ONCE)
            .try_filter_map(async |row| Ok(row))
            .try_collect()
            .await
    }

    /// `None` if there is no such room (yet).
    async fn created_at(&self, room: RoomId) -> Result<Option<UnixMillis>, RoomError> {
        match self.cache.room(room).await {
            Ok(room) => Ok(Some(room.created_at)),
            Err(RoomError::Unknown(_)) => Ok(None),
            Err(error @ (RoomError::NotParticipant(_) | RoomError::Unavailable)) => Err(error),
        }
    }

    /// A row as it is shown; `None` if there is no such room (yet).
    async fn listed(&self, member: MemberId, row: Row) -> Result<Option<Listed>, RoomError> {
        let room = match self.cache.room(row.room()).await {
            Ok(room) => room,
            Err(RoomError::Unknown(_)) => return Ok(None),
            Err(error @ (RoomError::NotParticipant(_) | RoomError::Unavailable)) => {
                return Err(error);
            }
        };
        let last_at = row.position.last_at.0;
        let Some(head) = &row.head else {
            let newer = self.log.newest_after(row.room(), Seq::ZERO).await?;
            let room = ListedRoom {
                room,
                last_at,
                last_text: None,
                unread: 0,
            };
            return Ok(Some(Listed { room, newer }));
        };
        let tail = self.log.tail(member, head, row.last_read).await?;
        let newer = match tail.newer {
            true => self.log.newest_after(row.room(), head.seq).await?,
            false => None,
        };
        // The hint still has the text of what was taken back.
        let text = |entry: Arc<Entry>| RoomHead::of(row.room(), &entry).text;
        let last_text = tail.newest.map_or_else(|| head.text.clone(), text);
        let room = ListedRoom {
            room,
            last_at,
            last_text: Some(last_text),
            unread: tail.unread,
        };
        Ok(Some(Listed { room, newer }))
    }
}

/// The position that a cursor stands for: where its room was shown, else where it is now.
fn after(
    rows: &[Row],
    cursor: ListCursor,
    shown_at: Option<Position>,
) -> Result<Position, PageError> {
    let now_at = || rows.iter().find(|row| row.room() == cursor.room);
    let position = shown_at.or_else(|| now_at().map(|row| row.position));
    position.ok_or(PageError::Cursor)
}

/// The rows of a page behind `after`, and the position where it ends if there are more.
fn cut(mut rows: Vec<Row>, after: Option<Position>, size: usize) -> (Vec<Row>, Option<Position>) {
    rows.retain(|row| after.is_none_or(|after| row.position > after));
    rows.sort_unstable_by_key(|row| row.position);
    let last = rows.get(size.saturating_sub(1)).map(|row| row.position);
    let next = last.filter(|_| rows.len() > size);
    rows.truncate(size);
    (rows, next)
}

impl Row {
    fn room(&self) -> RoomId {
        self.position.room.0
    }
}

fn row(membership: &Membership, head: Option<RoomHead>, created_at: UnixMillis) -> Row {
    let last_at = head.as_ref().map_or(created_at, |head| head.at);
    Row {
        position: Position {
            last_at: Reverse(last_at),
            created_at: Reverse(created_at),
            room: Reverse(membership.room),
        },
        last_read: membership.last_read,
        head,
    }
}
