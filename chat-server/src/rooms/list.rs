//! The list of a member's rooms: the one that spoke last first.
//!
//! A place in the list is (time of the last message, time of creation, id), all falling. The first
//! front end gets one number as cursor, the last row's room, and that room may have moved to the
//! top meanwhile; so the node remembers for a while at which place it was shown. A client that
//! also sends the row's `lastMessageAt` says so itself and depends on nobody's memory.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use moka::future::Cache;
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};

use super::{PageError, RoomError, Rooms};
use crate::append::head_of;
use crate::log::Entry;
use crate::store::{Membership, Role, Room, RoomHead};

/// Times that rows are sorted anew because a record was behind. Then the rows are shown as they are:
/// the room spoke meanwhile.
const ROUNDS_MAX: u32 = 3;

/// Rooms without a noted message whose log is looked at for one list.
const SILENT_MAX: usize = 32;

/// Questions to the store at once for one list.
const READS_AT_ONCE: usize = 16;

/// How long a place is remembered: nobody waits longer with the next page.
const PLACE_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// Places remembered; each takes some 100 bytes.
const PLACES_MAX: u64 = 100_000;

/// Which rooms to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomFilter {
    /// All.
    #[default]
    All,
    /// Where the member asked about a product.
    Buyer,
    /// Where the member offers the product.
    Seller,
}

/// Where the last page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor {
    /// Its last row.
    pub room: RoomId,
    /// That row's time, if the client has kept it.
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

/// A place in the list; what is greater comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    last_at: Reverse<UnixMillis>,
    created_at: Reverse<UnixMillis>,
    room: Reverse<RoomId>,
}

/// A membership with what is known of its room's newest message.
struct Row {
    place: Place,
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

/// At which places rooms were shown last, by member.
pub(super) struct Places(Cache<(MemberId, RoomId), Place>);

impl Places {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .time_to_live(PLACE_AGE_MAX)
            .max_capacity(PLACES_MAX);
        Self(cache.build())
    }
}

impl RoomFilter {
    fn takes(self, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Buyer => role == Role::Buyer,
            Self::Seller => role == Role::Seller,
        }
    }
}

impl Rooms {
    /// `size` of the member's rooms, after the cursor. A room that does not speak meanwhile is on
    /// exactly one page of a walk.
    ///
    /// Where a room stands follows from a record that may be behind its log. So each row that is to
    /// be shown is compared with the log, which costs nothing where its end is read anyway, and so
    /// are rooms that have no record; what was behind is mended, and the rows are sorted again.
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
        let memberships = self.rooms.memberships(member).await;
        let mut memberships =
            memberships.map_err(|error| self.unavailable("memberships", &error))?;
        memberships.retain(|membership| filter.takes(membership.role));

