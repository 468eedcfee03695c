//! Comparing who follows a room with who is in it.
//!
//! Whoever is put out of a room is told at once by an event, which may be lost. So every room that
//! is followed here is read anew once a minute, and then who is not in it any more follows no more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use shared::ids::{MemberId, RoomId};

use super::{CACHE_AGE_MAX, Known, RoomError, Rooms};

/// How often [`Rooms::compare_due`] is to be called.
pub const COMPARE_TICK: Duration = Duration::from_secs(5);

/// Rooms that are due are spread over this many ticks, or all of a node that was just started would
/// be due at once for ever.
const SPREAD_TICKS: u32 = 6;

/// Rooms read at a time.
const READS_AT_ONCE: usize = 16;

impl Rooms {
    /// Compares the followers of the rooms for which it is time: no room that is followed is looked
    /// at less often than every [`CACHE_AGE_MAX`], if this is called every [`COMPARE_TICK`]. While
    /// the store is away everybody stays.
    pub async fn compare_due(&self) {
        let due = self.hub.rooms_to_compare(self.clock.now(), age_max);
        // What fails is due again at the next tick.
        let comparing = stream::iter(due).for_each_concurrent(READS_AT_ONCE, async |room| {
            self.compare(room).await.ok();
        });
        comparing.await;
    }

    /// Reads the room anew, and ends what members follow of it here who are not in it.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`]: the store does not answer now; everybody stays.
    pub async fn compare(&self, room: RoomId) -> Result<(), RoomError> {
        // Before the store is asked: who follows now was in the room before, so who is not in what
        // the store says later has left.
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

    /// Who of these is not in the room.
    async fn gone(
        &self,
        room: RoomId,
        mut members: HashSet<MemberId>,
        read_at: Instant,
    ) -> Result<HashSet<MemberId>, RoomError> {
        // Past the cache, and past those who ask it now: their question may have begun too early.
        let found = self.rooms.room(room).await;
        match found.map_err(|error| self.unavailable("room", &error))? {
            Some(found) => {
                for member in &found.members {
                    members.remove(&member.member_id);
                }
                let known = Known {
                    room: Arc::new(found),
                    read_at,
                };
                self.cache.insert(room, known).await;
            }
            None => self.cache.invalidate(&room).await,
        }
        Ok(members)
    }
}

/// The greatest age, less what the ticks may add, less the room's part of the spread.
fn age_max(room: RoomId) -> Duration {
    CACHE_AGE_MAX - COMPARE_TICK * (1 + room.get() % SPREAD_TICKS)
}
