//! Tables of rooms, memberships, read marks and the newest message of each room.
//!
//! A room is one cell, so of two concurrent writes one stays whole. Memberships are rows of many
//! partitions that follow it: a writer puts the room, then reads the stored one, and makes the
//! memberships follow that, under the timestamp of its write. `once_in` has all members whose
//! membership may still be shown; concurrent writes add to a set without conflict, so each writer's
//! members are in it, and the last one to read sees all. In whatever order the writes arrive, the
//! memberships end as in the stored room.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::value::CqlTimestamp;
use shared::ids::{MemberId, RoomId, Seq};

use super::client::Client;
use super::fault::{Effect, corrupt};
use super::rows::{number, position};
use crate::store::{Membership, Role, Room, RoomHead, StoreError, record};

/// Writing a room, in multiples of one request's time-out: up to a thousand memberships and as many
/// former ones, 32 at a time.
const PUT_ANSWERS: u32 = 8;

/// Requests of one call that are under way at a time.
const AT_ONCE_MAX: usize = 32;

/// Reading the heads of a list, likewise: a page of rooms, 32 at a time.
const HEADS_ANSWERS: u32 = 4;

/// The tables of rooms.
pub(super) struct RoomTables {
    client: Arc<Client>,
}

/// A stored room, and the members whose memberships have to follow it.
struct ToFollow {
    room: Room,
    written: i64,
    once_in: HashSet<i32>,
}

