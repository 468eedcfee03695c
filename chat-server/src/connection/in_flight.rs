//! Work in flight: the frame that something slow works on, and the sends that have no outcome yet.
//!
//! Frames are carried out in order, so the next one waits while one is worked on; sends go on beside
//! them, up to a bound.

use std::collections::HashMap;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use shared::ids::RoomId;
use stomp::{Commit, Receipt, Send as SendFrame, Subscribe};

use super::error::ClientError;
use super::permission::Permit;
use super::subscribe::Begun;
use crate::append::{Origin, Turn};
use crate::auth::Identity;
use crate::log::Topic;
use crate::wake_queue::Slot;

/// Sends in flight of one connection; beyond, its frames wait.
const SENDS_MAX: usize = 64;

/// Outcome of the frame that was worked on.
pub(super) enum WorkDone {
    Login(Result<Identity, ClientError>),
    Token(Option<Receipt>, Result<Identity, ClientError>),
    Send(SendFrame, Turn, Result<Permit, ClientError>),
    /// The room that is shown it, if any.
    Typing(SendFrame, Result<Option<RoomId>, ClientError>),
    Commit(Commit, Vec<Turn>, Result<(), ClientError>),
    Begun(Subscribe, Slot, Result<Begun, ClientError>),
}

/// A send that the appender has.
#[derive(Debug)]
pub(super) struct PendingSend {
    /// The frame, for its receipt or its error.
    pub(super) send: SendFrame,
    pub(super) turn: Turn,
    /// When the appender got it.
    pub(super) since: Instant,
}

/// See the module.
pub(super) struct InFlight {
    work: Option<BoxFuture<'static, WorkDone>>,
    sends: HashMap<u64, PendingSend>,
    tickets: u64,
    /// Keeps the order of sends through refusals.
    origin: Origin,
    /// No frame that waits to be carried out was received earlier.
    received_at: Instant,
}

impl InFlight {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            work: None,
            sends: HashMap::new(),
            tickets: 0,
            origin: Origin::default(),
            received_at: now,
        }
    }

    /// Input has come while no frame was buffered.
    pub(super) fn note_received(&mut self, now: Instant) {
        if !self.is_working() {
            self.received_at = now;
        }
    }

    /// Assigns a message its turn in the order of sends.
    pub(super) fn take_turn(&self, topic: Topic, name: Option<&str>, body: &[u8]) -> Turn {
        self.origin.take_turn(topic, name, body, self.received_at)
    }

    /// Works on a frame; the next one waits until it is done.
    pub(super) fn start(&mut self, work: impl Future<Output = WorkDone> + Send + 'static) {
        self.work = Some(Box::pin(work));
    }

    /// Whether a frame is being worked on.
    pub(super) fn is_working(&self) -> bool {
        self.work.is_some()
    }

    /// Returns the outcome of the frame once. Cancel-safe.
    pub(super) fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<WorkDone> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let done = std::task::ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(done)
    }

    /// Adds a send; returns the ticket that its outcome will carry.
    pub(super) fn add_send(&mut self, send: PendingSend) -> u64 {
        self.tickets += 1;
        self.sends.insert(self.tickets, send);
        self.tickets
    }

    /// Takes out the send of a ticket, unless it was abandoned.
    pub(super) fn take_send(&mut self, ticket: u64) -> Option<PendingSend> {
        self.sends.remove(&ticket)
    }

    /// Whether another send may be added.
    pub(super) fn has_room(&self) -> bool {
        self.sends.len() < SENDS_MAX
    }

    /// Whether no send is in flight.
    pub(super) fn is_settled(&self) -> bool {
        self.sends.is_empty()
    }

    /// Gives up on the outcomes: clients learn them when they send again.
    pub(super) fn abandon(&mut self) {
        self.work = None;
        self.sends.clear();
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("is_working", &self.is_working())
            .field("sends", &self.sends.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    fn done() -> WorkDone {
        WorkDone::Token(None, Err(ClientError::TOKEN))
    }

    #[test]
    fn the_outcome_of_a_frame_is_returned_once() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut in_flight = InFlight::new(SystemClock.now());
        assert!(in_flight.poll_work(&mut cx).is_pending());
        in_flight.start(pending());
        assert!(in_flight.is_working() && in_flight.poll_work(&mut cx).is_pending());
        in_flight.start(ready(done()));
        assert!(in_flight.poll_work(&mut cx).is_ready());
        assert!(!in_flight.is_working() && in_flight.poll_work(&mut cx).is_pending());
    }

    #[test]
    fn abandoned_work_has_no_outcome() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut in_flight = InFlight::new(SystemClock.now());
        in_flight.start(ready(done()));
        in_flight.abandon();
        assert!(!in_flight.is_working() && in_flight.poll_work(&mut cx).is_pending());
        assert!(in_flight.is_settled() && in_flight.has_room());
        assert!(in_flight.take_send(1).is_none());
    }
}
