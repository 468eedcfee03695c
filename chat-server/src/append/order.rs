//! The order of one connection's sends to one topic, through an outage.
//!
//! A client that has several sends under way sends again, in order, what failed. That is stored in
//! order only if nothing behind the first failure is stored meanwhile: neither what the node had taken
//! in by then, nor what was still on its way and arrives before the client has read of the failure.
//! So when a send cannot be stored in time, those of the same origin behind it fail as well, and so
//! do later ones until the first that failed comes again, at most for [`HOLD_MAX`].
//!
//! What this module does not do: sends that fail for what they are; sending those again is no use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::SEND_DEADLINE;
use super::queue::Job;
use crate::log::Draft;

/// Far longer than a failure takes to the client, and as long as a client that gave a message up
/// waits for the next one to be taken.
const HOLD_MAX: Duration = SEND_DEADLINE;

/// Whose sends keep their order: a connection, by its number on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(pub u64);

/// The origins of a topic that have to send something again first.
#[derive(Debug, Default)]
pub(super) struct Holds(HashMap<Origin, Hold>);

#[derive(Debug)]
struct Hold {
    /// The first that failed.
    first: Option<Draft>,
    until: Instant,
}

impl Holds {
    /// A send of this origin failed: what comes from it has to wait for that.
    pub(super) fn begin(&mut self, job: &Job, now: Instant) {
        let Some(origin) = job.origin else { return };
        let hold = || Hold {
            first: job.drafts.first().cloned(),
            until: now.checked_add(HOLD_MAX).unwrap_or(now),
        };
        self.0.entry(origin).or_insert_with(hold);
    }

    /// Whether a send has to be refused because another one of its origin must come first. The one
    /// that must ends this.
    pub(super) fn refuses(&mut self, job: &Job, now: Instant) -> bool {
        let Some(hold) = job.origin.and_then(|origin| self.0.get(&origin)) else {
            return false;
        };
        let is_first = match (&hold.first, job.drafts.first()) {
            (Some(failed), Some(draft)) => is_again(failed, draft),
            (None, _) | (_, None) => true,
        };
        let refuses = now < hold.until && !is_first;
        if !refuses && let Some(origin) = job.origin {
            self.0.remove(&origin);
        }
        refuses
    }

    /// Whether a send of this origin under way has to fail, too.
    pub(super) fn holds(&self, job: &Job) -> bool {
        job.origin
            .is_some_and(|origin| self.0.contains_key(&origin))
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        if !self.0.is_empty() {
            self.0.retain(|_, hold| now < hold.until);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether it is the same message: by its name, or without one by what it says.
fn is_again(failed: &Draft, draft: &Draft) -> bool {
    match (&failed.client_message_id, &draft.client_message_id) {
        (Some(failed), Some(name)) => failed == name,
        (None, None) => failed.body == draft.body,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