impl RoomTables {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    pub(super) async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        let rows = self
            .client
            .rows(&self.client.statements().room, (number(room.get()),))
            .await?;
        let found = rows.maybe_first_row::<(Option<&[u8]>,)>();
        let found = found.map_err(|error| corrupt("a room", error))?;
        let stored = found.and_then(|(stored,)| stored);
        stored.map(record::decode_room).transpose()
    }

    pub(super) async fn put(&self, room: &Room) -> Result<(), StoreError> {
        let put = self.put_and_follow(room);
        self.client.within(PUT_ANSWERS, Effect::Writes, put).await
    }

    async fn put_and_follow(&self, room: &Room) -> Result<(), StoreError> {
        let id = number(room.room_id.get());
        let members: HashSet<i32> = ids(room);
        let encoded = record::encode_room(room);
        let values = (self.client.next_stamp(), encoded.as_slice(), &members, id);
        self.client
            .write(&self.client.statements().put_room, values)
            .await?;
        let now = self.room_to_follow(id).await.map_err(half_done)?;
        self.follow(now).await.map_err(half_done)
    }

    async fn room_to_follow(&self, id: i32) -> Result<ToFollow, StoreError> {
        let rows = self
            .client
            .rows(&self.client.statements().room_to_follow, (id,))
            .await?;
        let row = rows.single_row::<(Option<&[u8]>, Option<i64>, Option<HashSet<i32>>)>();
        let (room, written, once_in) = row.map_err(|error| corrupt("a room", error))?;
        let missing = || corrupt("a room", "just written, not there");
        Ok(ToFollow {
            room: record::decode_room(room.ok_or_else(missing)?)?,
            written: written.ok_or_else(missing)?,
            once_in: once_in.unwrap_or_default(),
        })
    }

    async fn follow(&self, now: ToFollow) -> Result<(), StoreError> {
        let ToFollow {
            room,
            written,
            mut once_in,
        } = now;
        let id = number(room.room_id.get());
        let shown = room.members.iter().map(|member| {
            let role = record::role_code(member.role).cast_signed();
            (number(member.member_id.get()), Some(role))
        });
        for member in ids(&room) {
            once_in.remove(&member);
        }
        let hidden = once_in.iter().map(|member| (*member, None));
        let memberships: Vec<(i32, Option<i8>)> = shown.chain(hidden).collect();
        stream::iter(memberships)
            .map(|(member, role)| self.write_membership(written, id, member, role))
            .buffer_unordered(AT_ONCE_MAX)
            .try_collect::<()>()
            .await?;
        if once_in.is_empty() {
            return Ok(());
        }
        // Under the same timestamp: a member who is added again later is in the set again.
        let values = (written, &once_in, id);
        self.client
            .write(&self.client.statements().forget_left, values)
            .await
    }

    async fn write_membership(
        &self,
        written: i64,
        room: i32,
        member: i32,
        role: Option<i8>,
    ) -> Result<(), StoreError> {
        match role {
            Some(role) => {
                let values = (written, role, member, room);
                self.client
                    .write(&self.client.statements().show_membership, values)
                    .await
            }
            None => {
                let values = (written, member, room);
                self.client
                    .write(&self.client.statements().hide_membership, values)
                    .await
            }
        }
    }

    pub(super) async fn memberships(
        &self,
        member: MemberId,
    ) -> Result<Vec<Membership>, StoreError> {
        type Stored = (i32, Option<i8>, Option<bool>, Option<i32>);
        const WHAT: &str = "a membership";
        let member = (number(member.get()),);
        let rows = self
            .client
            .rows(&self.client.statements().memberships, member)
            .await?;
        let rows = rows
            .rows::<Stored>()
            .map_err(|error| corrupt(WHAT, error))?;
        let mut memberships = Vec::new();
        for row in rows {
            let (room, role, hidden, mark) = row.map_err(|error| corrupt(WHAT, error))?;
            // Without either it is only a read mark.
            let (Some(role), Some(false)) = (role, hidden) else {
                continue;
            };
            let room = i64::from(room).try_into();
            memberships.push(Membership {
                room: room.map_err(|error| corrupt(WHAT, error))?,
                role: role_of(role)?,
                last_read: mark.map_or(Ok(Seq::ZERO), |mark| position(WHAT, mark))?,
            });
        }
        Ok(memberships)
    }

    pub(super) async fn last_read(
        &self,
        member: MemberId,
        room: RoomId,
    ) -> Result<Seq, StoreError> {
        const WHAT: &str = "a read mark";
        let key = (number(member.get()), number(room.get()));
        let rows = self
            .client
            .rows(&self.client.statements().last_read, key)
            .await?;
        let mark = rows.maybe_first_row::<(Option<i32>,)>();
        let mark = mark.map_err(|error| corrupt(WHAT, error))?;
        let mark = mark.and_then(|(mark,)| mark);
        mark.map_or(Ok(Seq::ZERO), |mark| position(WHAT, mark))
    }

    pub(super) async fn mark_read(
        &self,
        member: MemberId,
        room: RoomId,
        seq: Seq,
    ) -> Result<(), StoreError> {
        if seq == Seq::ZERO {
            return Ok(()); // the position of a mark that was never moved
        }
        let values = (
            i64::from(seq.get()),
            number(seq.get()),
            number(member.get()),
            number(room.get()),
        );
        let statement = &self.client.statements().mark_read;
        self.client.write(statement, values).await
    }

    pub(super) async fn note_head(&self, head: &RoomHead) -> Result<(), StoreError> {
        let values = (
            i64::from(head.seq.get()),
            number(head.seq.get()),
            head.text.as_str(),
            CqlTimestamp(head.at.get()),
            number(head.room.get()),
        );
        let statement = &self.client.statements().note_head;
        self.client.write(statement, values).await
    }

    pub(super) async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        let heads = stream::iter(rooms.to_vec())
            .map(|room| self.head(room))
            .buffer_unordered(AT_ONCE_MAX)
            .try_filter_map(async |head| Ok(head))
            .try_collect();
        self.client.within(HEADS_ANSWERS, Effect::None, heads).await
    }

    /// The noted newest message of a room. The record is a cache of the log: an unreadable one is logged
    /// and counts as missing, so that readers read the log, which writes it again.
    pub(super) async fn head(&self, room: RoomId) -> Result<Option<RoomHead>, StoreError> {
        let rows = self
            .client
            .rows(&self.client.statements().room_head, (number(room.get()),))
            .await?;
        let found = rows.maybe_first_row::<StoredHead<'_>>();
        let read = found.map_err(|error| corrupt(HEAD, error));
        let head = read.and_then(|found| found.map_or(Ok(None), |stored| head_of(room, stored)));
        Ok(head.unwrap_or_else(|error| {
            tracing::error!(room.id = %room, "room {room} is read from its log: {error}");
            None
        }))
    }
}

/// Position, text and time of a room's newest message.
type StoredHead<'a> = (Option<i32>, Option<&'a str>, Option<CqlTimestamp>);

const HEAD: &str = "a room's head";

fn head_of(room: RoomId, (seq, text, at): StoredHead<'_>) -> Result<Option<RoomHead>, StoreError> {
    let Some(seq) = seq else { return Ok(None) };
    let at = at.ok_or_else(|| corrupt(HEAD, "no time"))?.0;
    Ok(Some(RoomHead {
        room,
        seq: position(HEAD, seq)?,
        text: text.unwrap_or_default().to_owned(),
        at: at.try_into().map_err(|error| corrupt(HEAD, error))?,
    }))
}

fn ids(room: &Room) -> HashSet<i32> {
    let members = room.members.iter();
    members
        .map(|member| number(member.member_id.get()))
        .collect()
}

fn role_of(code: i8) -> Result<Role, StoreError> {
    let role = record::role_of(code.cast_unsigned());
    role.ok_or_else(|| corrupt("a membership", format!("unknown role {code}")))
}

/// Error after the room was written: whether its memberships were written is unknown.
fn half_done(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) => StoreError::Unknown(why),
        other @ (StoreError::Unknown(_) | StoreError::Corrupt(_)) => other,
    }
}
