//! Presence in rooms: publishes to a member's rooms that the member came online or went offline.
//!
//! A room of two of whom one has blocked the other is not shown it.
//!
//! It runs beside logins, a few members at a time, and may drop changes: a client that opens a room
//! reads its members' presence.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::ids::{MemberId, RoomId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::cache::RoomCache;
use super::{RoomError, StoreErrors};
use crate::hub::Hub;
use crate::log::RoomEvent;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::presence::PresenceChange;
use crate::store::RoomStore;

/// Members whose rooms are read from the store at a time.
const READS_AT_ONCE: usize = 4;

/// Rooms of a member that are shown the change. The others find it when they are opened.
const ROOMS_MAX: usize = 500;

/// Events published without a pause: a tenth of what the bus can have waiting, so that entries are
/// not delayed behind them.
const BURST: usize = 1_600;

/// After a burst: what the bus sends within this time is several times a burst.
const PAUSE: Duration = Duration::from_millis(50);

/// Publisher of changes of presence.
#[derive(Clone)]
pub struct PresenceFeed {
    pub(super) store: Arc<dyn RoomStore>,
    pub(super) cache: RoomCache,
    pub(super) hub: Hub,
    pub(super) metrics: Arc<Metrics>,
    pub(super) errors: StoreErrors,
}

impl PresenceFeed {
    /// Publishes changes to the rooms of their members, in order, until there is no sender.
    pub async fn follow(&self, changes: mpsc::Receiver<PresenceChange>, members: &Members) {
        let each = stream::unfold(changes, async |mut changes| {
            let change = changes.recv().await?;
            Some((change, changes))
        });
        let read = each.map(async |change| {
            let (member, event) = event(change);
            (self.rooms_shown(member, members).await, event)
        });
        let mut read = std::pin::pin!(read.buffered(READS_AT_ONCE));
        let mut published = 0;
        while let Some((rooms, event)) = read.next().await {
            let Some(rooms) = rooms else {
                self.metrics.presence.dropped.inc();
                continue;
            };
            published += rooms.len();
            for room in rooms {
                self.hub.publish_event(room, event);
            }
            self.metrics.presence.shown.inc();
            if published >= BURST {
                published = 0;
                sleep(PAUSE).await;
            }
        }
    }

    /// The member's rooms that are shown a change; `None` while the store does not answer.
    async fn rooms_shown(&self, member: MemberId, members: &Members) -> Option<Vec<RoomId>> {
        let memberships = match self.store.memberships(member).await {
            Ok(memberships) => memberships,
            Err(error) => {
                self.errors.note("memberships", &error);
                return None;
            }
        };
        let rooms = memberships.into_iter().map(|membership| membership.room);
        let mut rooms: Vec<RoomId> = rooms.take(ROOMS_MAX).collect();
        if members.has_separations(member).await.ok()? {
            let mut shown = Vec::with_capacity(rooms.len());
            for room in rooms {
                if self.is_shown(room, member, members).await? {
                    shown.push(room);
                }
            }
            rooms = shown;
        }
        Some(rooms)
    }

    /// Whether the room is shown the member's presence; `None` while the store does not answer.
    async fn is_shown(&self, room: RoomId, member: MemberId, members: &Members) -> Option<bool> {
        let room = match self.cache.room(room).await {
            Ok(room) => room,
            Err(RoomError::Unknown(_) | RoomError::NotParticipant(_)) => return Some(false),
            Err(RoomError::Unavailable) => return None,
        };
        let Some(other) = room.counterpart(member) else {
            return Some(true);
        };
        let separated = members.are_separated(member, other.member_id).await.ok()?;
        Some(!separated)
    }
}

fn event(change: PresenceChange) -> (MemberId, RoomEvent) {
    match change {
        PresenceChange::Online(member_id) => (member_id, RoomEvent::Online { member_id }),
        PresenceChange::Offline(member_id) => (member_id, RoomEvent::Offline { member_id }),
    }
}

impl fmt::Debug for PresenceFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceFeed").finish_non_exhaustive()
    }
}
