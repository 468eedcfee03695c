//! Order of one connection's sends to each topic, through retryable refusals.
//!
//! A client with several sends in flight retries, in order, those that were refused for now. They are
//! stored in order only if nothing behind the first refusal is stored meanwhile: neither sends that the
//! node has already taken in, nor sends still on their way, in the network or behind a frame that waits
//! for the store, before the client reads the refusal. So whatever the reason, store, permission or
//! rate, sends behind one that was refused for now are refused as well until that is retried. A client
//! that retries a later one instead, whose refusal it got later, has given up those before it; one that
//! retries none of them within [`HOLD_MAX`] has given up all.
//!
//! What this module does not do: sends that are refused for good, as a retry is in vain; order between
//! two connections of a member, which is the client's: on a new connection it first retries, in order,
//! the sends without a receipt.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::log::Topic;

/// Twice the longest wait of a client before a retry (30 s).
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// Refused sends noted of one connection. Clients have fewer in flight; further ones do not keep their
/// order among themselves.
const REFUSED_MAX: usize = 256;

/// A connection, whose sends keep their order.
#[derive(Clone, Default)]
pub struct Origin(Arc<Shared>);

#[derive(Default)]
struct Shared {
    hasher: RandomState,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Turns given out, and refusals reported to the client.
    turns: u64,
    reported: u64,
    /// Sends that were refused for now and not retried yet.
    refused: Vec<Refused>,
}

struct Refused {
    topic: Topic,
    name: u64,
    turn: u64,
    /// `None` until the refusal is reported to the client.
    reported: Option<Reported>,
}

#[derive(Clone, Copy)]
struct Reported {
    nth: u64,
    at: Instant,
}

/// Position of a send among those of its connection to its topic; a retry has the same.
#[derive(Clone)]
pub struct Turn {
    origin: Origin,
    topic: Topic,
    name: u64,
    number: u64,
}

impl Origin {
    /// The position of a send that was received at this time or later. It is the same message if it has
    /// the same client message id, or without one the same body.
    #[must_use]
    pub fn take_turn(
        &self,
        topic: Topic,
        client_message_id: Option<&str>,
        body: &[u8],
        received_at: Instant,
    ) -> Turn {
        let name = match client_message_id {
            Some(id) => self.0.hasher.hash_one(("named", id)),
            None => self.0.hasher.hash_one(("unnamed", body)),
        };
        let number = self.lock().take_turn(topic, name, received_at);
        Turn {
            origin: self.clone(),
            topic,
            name,
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn take_turn(&mut self, topic: Topic, name: u64, received_at: Instant) -> u64 {
        let is_old =
            |reported: Reported| received_at.saturating_duration_since(reported.at) >= HOLD_MAX;
        let first = self.of(topic).min_by_key(|one| one.turn);
        if first.and_then(|first| first.reported).is_some_and(is_old) {
            self.refused.retain(|one| one.topic != topic);
        }
        let again = self.of(topic).find(|one| one.name == name);
        let Some((turn, reported)) = again.map(|again| (again.turn, again.reported)) else {
            self.turns = self.turns.saturating_add(1);
            return self.turns;
        };
        // Those before it whose refusal the client had got when it sent this one.
        let is_given_up = |one: &Refused| match (one.reported, reported) {
            (Some(one), Some(reported)) => one.nth < reported.nth,
            (None, _) | (_, None) => false,
        };
        self.refused
            .retain(|one| one.topic != topic || one.turn >= turn || !is_given_up(one));
        if !self.has_before(topic, turn) {
            self.forget(topic, name);
        }
        turn
    }

    fn of(&self, topic: Topic) -> impl Iterator<Item = &Refused> {
        self.refused.iter().filter(move |one| one.topic == topic)
    }

    fn has_before(&self, topic: Topic, turn: u64) -> bool {
        self.of(topic).any(|one| one.turn < turn)
    }

    fn forget(&mut self, topic: Topic, name: u64) {
        self.refused
            .retain(|one| one.topic != topic || one.name != name);
    }
}

impl Turn {
    /// Whether one before it was refused and has to be retried first.
    #[must_use]
    pub fn has_to_wait(&self) -> bool {
        let book = self.origin.lock();
        book.has_before(self.topic, self.number)
    }

    /// It is refused for now, which is not reported yet: from now on those behind it wait.
    pub(super) fn fail(&self) {
        self.note(None);
    }

    /// It is refused for now, which is reported to the client now. Reports reach it in the order of
    /// these calls.
    pub fn refuse(&self, now: Instant) {
        self.note(Some(now));
    }

    /// It is stored, or refused for good: no other send waits for it.
    pub fn settle(&self) {
        self.origin.lock().forget(self.topic, self.name);
    }

    fn note(&self, reported_at: Option<Instant>) {
        let mut book = self.origin.lock();
        let nth = book.reported.saturating_add(1);
        let reported = reported_at.map(|at| Reported { nth, at });
        if reported.is_some() {
            book.reported = nth;
        }
        let is_this = |one: &&mut Refused| one.topic == self.topic && one.name == self.name;
        if let Some(noted) = book.refused.iter_mut().find(is_this) {
            noted.turn = noted.turn.min(self.number);
            noted.reported = reported.or(noted.reported);
        } else if book.refused.len() < REFUSED_MAX {
            book.refused.push(Refused {
                topic: self.topic,
                name: self.name,
                turn: self.number,
                reported,
            });
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.lock().refused.len();
        f.debug_struct("Origin")
            .field("refused", &refused)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("topic", &self.topic)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
