//! Periodic reconciliation of subscriptions with memberships.
//!
//! The event that unsubscribes a removed member may be lost between nodes. So every room with subscribers
//! on this node is read again once a minute, and members who have left it are unsubscribed.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use shared::clock::Clock;
use shared::ids::{MemberId, RoomId};

use super::RoomError;
use super::cache::{CACHE_AGE_MAX, RoomCache};
use crate::hub::Hub;
use crate::metrics::Metrics;

/// How often [`Reconciler::compare_due`] is to be called.
pub const COMPARE_TICK: Duration = Duration::from_secs(5);

/// Rooms that are due are spread over this many ticks, or all of a node that was just started would
/// be due at once for ever.
const SPREAD_TICKS: u32 = 6;

/// Rooms read at a time.
const READS_AT_ONCE: usize = 16;

/// Compares a room's subscribers on this node with its members.
pub struct Reconciler {
    pub(super) hub: Hub,
    pub(super) cache: RoomCache,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconciler").finish_non_exhaustive()
    }
}

impl Reconciler {
    /// Compares the rooms that are due: each room with subscribers at least once every
    /// [`CACHE_AGE_MAX`], if this is called every [`COMPARE_TICK`]. While the store is unavailable
    /// no member is unsubscribed.
    pub async fn compare_due(&self) {
        let due = self.hub.rooms_to_compare(self.clock.now(), age_max);
        // What fails is due again at the next tick.
        let comparing = stream::iter(due).for_each_concurrent(READS_AT_ONCE, async |room| {
            self.compare(room).await.ok();
        });
        comparing.await;
    }

    /// Reads the room again, and unsubscribes the members on this node that are not in it.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`]: the store does not answer now; no member is unsubscribed.
    pub async fn compare(&self, room: RoomId) -> Result<(), RoomError> {
        // Listed before the room is read: a subscriber of now was a member before, so a member
        // missing from the later read has left.
        let following = self.hub.members_following(room);
        let now = self.clock.now();
        if !following.is_empty() {
            let gone = self.gone(room, following, now).await?;
            self.metrics.evict.inc_by(gone.len() as u64);
            self.hub.evict(room, &gone);
        }
        self.hub.note_compared(room, now);
        Ok(())
    }

    /// The subset of `members` that is not in the room.
    async fn gone(
        &self,
        room: RoomId,
        mut members: HashSet<MemberId>,
        read_at: Instant,
    ) -> Result<HashSet<MemberId>, RoomError> {
        // Past the cache, and past concurrent reads of it: those may have begun too early.
        if let Some(found) = self.cache.read_again(room, read_at).await? {
            for member in &found.members {
                members.remove(&member.member_id);
            }
        }
        Ok(members)
    }
}

/// The greatest age, less what the ticks may add, less the room's part of the spread.
fn age_max(room: RoomId) -> Duration {
    CACHE_AGE_MAX - COMPARE_TICK * (1 + room.get() % SPREAD_TICKS)
}
