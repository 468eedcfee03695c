//! Per-connection wake queue: one dirty bit per subscription, a list of connection events, and the
//! task's waker.
//!
//! Messages are not queued here: a topic only marks the subscription that has something to pull. So a
//! connection's memory is bounded, however slowly its peer reads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use shared::ids::{MemberId, RoomId};
use stomp::CloseCode;

use crate::append::Outcome;
use crate::wakers::Wakers;

/// Room events that wait for one connection. Further ones are dropped: they are transient, and a
/// typing event is of no use to a connection this far behind.
const EVENTS_MAX: usize = 64;

/// Number of a subscription in its connection.
pub type Slot = u32;

/// An event for a connection.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// A send has its outcome.
    Stored {
        /// The connection's number for the send.
        ticket: u64,
        /// The appender's answer.
        outcome: Outcome,
    },
    /// An event of a room, for a subscription to events.
    Event {
        /// The subscription.
        slot: Slot,
        /// The JSON.
        body: Bytes,
    },
    /// A member has left a room.
    Left {
        /// The room.
        room: RoomId,
        /// The member.
        member: MemberId,
    },
    /// The node stops: the client moves to another one.
    Migrate(MoveAt),
    /// The connection ends, after its sends in flight.
    Close(CloseReason),
}

/// Code and text of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code.
    pub code: CloseCode,
    /// The reason in a word or two.
    pub text: &'static str,
}

impl CloseReason {
    /// The node stops: 1012, registered for a restart, after which clients reconnect.
    pub const RESTART: Self = Self {
        code: CloseCode(1012),
        text: "restart",
    };
}

/// When one client moves to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveAt {
    /// When the client should move. One that cannot be notified is closed then.
    pub go_at: Instant,
    /// When one that was notified, and is still connected, is closed.
    pub close_at: Instant,
}

/// The connection that a wake queue belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The connection, by its number on this node.
    pub connection: u64,
    /// The member it belongs to.
    pub member: MemberId,
}

/// The wake queue of one connection.
#[derive(Debug, Default)]
pub struct WakeQueue {
    owner: OnceLock<Owner>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One bit a subscription.
    dirty: Vec<u64>,
    control: VecDeque<ConnectionEvent>,
    events: usize,
    waker: Option<Waker>,
}

impl WakeQueue {
    /// Sets the owner; only the first call counts.
    pub fn set_owner(&self, owner: Owner) {
        self.owner.set(owner).ok();
    }

