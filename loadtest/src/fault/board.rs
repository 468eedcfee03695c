//! Shared state of a running crowd: counters, positions, and which rooms deliver.
//!
//! It has only what steers and times a run; the histories that are judged stay with each member.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use shared::clock::{Clock as _, SystemClock};
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::error::FaultError;
use super::judge::SendId;
use super::wire::Refusal;

/// Unexpected events reported one by one; further ones are only counted.
const ODD_MAX: usize = 20;

/// Clones share the board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

/// State of the crowd.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Members send continuously, not only by order.
    pub(crate) traffic: bool,
    /// Rooms without continuous traffic.
    pub(crate) quiet: BTreeSet<u32>,
    /// The node of each member that is connected with all subscriptions confirmed.
    pub(crate) node_of: BTreeMap<u32, String>,
    /// The members of each room.
    pub(crate) members_of: BTreeMap<u32, Vec<u32>>,
    /// The last position a member saw of a room.
    pub(crate) seen: HashMap<(u32, u32), u64>,
    /// Sends without a receipt, of each member that has any.
    pub(crate) open: BTreeMap<u32, usize>,
    /// Messages that members were ordered to send and have not sent yet.
    pub(crate) bursting: u64,
    /// The same for quiet rooms; separate, since a member that does not read may have such an
    /// order.
    pub(crate) whispering: u64,
    /// The last messages of quiet rooms that have not been ordered yet.
    pub(crate) whispers: Vec<Whisper>,
    pub(crate) counts: Counts,
    watch: Option<Watch>,
}

/// A message that is to be the last of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whisper {
    pub(crate) room: u32,
    /// The member that sends it.
    pub(crate) by: u32,
    /// The room has a message before it.
    pub(crate) follows: bool,
}

/// Measures when every room delivers messages that were sent after a moment.
#[derive(Debug)]
struct Watch {
    since: Instant,
    /// The node from which each such send was sent.
    sends: HashMap<SendId, String>,
    /// Time until a room delivered.
    delivers: BTreeMap<u32, Duration>,
}

/// Counters of a run, in the form of the results file.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Sessions opened.
    pub(crate) connects: u64,
    /// Failed attempts, by what came instead.
    pub(crate) connects_failed: BTreeMap<String, u64>,
    /// Sessions that the server or silence ended, by close code.
    pub(crate) closes: BTreeMap<String, u64>,
    /// Logins and subscriptions refused because the store was unavailable.
    pub(crate) turned_away: u64,
    /// Sessions left after a drain notice.
    pub(crate) moved: u64,
    /// Sends, each counted once.
    pub(crate) sends: u64,
    /// Sends repeated.
    pub(crate) resends: u64,
    /// Sends that the server refused as retryable.
    pub(crate) retryable: u64,
    /// Messages seen.
    pub(crate) deliveries: u64,
    /// Subscriptions that were not recovered.
    pub(crate) unrecovered: u64,
    /// Responses that no server should give, the first few as text.
    pub(crate) odd: Vec<String>,
    pub(crate) odd_count: u64,
}

