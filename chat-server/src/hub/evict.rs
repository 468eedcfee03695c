//! Ending the subscriptions of those who are not in a room any more.
//!
//! Who is in it, the hub does not know; it knows who follows.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shared::ids::{MemberId, RoomId};

use super::Hub;
use crate::log::Topic;

impl Hub {
    /// The members who follow anything of a room on this node.
    #[must_use]
    pub fn members_following(&self, room: RoomId) -> HashSet<MemberId> {
        let live = self.live(Topic::Room(room));
        live.map(|live| live.members()).unwrap_or_default()
    }

    /// These members are not in the room any more: their connections here end what follows it.
    pub fn evict(&self, room: RoomId, members: &HashSet<MemberId>) {
        if let Some(live) = self.live(Topic::Room(room)) {
            live.evict(room, members);
        }
    }

    /// The rooms followed here whose followers were compared with their members too long ago;
    /// `age` says how long that is for a room.
    #[must_use]
    pub fn rooms_to_compare(&self, now: Instant, age: impl Fn(RoomId) -> Duration) -> Vec<RoomId> {
        let rooms = self.parts.topics.iter().filter_map(|live| {
            let Topic::Room(room) = live.topic() else {
                return None;
            };
            let is_due = live
                .compared_at()
                .is_none_or(|at| now.saturating_duration_since(at) >= age(room));
            is_due.then_some(room)
        });
        rooms.collect()
    }

    /// The followers of a room were compared with its members as they were at this moment.
    pub fn note_compared(&self, room: RoomId, at: Instant) {
        if let Some(live) = self.live(Topic::Room(room)) {
            live.set_compared_at(at);
        }
    }
}
