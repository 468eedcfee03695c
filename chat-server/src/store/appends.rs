//! Appends to many logs at once, and the receiver of their outcomes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::Seq;
use tokio::sync::oneshot;

use super::{Append, StoreError};
use crate::log::{Entry, Topic};

/// An append to one log, as a part of [`append_many`](super::MessageStore::append_many).
#[derive(Debug)]
pub struct TopicAppend {
    /// The log.
    pub topic: Topic,
    /// The head that it must have.
    pub head: Seq,
    /// What is appended, at the positions after `head`.
    pub entries: Vec<Arc<Entry>>,
}

/// An append that the store has completed.
#[derive(Debug)]
pub struct CompletedAppend {
    /// The append, as it was handed over.
    pub append: TopicAppend,
    /// What became of it.
    pub outcome: Result<Append, StoreError>,
}

/// Receives the outcomes of appends.
pub trait AppendOutcomes: Send + Sync {
    /// Takes the appends that the store has completed since the last call. It is called by a thread of
    /// the store, which goes on when it returns: it must not block, and no runtime need be at hand.
    fn on_completed(&self, completed: Vec<CompletedAppend>);
}

impl fmt::Debug for dyn AppendOutcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppendOutcomes")
    }
}

/// Hands one append over as `append_many` does, and waits for its outcome.
pub(super) async fn append_one(
    append: TopicAppend,
    hand_over: impl FnOnce(Vec<TopicAppend>, &Arc<dyn AppendOutcomes>),
) -> Result<Append, StoreError> {
    let (sender, outcome) = oneshot::channel();
    let outcomes: Arc<dyn AppendOutcomes> = Arc::new(AwaitedOutcome {
        sender: Mutex::new(Some(sender)),
    });
    hand_over(vec![append], &outcomes);
    drop(outcomes);
    outcome.await.unwrap_or_else(|_dropped| {
        let why = "the store stopped before it answered";
        Err(StoreError::Unknown(why.to_owned()))
    })
}

/// The outcome of one append, for a task that waits for it.
struct AwaitedOutcome {
    sender: Mutex<Option<oneshot::Sender<Result<Append, StoreError>>>>,
}

impl AppendOutcomes for AwaitedOutcome {
    fn on_completed(&self, completed: Vec<CompletedAppend>) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(sender), Some(one)) = (sender.take(), completed.into_iter().next()) {
            // Fails if nobody waits any more.
            sender.send(one.outcome).ok();
        }
    }
}
