//! Relay of domain events: sends the rows of the outbox to the chat server, batch by batch.
//!
//! ```text
//! COMMIT ─► wake ─► lease held? ─► next rows by id ─► post ─► 200: delete the rows, next batch
//!                                                         ├─► 422 by id: those rows are dead, the others again
//!                                                         ├─► 413: half the batch
//!                                                         └─► anything else: back off, again, without limit
//! ```
//!
//! One instance relays at a time, by a lease row, with one batch in flight. That keeps the order per aggregate. It
//! is not what makes events arrive once in effect: an instance that is paused past its lease posts, or deletes rows,
//! beside the next holder. This is harmless:
//!
//! * A row is deleted only after a 200 for its event: stored is stored, by which instance does not matter.
//! * A repeated event changes nothing. Its id is the client message id of the inbox entries, which the chat server
//!   deduplicates among the entries of the last 10 minutes and at least the newest 512 of an inbox.
//! * A post that arrives late, behind later events, is a repeat too, since the next holder sent the same rows first.
//!   The chat server refuses a post older than 5 minutes, so none arrives after the deduplication has ended.
//! * The mark of a dead row may be set twice. An operator who resends it in between resends it again.
//!
//! What this module does not do: append events or hold their statements (`outbox`), and understand them.

mod backoff;
mod batch;
mod client;
mod lease;
mod listen;
mod receiver;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

pub use client::HttpEventReceiver;
pub use receiver::{EventReceiver, PostError};
pub use worker::{Relay, RelayParts};

/// What the relay of this instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayState {
    /// It relays, or there is nothing to relay.
    #[default]
    Ok,
    /// Another instance relays.
    Standby,
    /// The chat server takes no events. They wait in the outbox.
    Unavailable,
}

/// The relay's state, written by the relay and read by readiness. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RelayStatus(Arc<Mutex<RelayState>>);

impl RelayStatus {
    /// The state.
    #[must_use]
    pub fn get(&self) -> RelayState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: RelayState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
