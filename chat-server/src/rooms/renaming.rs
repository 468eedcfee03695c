//! The name of a closed account in the rooms themselves, which store what a member was called when
//! the room was made: readers get it where there is no profile to read.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::ids::{MemberId, RoomId};

use super::{GATES, RoomError, Rooms};
use crate::store::{Room, StoreError};

/// Rooms that are changed at a time.
const ROOMS_AT_ONCE: usize = 8;

impl Rooms {
    /// Gives the member this name and no picture in every room of theirs. Idempotent: what is done
    /// already costs a read.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`]: some rooms may be changed. Again is harmless.
    pub async fn rename(&self, member: MemberId, name: &str) -> Result<(), RoomError> {
        let memberships = self.store.memberships(member).await;
        let memberships =
            memberships.map_err(|error| self.errors.unavailable("memberships", &error))?;
        stream::iter(memberships)
            .map(async |membership| {
                let renamed = self.rename_in(membership.room, member, name).await;
                renamed.map_err(|error| self.errors.unavailable("put_room", &error))
            })
            .buffer_unordered(ROOMS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn rename_in(&self, id: RoomId, member: MemberId, name: &str) -> Result<(), StoreError> {
        let _gate = self.gates[id.get() as usize % GATES].lock().await;
        let Some(mut room) = self.store.room(id).await? else {
            return Ok(());
        };
        if !rename_in(&mut room, member, name) {
            return Ok(());
        }
        let put = self.store.put_room(&room).await;
        if put.is_ok() {
            self.cache.put(&Arc::new(room), self.clock.now()).await;
            self.publish_change(id);
        } else {
            self.tell_of_change(id).await; // it may have changed all the same
        }
        put
    }
}

/// Whether that changed anything.
fn rename_in(room: &mut Room, member: MemberId, name: &str) -> bool {
    let mut members = room.members.iter_mut();
    let Some(found) = members.find(|one| one.member_id == member) else {
        return false;
    };
    if found.name == name && found.image_url.is_none() {
        return false;
    }
    name.clone_into(&mut found.name);
    found.image_url = None;
    true
}
