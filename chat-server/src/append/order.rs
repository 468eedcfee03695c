//! The order of one connection's sends to each topic, through refusals that pass.
//!
//! A client that has several sends under way sends again, in order, what was refused for now. That is
//! stored in order only if nothing behind the first refusal is stored meanwhile: neither what the node
//! had taken in by then, nor what was still on its way, in the network or behind a frame that waits for
//! the store, before the client reads of the refusal. So whatever the reason, of the store, of who may
//! write or of the rate, sends behind one that was refused for now are refused as well until that comes
//! again. A client that comes again with a later one instead, which it was told of later, has given up
//! those before it; one that comes with nothing of it within [`HOLD_MAX`] has given up all.
//!
//! What this module does not do: sends that fail for what they are, as sending those again is no use;
//! order between two connections of a member, which is the client's: it sends again on the new one, in
//! order, what the old one did not confirm, before anything new.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::log::Topic;

/// Twice as long as the longest wait of a client before it sends again (30 s).
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// Refused sends of one connection that are remembered. Clients have fewer under way; of what lies
/// beyond, the order among themselves is not kept.
const REFUSED_MAX: usize = 256;

/// Whose sends keep their order: one connection.
#[derive(Clone, Default)]
pub struct Origin(Arc<Shared>);

#[derive(Default)]
struct Shared {
    hasher: RandomState,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Turns given out, and refusals told.
    turns: u64,
    told: u64,
    /// What was refused for now and did not come again.
    refused: Vec<Refused>,
}

struct Refused {
    topic: Topic,
    name: u64,
    turn: u64,
    /// Not before the client can know of it.
    told: Option<Told>,
}

#[derive(Clone, Copy)]
struct Told {
    nth: u64,
    at: Instant,
}

/// A send's place among those of its connection to its topic: the same when it comes again.
#[derive(Clone)]
pub struct Turn {
    origin: Origin,
    topic: Topic,
    name: u64,
    number: u64,
}

impl Origin {
    /// The place of a send that was received at this time or later. It is the same message if it has
    /// the same name, or without one says the same.
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
        let is_old = |told: Told| received_at.saturating_duration_since(told.at) >= HOLD_MAX;
        let first = self.of(topic).min_by_key(|one| one.turn);
        if first.and_then(|first| first.told).is_some_and(is_old) {
            self.refused.retain(|one| one.topic != topic);
        }
        let again = self.of(topic).find(|one| one.name == name);
        let Some((turn, told)) = again.map(|again| (again.turn, again.told)) else {
            self.turns = self.turns.saturating_add(1);
            return self.turns;
        };
        // Those before it of which its sender knew when it sent this one.
        let is_given_up = |one: &Refused| match (one.told, told) {
            (Some(one), Some(told)) => one.nth < told.nth,
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
    /// Whether one before it was refused and has to come again first.
    #[must_use]
    pub fn has_to_wait(&self) -> bool {
        let book = self.origin.lock();
        book.has_before(self.topic, self.number)
    }

    /// It is refused for now, and its sender is not told yet: from now on those behind it wait.
    pub(super) fn fail(&self) {
        self.note(None);
    }

    /// Its sender is told, now, that it is refused for now. Refusals reach it in the order of these
    /// calls.
    pub fn refuse(&self, now: Instant) {
        self.note(Some(now));
    }

    /// It is stored, or refused for good: nobody waits for it.
    pub fn settle(&self) {
        self.origin.lock().forget(self.topic, self.name);
    }

    fn note(&self, told_at: Option<Instant>) {
        let mut book = self.origin.lock();
        let nth = book.told.saturating_add(1);
        let told = told_at.map(|at| Told { nth, at });
        if told.is_some() {
            book.told = nth;
        }
        let is_this = |one: &&mut Refused| one.topic == self.topic && one.name == self.name;
        if let Some(known) = book.refused.iter_mut().find(is_this) {
            known.turn = known.turn.min(self.number);
            known.told = told.or(known.told);
        } else if book.refused.len() < REFUSED_MAX {
            book.refused.push(Refused {
                topic: self.topic,
                name: self.name,
                turn: self.number,
                told,
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
