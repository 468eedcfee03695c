//! Members of this node, and those whose registration is to be written.
//!
//! The queue holds members, not changes: a write carries the state at the time it is sent, so many
//! changes of a member cost one write. It is bounded; what does not fit is written with the next
//! renewal, or expires.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use shared::ids::MemberId;
use tokio::sync::Notify;

use crate::presence::changes::Departures;

/// Members that wait for their write: about all of a node, after the registry was away.
const QUEUE_MAX: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Members {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    here: HashSet<MemberId>,
    queue: VecDeque<MemberId>,
    queued: HashSet<MemberId>,
    /// Members whose write has been sent, in a session that may end before the answer.
    under_way: Vec<MemberId>,
    departures: Departures,
}

/// A registration to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// The member is connected here.
    Register(MemberId),
    /// The member is not.
    Remove(MemberId),
}

impl Write {
    pub(super) fn member(self) -> MemberId {
        match self {
            Self::Register(member) | Self::Remove(member) => member,
        }
    }
}

impl Members {
    /// Returns whether the change will be announced.
    pub(super) fn connected(&self, member: MemberId) -> bool {
        let mut state = self.lock();
        state.here.insert(member);
        let fits = state.enqueue(member);
        drop(state);
        self.changed.notify_one();
        fits
    }

    /// Returns whether the change will be announced.
    pub(super) fn disconnected(&self, member: MemberId, due: Instant) -> bool {
        let mut state = self.lock();
        state.here.remove(&member);
        let fits = state.enqueue(member) & state.departures.push(due, member);
        drop(state);
        self.changed.notify_one();
        fits
    }

    /// Nobody is connected here any more.
    pub(super) fn disconnect_all(&self) {
        let mut state = self.lock();
        for member in std::mem::take(&mut state.here) {
            state.enqueue(member);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next writes, at most `max`. They are under way until [`Members::finish`], or until
    /// [`Members::take_back`] when their session has ended before.
    pub(super) fn take(&self, max: usize) -> Vec<Write> {
        let mut state = self.lock();
        let count = state.queue.len().min(max);
        let members: Vec<_> = state.queue.drain(..count).collect();
        state.under_way.clone_from(&members);
        let write = |member| {
            state.queued.remove(&member);
            if state.here.contains(&member) {
                Write::Register(member)
            } else {
                Write::Remove(member)
            }
        };
        members.into_iter().map(write).collect()
    }

    /// The writes under way are done, but for those of `failed`, which are queued again.
    pub(super) fn finish(&self, failed: Vec<MemberId>) {
        let mut state = self.lock();
        state.under_way = failed;
        state.take_back();
    }

    /// The outcome of writes under way will not be known: queues them again.
    pub(super) fn take_back(&self) {
        self.lock().take_back();
    }

    /// All members here, for a renewal.
    pub(super) fn all(&self) -> Vec<MemberId> {
        self.lock().here.iter().copied().collect()
    }

    /// Takes up to `max` members off the end of `left` that are still to be renewed: those here
    /// without a write of their own.
    pub(super) fn renewable(&self, left: &mut Vec<MemberId>, max: usize) -> Vec<MemberId> {
        let some = left.split_off(left.len().saturating_sub(max));
        let state = self.lock();
        let is_due =
            |member: &MemberId| state.here.contains(member) && !state.queued.contains(member);
        some.into_iter().filter(is_due).collect()
    }

    /// Up to `max` members whose grace is over and who are not back here; `None` if none is due.
    pub(super) fn take_departed(&self, now: Instant, max: usize) -> Option<Vec<MemberId>> {
        let mut state = self.lock();
        let mut due = state.departures.take_due(now, max);
        let is_any = !due.is_empty();
        due.retain(|member| !state.here.contains(member));
        is_any.then_some(due)
    }

    /// Ends when there may be something to write.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_back(&mut self) {
        for member in std::mem::take(&mut self.under_way) {
            self.enqueue(member);
        }
    }

    fn enqueue(&mut self, member: MemberId) -> bool {
        if self.queued.contains(&member) {
            return true;
        }
        let fits = self.queue.len() < QUEUE_MAX;
        if fits {
            self.queue.push_back(member);
            self.queued.insert(member);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    fn member(id: u64) -> MemberId {
        MemberId::try_from(id).unwrap()
    }

    #[test]
    fn many_changes_of_a_member_are_one_write() {
        let (members, now) = (Members::default(), SystemClock.now());
        members.connected(member(1));
        members.connected(member(2));
        members.disconnected(member(1), now);
        members.connected(member(1));
        members.disconnected(member(2), now);
        let writes = [Write::Register(member(1)), Write::Remove(member(2))];
        assert_eq!(members.take(9), writes);
        members.finish(vec![member(2)]);
        assert_eq!(members.take(9), [Write::Remove(member(2))]);
        members.take_back();
        members.connected(member(2));
        assert_eq!(members.take(9), [Write::Register(member(2))]);
        members.finish(vec![]);
        members.disconnected(member(2), now);
        assert!(
            members
                .take_departed(now, 9)
                .is_some_and(|all| all.ends_with(&[member(2)]))
        );
        assert_eq!(members.take_departed(now, 9), None);
    }

    #[test]
    fn a_renewal_leaves_out_who_has_gone_or_waits_for_a_write() {
        let (members, now) = (Members::default(), SystemClock.now());
        assert!((1..=4).all(|id| members.connected(member(id))));
        members.take(9);
        let mut left = members.all();
        members.disconnected(member(1), now);
        members.take(9);
        members.disconnected(member(2), now);
        members.connected(member(2));
        let mut renewed = members.renewable(&mut left, 3);
        renewed.extend(members.renewable(&mut left, 3));
        renewed.sort_unstable();
        assert_eq!((renewed, left), (vec![member(3), member(4)], vec![]));
    }

    #[test]
    fn the_queue_is_bounded() {
        let members = Members::default();
        let fits = |id| members.connected(member(id));
        assert!((1..=QUEUE_MAX as u64).all(fits));
        assert!(!fits(QUEUE_MAX as u64 + 1));
        assert!(fits(1), "it waits already");
        assert_eq!(members.all().len(), QUEUE_MAX + 1, "the renewal has it");
    }
}