impl Board {
    /// Reads or changes the state and wakes the waiters.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.shared.changed.notify_waiters();
        result
    }

    /// Waits until the condition holds.
    ///
    /// # Errors
    /// The condition does not hold within `max`.
    pub(crate) async fn until(
        &self,
        what: &str,
        max: Duration,
        mut holds: impl FnMut(&State) -> bool,
    ) -> Result<(), FaultError> {
        let deadline = SystemClock.now() + max;
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.lock()) {
                return Ok(());
            }
            let waited = timeout_at(deadline.into(), changed).await;
            waited.map_err(|_elapsed| FaultError::InVain {
                what: what.to_owned(),
                waited: max,
            })?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The members that share a room with this one.
    pub(crate) fn neighbours_of(&self, member: u32) -> BTreeSet<u32> {
        let rooms = self.members_of.values();
        let own = rooms.filter(|members| members.contains(&member));
        let mut others: BTreeSet<u32> = own.flatten().copied().collect();
        others.remove(&member);
        others
    }

    /// Begins to measure which rooms deliver.
    pub(crate) fn watch_deliveries(&mut self, since: Instant) {
        self.watch = Some(Watch {
            since,
            sends: HashMap::new(),
            delivers: BTreeMap::new(),
        });
    }

    /// Records that a send leaves, perhaps not for the first time.
    pub(crate) fn note_send(&mut self, id: SendId, node: &str) {
        if let Some(watch) = &mut self.watch {
            watch.sends.insert(id, node.to_owned());
        }
    }

    /// Records that a member sees a message.
    pub(crate) fn note_delivery(&mut self, member: u32, room: u32, seq: u64, id: SendId) {
        self.counts.deliveries += 1;
        self.seen.insert((member, room), seq);
        let Some(watch) = &mut self.watch else { return };
        if watch.delivers.contains_key(&room) || id.member == member {
            return;
        }
        let (Some(from), Some(here)) = (watch.sends.get(&id), self.node_of.get(&member)) else {
            return;
        };
        let others = self.members_of.get(&room).into_iter().flatten();
        let mut nodes = others.filter_map(|other| self.node_of.get(other));
        let crosses = from != here || nodes.all(|node| node == here);
        if crosses {
            let took = SystemClock.now().saturating_duration_since(watch.since);
            watch.delivers.insert(room, took);
        }
    }

    /// Rooms that this member sends to at once, to probe whether they deliver. Two members of a
    /// room do that, as the connection of one may be the broken one.
    pub(crate) fn rooms_to_probe(&self, member: u32, own: &[u32]) -> Vec<u32> {
        let probes = |room: &u32| {
            let members = self.members_of.get(room);
            let ends = members.map(|members| (members.first(), members.last()));
            ends.is_some_and(|(first, last)| first == Some(&member) || last == Some(&member))
        };
        let silent = |room: &u32| {
            let watch = self.watch.as_ref();
            watch.is_some_and(|watch| !watch.delivers.contains_key(room))
        };
        let rooms = own.iter().copied();
        let rooms = rooms.filter(|room| !self.quiet.contains(room) && silent(room) && probes(room));
        if self.traffic {
            rooms.collect()
        } else {
            Vec::new()
        }
    }

    /// Whether every room with continuous traffic delivers between nodes.
    pub(crate) fn all_deliver(&self) -> bool {
        self.silent_rooms().next().is_none()
    }

    /// Rooms that do not deliver yet.
    pub(crate) fn silent_rooms(&self) -> impl Iterator<Item = u32> {
        let delivers = |room: &u32| {
            let watch = self.watch.as_ref();
            watch.is_some_and(|watch| watch.delivers.contains_key(room))
        };
        let rooms = self.members_of.keys().copied();
        rooms.filter(move |room| !self.quiet.contains(room) && !delivers(room))
    }

    /// Time until the last room delivered.
    pub(crate) fn slowest_room(&self) -> Duration {
        let watch = self.watch.as_ref();
        let times = watch.into_iter().flat_map(|watch| watch.delivers.values());
        times.max().copied().unwrap_or_default()
    }
}

impl Counts {
    /// Records a failed attempt to connect.
    pub(crate) fn note_refusal(&mut self, refusal: &Refusal) {
        if *refusal == Refusal::NotNow {
            self.turned_away += 1;
        } else {
            *self.connects_failed.entry(refusal.kind()).or_default() += 1;
        }
    }

    /// Records a response that no server should give.
    pub(crate) fn note_odd(&mut self, what: String) {
        self.odd_count += 1;
        if self.odd.len() < ODD_MAX {
            self.odd.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(nodes: [&str; 3]) -> State {
        let mut state = State::default();
        state.members_of.insert(7, vec![1, 2, 3]);
        state.node_of = (1..).zip(nodes.map(str::to_owned)).collect();
        state.watch_deliveries(SystemClock.now());
        state
    }

    const ID: SendId = SendId {
        member: 1,
        number: 1,
    };

    #[test]
    fn neighbours_share_a_room() {
        let mut state = board(["a", "a", "b"]);
        state.members_of.insert(8, vec![3, 4]);
        assert_eq!(state.neighbours_of(3), [1, 2, 4].into());
        assert_eq!(state.neighbours_of(4), [3].into());
    }

    #[test]
    fn a_room_delivers_when_another_node_hears_it() {
        let mut state = board(["a", "a", "b"]);
        state.note_send(ID, "a");
        state.note_delivery(1, 7, 1, ID);
        state.note_delivery(2, 7, 1, ID);
        assert!(!state.all_deliver(), "its own node does not count");
        state.note_delivery(3, 7, 1, ID);
        assert!(state.all_deliver());
    }

    #[test]
    fn a_room_on_one_node_delivers_when_another_member_hears_it() {
        let mut state = board(["a", "a", "a"]);
        state.note_send(ID, "a");
        state.note_delivery(1, 7, 1, ID);
        assert!(!state.all_deliver());
        state.note_delivery(2, 7, 1, ID);
        assert!(state.all_deliver());
    }

    #[test]
    fn what_was_sent_before_does_not_count() {
        let mut state = board(["a", "b", "b"]);
        state.note_delivery(2, 7, 1, ID);
        assert_eq!(state.silent_rooms().collect::<Vec<_>>(), [7]);
    }
}
