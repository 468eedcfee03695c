//! Quiet rooms: hardly any traffic, so that a fault hits their last message, or their only one.
//!
//! In other rooms the next message hides what the one before it lost: data derived from the newest
//! entry would look right. Each third room is quiet; every second one of those has a message before
//! the fault, and each gets exactly one while it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::board::{Board, State, Whisper};
use super::error::FaultError;
use super::member::Order;

/// How long a message may take before the fault.
const SAID_MAX: Duration = Duration::from_secs(30);

/// A case with its own order of events takes the whispers within this time.
const HEAD_START: Duration = Duration::from_millis(100);

/// Clones give orders to the same members.
#[derive(Clone, Debug)]
pub(crate) struct Whispers {
    pub(crate) board: Board,
    pub(crate) orders: BTreeMap<u32, mpsc::Sender<Order>>,
}

/// The quiet ones of so many rooms, counted from the first.
pub(crate) fn quiet_rooms(rooms: u32) -> impl Iterator<Item = u32> {
    (0..rooms).filter(|room| room % 3 == 2)
}

impl Whispers {
    /// Selects the senders, members of the faulty node where there are some, and orders the first
    /// message of every second room.
    pub(crate) async fn begin(&self, victim: &str) -> Result<(), FaultError> {
        let whispers = self.board.with(|s| {
            let rooms: Vec<u32> = s.quiet.iter().copied().collect();
            let chosen = rooms.iter().zip([true, false].into_iter().cycle());
            let chosen = chosen.filter_map(|(room, follows)| {
                let by = speaker(s, *room, victim)?;
                let room = *room;
                Some(Whisper { room, by, follows })
            });
            s.whispers = chosen.collect();
            s.whispers.clone()
        });
        let first: Vec<Whisper> = whispers.into_iter().filter(|one| one.follows).collect();
        for whisper in &first {
            self.say(*whisper).await;
        }
        let rooms: BTreeSet<u32> = first.iter().map(|whisper| whisper.room).collect();
        let said = |s: &State| {
            let members = rooms.iter().map(|room| (room, &s.members_of[room]));
            let mut all = members.flat_map(|(room, members)| members.iter().map(|m| (*m, *room)));
            all.all(|seen| s.seen.contains_key(&seen))
        };
        self.board
            .until("quiet rooms have a message", SAID_MAX, said)
            .await
    }

    /// Takes the remaining whispers, so that they are not sent elsewhere.
    pub(crate) fn take(&self) -> Vec<Whisper> {
        self.board.with(|s| std::mem::take(&mut s.whispers))
    }

    pub(crate) async fn say(&self, whisper: Whisper) {
        let Some(member) = self.orders.get(&whisper.by) else {
            return;
        };
        self.board.with(|s| s.whispering += 1);
        // A member whose task has ended has panicked, which the end of the run reports.
        member.send(Order::Say(whisper.room)).await.ok();
    }

    /// Orders them one after the other over a time, unless a case has taken them.
    pub(crate) async fn say_within(self, while_: Duration) {
        sleep(HEAD_START).await;
        let whispers = self.take();
        let count = u32::try_from(whispers.len()).unwrap_or(u32::MAX).max(1);
        for whisper in whispers {
            self.say(whisper).await;
            sleep(while_ / count).await;
        }
    }
}

/// The sender of a quiet room.
fn speaker(state: &State, room: u32, node: &str) -> Option<u32> {
    let members = state.members_of.get(&room)?;
    let is_there = |member: &&u32| state.node_of.get(member).is_some_and(|at| at == node);
    members
        .iter()
        .find(is_there)
        .or_else(|| members.first())
        .copied()
}
