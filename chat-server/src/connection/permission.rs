//! Permission to write into a room, and to be shown typing there.
//!
//! Caches answer nearly always, without a wait. A connection keeps what they have answered for the rooms
//! that it writes to: one comparison for a SEND instead of a look-up in each of three caches.

use std::sync::Arc;
use std::time::Instant;

use shared::ids::{MemberId, RoomId};

use super::error::ClientError;
use super::services::Services;
use crate::aged_cache::{Dated, earlier};
use crate::auth::Identity;
use crate::store::Room;

/// Rooms that a connection keeps its permission for. People write to one, perhaps two at a time.
const KEPT_MAX: usize = 4;

/// Permission of a login to write into a room, by what caches have answered.
#[derive(Debug)]
pub(super) struct Permit {
    room: Arc<Room>,
    sender: Arc<Identity>,
    /// The caches' generation, read before their values: a different one invalidates the permit.
    generation: u64,
    /// When the oldest of the cached values ends.
    ends_at: Option<Instant>,
}

/// The permits that a connection keeps.
#[derive(Debug, Default)]
pub(super) struct Permits(Vec<Permit>);

impl Permit {
    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    fn is_valid(&self, sender: &Arc<Identity>, generation: u64, now: Instant) -> bool {
        // A fresh token is another login, perhaps of another session.
        Arc::ptr_eq(&self.sender, sender)
            && self.generation == generation
            && self.ends_at.is_some_and(|ends_at| now < ends_at)
    }
}

impl Permits {
    /// The room, if this login may write there still.
    pub(super) fn get(
        &mut self,
        services: &Services,
        room: RoomId,
        sender: &Arc<Identity>,
    ) -> Option<Arc<Room>> {
        if self.0.is_empty() {
            return None;
        }
        let (generation, now) = (generation(services), services.clock.now());
        let is_valid = |permit: &Permit| permit.is_valid(sender, generation, now);
        // Nothing is kept of what has changed: the room may be a large one.
        self.0.retain(is_valid);
        let mut kept = self.0.iter();
        let permit = kept.find(|permit| permit.room.room_id == room)?;
        Some(Arc::clone(&permit.room))
    }

    /// Keeps a permit in the place of the oldest one.
    pub(super) fn keep(&mut self, permit: Permit) {
        self.0
            .retain(|kept| kept.room.room_id != permit.room.room_id);
        if self.0.len() == KEPT_MAX {
            self.0.remove(0);
        }
        self.0.reserve_exact(1);
        self.0.push(permit);
    }
}

/// Changes with every change of what permits depend on.
fn generation(services: &Services) -> u64 {
    let rooms = services.rooms.generation();
    services.members.generation().wrapping_add(rooms)
}

/// The permit of this login, if the member may write into the room.
pub(super) async fn permit(
    services: &Services,
    room: RoomId,
    sender: &Arc<Identity>,
) -> Result<Permit, ClientError> {
    // Read first: a change during the look-ups then yields a different generation.
    let generation = generation(services);
    let account = services.members.check_dated(sender).await?;
    let room = writable(services, room, sender.member).await?;
    Ok(Permit {
        room: room.value,
        sender: Arc::clone(sender),
        generation,
        ends_at: earlier(account.ends_at, room.ends_at),
    })
}

/// The room, if the member may write there; the member's account was checked.
pub(super) async fn may_write_in(
    services: &Services,
    room: RoomId,
    member: MemberId,
) -> Result<Arc<Room>, ClientError> {
    Ok(writable(services, room, member).await?.value)
}

/// The same, and until when that may be kept.
async fn writable(
    services: &Services,
    room: RoomId,
    member: MemberId,
) -> Result<Dated<Arc<Room>>, ClientError> {
    let room = services.rooms.access_dated(room, member).await?;
    let Some(other) = room.value.counterpart(member) else {
        return Ok(room);
    };
    let members = &services.members;
    let separated = members.are_separated_dated(member, other.member_id).await?;
    // One has blocked the other, in a room of two.
    if separated.value {
        return Err(ClientError::SEPARATED);
    }
    Ok(Dated {
        ends_at: earlier(room.ends_at, separated.ends_at),
        value: room.value,
    })
}

/// The room, if it is shown that the member types: it is not shown to one from whom the member is
/// separated.
pub(super) async fn shows_typing(
    services: &Services,
    room: RoomId,
    sender: &Identity,
) -> Result<Option<RoomId>, ClientError> {
    services.members.check(sender).await?;
    match may_write_in(services, room, sender.member).await {
        Ok(_) => Ok(Some(room)),
        Err(ClientError::SEPARATED) => Ok(None),
        Err(error) => Err(error),
    }
}