    /// The owner; `None` before the login.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        self.owner.get().copied()
    }

    /// Marks the subscription in `slot`: it has something to pull.
    pub fn mark(&self, slot: Slot, wakers: &mut Wakers) {
        let word = (slot / 64) as usize;
        let mut state = self.lock();
        if state.dirty.len() <= word {
            state.dirty.resize(word + 1, 0);
        }
        state.dirty[word] |= 1 << (slot % 64);
        wakers.add(state.waker.take());
    }

    /// Adds an event. The number of `Stored` events is bounded by the sends in flight.
    pub fn post(&self, event: ConnectionEvent) {
        self.post_to(event, &mut Wakers::default());
    }

    /// The same, with a wake-up that is made later.
    pub fn post_to(&self, event: ConnectionEvent, wakers: &mut Wakers) {
        let mut state = self.lock();
        state.control.push_back(event);
        wakers.add(state.waker.take());
    }

    /// Adds a room event; `false` if too many wait already.
    #[must_use]
    pub fn post_event(&self, slot: Slot, body: Bytes) -> bool {
        let mut state = self.lock();
        if state.events >= EVENTS_MAX {
            return false;
        }
        state.events += 1;
        state
            .control
            .push_back(ConnectionEvent::Event { slot, body });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Empties the queue: adds the marked slots to `dirty`, returns the events.
    pub fn take(&self, dirty: &mut Vec<Slot>) -> VecDeque<ConnectionEvent> {
        let mut state = self.lock();
        for (word, bits) in state.dirty.iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                dirty.push(u32::try_from(word * 64).unwrap_or(Slot::MAX) + bit);
            }
        }
        state.events = 0;
        std::mem::take(&mut state.control)
    }

    /// Ready when the queue is not empty; else wakes the task once it is not.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.control.is_empty() || state.dirty.iter().any(|bits| *bits != 0) {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn mark(wake_queue: &WakeQueue, slot: Slot) {
        wake_queue.mark(slot, &mut Wakers::default());
    }

    fn marked(wake_queue: &WakeQueue) -> Vec<Slot> {
        let mut dirty = Vec::new();
        wake_queue.take(&mut dirty);
        dirty
    }

    #[test]
    fn marks_are_found_once_each_in_their_order() {
        let wake_queue = WakeQueue::default();
        let slots = [200, 0, 63, 64, 127, 128, 64, 0, 1_023];
        slots.iter().for_each(|slot| mark(&wake_queue, *slot));
        assert_eq!(marked(&wake_queue), [0, 63, 64, 127, 128, 200, 1_023]);
        assert_eq!(marked(&wake_queue), [0; 0]);
        mark(&wake_queue, 64);
        assert_eq!(marked(&wake_queue), [64]);
    }

    #[test]
    fn room_events_are_bounded_and_do_not_displace_others() {
        let wake_queue = WakeQueue::default();
        for _ in 0..EVENTS_MAX {
            assert!(wake_queue.post_event(1, Bytes::new()));
        }
        assert!(!wake_queue.post_event(1, Bytes::new()));
        for ticket in 0..100 {
            let outcome = Ok(Vec::new());
            wake_queue.post(ConnectionEvent::Stored { ticket, outcome });
        }
        let control = wake_queue.take(&mut Vec::new());
        assert_eq!(control.len(), EVENTS_MAX + 100);
        let tickets = control.iter().filter_map(|event| match event {
            ConnectionEvent::Stored { ticket, .. } => Some(*ticket),
            ConnectionEvent::Event { .. }
            | ConnectionEvent::Left { .. }
            | ConnectionEvent::Migrate(_)
            | ConnectionEvent::Close(_) => None,
        });
        assert!(tickets.eq(0..100), "in their order");
        assert!(
            wake_queue.post_event(1, Bytes::new()),
            "there is room again"
        );
    }

    #[test]
    fn the_task_is_woken_once_for_many_marks() {
        let (wake_queue, count) = (WakeQueue::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(wake_queue.poll_ready(&mut cx), Poll::Pending);
        (0..9).for_each(|slot| mark(&wake_queue, slot));
        assert!(wake_queue.post_event(1, Bytes::new()));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(wake_queue.poll_ready(&mut cx), Poll::Ready(()));
        wake_queue.take(&mut Vec::new());
        assert_eq!(wake_queue.poll_ready(&mut cx), Poll::Pending);
        // The newest waker counts: the task may have moved.
        let other = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&other));
        let moved = wake_queue.poll_ready(&mut Context::from_waker(&waker));
        assert_eq!(moved, Poll::Pending);
        assert!(wake_queue.post_event(1, Bytes::new()));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(other.0.load(Ordering::Relaxed), 1);
    }

    async fn mark_all(wake_queue: Arc<WakeQueue>, slots: impl Iterator<Item = Slot>) {
        for slot in slots {
            mark(&wake_queue, slot);
            if slot % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost_between_threads() {
        const MARKS: Slot = 5_000;
        let wake_queue = Arc::new(WakeQueue::default());
        let mut marking = JoinSet::new();
        for part in 0..3 {
            let slots = (0..MARKS).map(move |mark| mark * 3 + part);
            marking.spawn(mark_all(Arc::clone(&wake_queue), slots));
        }
        let mut seen = BTreeSet::new();
        while seen.len() < MARKS as usize * 3 {
            let ready = poll_fn(|cx| wake_queue.poll_ready(cx));
            let woken = timeout(Duration::from_secs(20), ready).await;
            woken.expect("the task is woken while there are marks to come");
            seen.extend(marked(&wake_queue));
        }
        marking.join_all().await;
        assert_eq!(marked(&wake_queue), [0; 0], "each was seen once");
    }
}
