//! Permission to write into a room, and to be shown typing there.
//!
//! Caches answer nearly always, without a wait.

use std::sync::Arc;

use shared::ids::{MemberId, RoomId};

use super::error::ClientError;
use super::services::Services;
use crate::auth::Identity;
use crate::store::Room;

/// The room, if the member may write there.
pub(super) async fn may_write(
    services: &Services,
    room: RoomId,
    sender: &Identity,
) -> Result<Arc<Room>, ClientError> {
    services.members.check(sender).await?;
    may_write_in(services, room, sender.member).await
}

/// The same for a member whose account was checked.
pub(super) async fn may_write_in(
    services: &Services,
    room: RoomId,
    member: MemberId,
) -> Result<Arc<Room>, ClientError> {
    let room = services.rooms.access(room, member).await?;
    if is_separated(services, &room, member).await? {
        return Err(ClientError::SEPARATED);
    }
    Ok(room)
}

/// The room, if it is shown that the member types: it is not shown to one from whom the member is
/// separated.
pub(super) async fn shows_typing(
    services: &Services,
    room: RoomId,
    sender: &Identity,
) -> Result<Option<RoomId>, ClientError> {
    match may_write(services, room, sender).await {
        Ok(_) => Ok(Some(room)),
        Err(ClientError::SEPARATED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the room has two members of whom one has blocked the other.
async fn is_separated(
    services: &Services,
    room: &Room,
    member: MemberId,
) -> Result<bool, ClientError> {
    let Some(other) = room.counterpart(member) else {
        return Ok(false);
    };
    let separated = services.members.are_separated(member, other.member_id);
    Ok(separated.await?)
}