        let shown_at = match cursor {
            Some(cursor) => self.shown_at(member, cursor).await?,
            None => None,
        };
        let mut heads = self.heads_of(&memberships).await?;
        for round in 1.. {
            let rows = self.rows(&memberships, &heads, shown_at).await?;
            let (rows, next) = cut(rows, (cursor, shown_at), size)?;
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
            if let Some(place) = next {
                let name = (member, place.room.0);
                self.places.0.insert(name, place).await;
            }
            let rooms = listed.into_iter().map(|one| one.room).collect();
            let next = next.map(|place| place.room.0);
            return Ok(RoomPage { rooms, next });
        }
        Err(RoomError::Unavailable.into()) // never: the last round returns
    }

    /// Where the cursor's room stood when the page was given, as far as anybody knows.
    async fn shown_at(
        &self,
        member: MemberId,
        cursor: ListCursor,
    ) -> Result<Option<Place>, RoomError> {
        let Some(last_at) = cursor.last_at else {
            return Ok(self.places.0.get(&(member, cursor.room)).await);
        };
        let created_at = self.created_at(cursor.room).await?;
        Ok(Some(Place {
            last_at: Reverse(last_at),
            created_at: Reverse(created_at.unwrap_or(UnixMillis::EPOCH)),
            room: Reverse(cursor.room),
        }))
    }

    /// The newest message of each of these rooms: as was noted, or as this node is about to note it;
    /// where nothing was noted, as the log itself says.
    async fn heads_of(&self, memberships: &[Membership]) -> Result<Heads, RoomError> {
        let ids: Vec<_> = memberships.iter().map(|one| one.room).collect();
        let waiting = self.heads.waiting(&ids);
        let noted = self.rooms.heads(&ids).await;
        let noted = noted.map_err(|error| self.unavailable("heads", &error))?;
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
            .map(|room| self.newest_after(room, Seq::ZERO))
            .buffer_unordered(READS_AT_ONCE)
            .try_filter_map(async |head| Ok(head))
            .try_collect()
            .await?;
        heads.extend(found.into_iter().map(|head| (head.room, head)));
        Ok(heads)
    }

    /// The memberships with their places. The time of creation is looked up only where it decides:
    /// for rooms without a message and among those that spoke last in the same millisecond.
    async fn rows(
        &self,
        memberships: &[Membership],
        heads: &Heads,
        cursor: Option<Place>,
    ) -> Result<Vec<Row>, RoomError> {
        let mut times = HashMap::<UnixMillis, u32>::new();
        let cursor_at = cursor.map(|place| place.last_at.0);
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
        match self.known(room).await {
            Ok(known) => Ok(Some(known.room.created_at)),
            Err(RoomError::Unknown(_)) => Ok(None),
            Err(error @ (RoomError::NotParticipant(_) | RoomError::Unavailable)) => Err(error),
        }
    }

    /// A row as it is shown; `None` if there is no such room (yet).
    async fn listed(&self, member: MemberId, row: Row) -> Result<Option<Listed>, RoomError> {
        let room = match self.known(row.room()).await {
            Ok(known) => known.room,
            Err(RoomError::Unknown(_)) => return Ok(None),
            Err(error @ (RoomError::NotParticipant(_) | RoomError::Unavailable)) => {
                return Err(error);
            }
        };
        let last_at = row.place.last_at.0;
        let Some(head) = &row.head else {
            let newer = self.newest_after(row.room(), Seq::ZERO).await?;
            let room = ListedRoom {
                room,
                last_at,
                last_text: None,
                unread: 0,
            };
            return Ok(Some(Listed { room, newer }));
        };
        let tail = self.tail(member, head, row.last_read).await?;
        let newer = match tail.newer {
            true => self.newest_after(row.room(), head.seq).await?,
            false => None,
        };
        // The hint still has the text of what was taken back.
        let text = |entry: Arc<Entry>| head_of(row.room(), &entry).text;
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

/// The rows of a page, and the place where it ends if there are more.
fn cut(
    mut rows: Vec<Row>,
    (cursor, shown_at): (Option<ListCursor>, Option<Place>),
    size: usize,
) -> Result<(Vec<Row>, Option<Place>), PageError> {
    if let Some(cursor) = cursor {
        let now_at = || rows.iter().find(|row| row.room() == cursor.room);
        let place = shown_at.or_else(|| now_at().map(|row| row.place));
        let place = place.ok_or(PageError::Cursor)?;
        rows.retain(|row| row.place > place);
    }
    rows.sort_unstable_by_key(|row| row.place);
    let last = rows.get(size.saturating_sub(1)).map(|row| row.place);
    let next = last.filter(|_| rows.len() > size);
    rows.truncate(size);
    Ok((rows, next))
}

impl Row {
    fn room(&self) -> RoomId {
        self.place.room.0
    }
}

fn row(membership: &Membership, head: Option<RoomHead>, created_at: UnixMillis) -> Row {
    let last_at = head.as_ref().map_or(created_at, |head| head.at);
    Row {
        place: Place {
            last_at: Reverse(last_at),
            created_at: Reverse(created_at),
            room: Reverse(membership.room),
        },
        last_read: membership.last_read,
        head,
    }
}
