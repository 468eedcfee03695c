//! What others leave for a connection, and the bell that wakes it.
//!
//! Messages are not queued here: a topic only marks the subscription that has something to pull. So
//! what a connection holds is bounded, however slowly it reads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use shared::ids::{MemberId, RoomId};
use stomp::CloseCode;

use crate::append::Outcome;

/// Events beside the log that wait for one connection. They may be lost: a connection that is this
/// far behind does not care who was typing.
const EVENTS_MAX: usize = 64;

/// The place of a subscription in its connection.
pub type Slot = u32;

/// Something for a connection.
#[derive(Debug)]
pub enum Letter {
    /// What became of a send.
    Stored {
        /// The number the connection gave it.
        ticket: u64,
        /// The appender's answer.
        outcome: Outcome,
    },
    /// An event for a subscription beside a log.
    Event {
        /// Whose.
        slot: Slot,
        /// The JSON.
        body: Bytes,
    },
    /// A member has left a room.
    Left {
        /// The room.
        room: RoomId,
        /// Who.
        member: MemberId,
    },
    /// A subscription's topic went back in time (a restored backup), or the connection has to go.
    Close {
        /// How.
        code: CloseCode,
        /// Why, in a word or two.
        reason: &'static str,
    },
}

/// One connection's mailbox.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One bit a subscription.
    dirty: Vec<u64>,
    letters: VecDeque<Letter>,
    events: usize,
    bell: Option<Waker>,
}

impl Mailbox {
    /// The subscription in `slot` has something to pull.
    pub fn mark(&self, slot: Slot) {
        let word = (slot / 64) as usize;
        let bell = {
            let mut state = self.lock();
            if state.dirty.len() <= word {
                state.dirty.resize(word + 1, 0);
            }
            state.dirty[word] |= 1 << (slot % 64);
            state.bell.take()
        };
        ring(bell);
    }

    /// Leaves a letter. The number of `Stored` letters is bounded by the sends under way.
    pub fn post(&self, letter: Letter) {
        let bell = {
            let mut state = self.lock();
            state.letters.push_back(letter);
            state.bell.take()
        };
        ring(bell);
    }

    /// Leaves an event, or `false`: there are too many already.
    #[must_use]
    pub fn post_event(&self, slot: Slot, body: Bytes) -> bool {
        let bell = {
            let mut state = self.lock();
            if state.events >= EVENTS_MAX {
                return false;
            }
            state.events += 1;
            state.letters.push_back(Letter::Event { slot, body });
            state.bell.take()
        };
        ring(bell);
        true
    }

    /// Empties the mailbox: adds the marked slots to `dirty`, returns the letters.
    pub fn take(&self, dirty: &mut Vec<Slot>) -> VecDeque<Letter> {
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
        std::mem::take(&mut state.letters)
    }

    /// Ready when something is there; else the task is woken once something comes.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.letters.is_empty() || state.dirty.iter().any(|bits| *bits != 0) {
            return Poll::Ready(());
        }
        match &mut state.bell {
            Some(bell) => bell.clone_from(cx.waker()),
            bell => *bell = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ring(bell: Option<Waker>) {
    if let Some(bell) = bell {
        bell.wake();
    }
}
