//! The appender: stores the sends of each topic in its log, in order, once.
//!
//! While one batch is on its way to the store, the sends that come meanwhile wait and go together
//! (group commit). The store alone decides the order; a conflict or an unknown outcome is settled by
//! reading the log. After the store's answer: receipts, then this node's hub, then the bus.
//!
//! A topic's work is done by one task that lives while there is something to do. Permissions and rate
//! limits are checked before, by the connection.
//!
//! | file | contents |
//! |---|---|
//! | `batch` | one batch: attempts, conflicts, unknown outcomes, publication |
//! | `pending_send` | its sends: deduplication, positions, outcomes |
//! | `queue` | the bounded queue of each topic |
//! | `log_tail`, `window` | cached tail of the log; its named sends, for deduplication |
//! | `order` | order of one connection's sends through refusals |
//! | `room_heads` | records of the newest message for room lists |

mod batch;
mod log_tail;
mod order;
mod pending_send;
mod queue;
mod room_heads;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::Seq;

use crate::bus::Bus;
use crate::log::{Draft, Entry, Topic};
use crate::metrics::Metrics;
use crate::store::{APPEND_ENTRIES_MAX, MessageStore};
use queue::{Job, Put, TopicQueue};

pub use order::{HOLD_MAX, Origin, Turn};
pub use room_heads::{RoomHeads, RoomHeadsParts, head_of};

/// Time from submission of a send to giving it up.
pub const SEND_DEADLINE: Duration = Duration::from_secs(5);

/// How long the tail of a topic's log is cached after the last send.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Why a send did not become an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Not settled in time: the message may or may not be stored. To be retried with the same client
    /// message id.
    #[error("the message could not be stored in time")]
    Unavailable,
    /// The topic holds as many entries as positions allow.
    #[error("the room is full")]
    Full,
    /// The name was used for another message.
    #[error("the client message id was used for another message")]
    NameTaken,
    /// The log cannot be read; an operator has to repair it.
    #[error("the room cannot be read")]
    Corrupt,
}

/// A draft that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its position.
    pub seq: Seq,
    /// Whether this send stored it; otherwise it repeats one stored before. Of all sends of one
    /// draft, on all nodes, at most one gets `true`.
    pub is_new: bool,
}

/// Outcome of a send: what became of its drafts, in their order.
pub type Outcome = Result<Vec<Placed>, AppendError>;

/// Receives the outcome of a send; called once, and must not block.
pub type Done = Box<dyn FnOnce(Outcome) + Send>;

/// Receives stored entries: this node's, and those of other nodes that it read on the way, in the
/// order of the log; a repeated send's once more.
pub type Stored = Box<dyn Fn(Topic, &Arc<[Arc<Entry>]>) + Send + Sync>;

/// Receives a draft that a send of this node has stored, with its position; must not block. A draft that
/// was stored before is not received again.
pub type Placing = Box<dyn Fn(Topic, Seq, &Draft) + Send + Sync>;

/// All topics' appenders of a node.
pub struct Appender {
    parts: Arc<AppenderParts>,
    topics: DashMap<Topic, Arc<TopicQueue>>,
}

/// What [`Appender::new`] needs.
pub struct AppenderParts {
    /// The logs.
    pub store: Arc<dyn MessageStore>,
    /// Updates the records of room lists.
    pub heads: RoomHeads,
    /// Publishes to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Deadlines and ages.
    pub clock: Arc<dyn Clock>,
    /// Waits for appends under way when the node stops.
    pub drain: Drain,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// This node's hub.
    pub stored: Stored,
    /// The pusher.
    pub placed: Placing,
}

impl Appender {
    /// An appender for all topics.
    #[must_use]
    pub fn new(parts: AppenderParts) -> Self {
        Self {
            parts: Arc::new(parts),
            topics: DashMap::new(),
        }
    }

    /// Submits a send; `done` gets its outcome, at the latest after [`SEND_DEADLINE`].
    ///
    /// Sends of one caller to one topic are stored in the order of the calls. At most
    /// [`APPEND_ENTRIES_MAX`] drafts.
    ///
    /// With a `turn`, nothing is stored while a send before it was refused for now and did not come
    /// again: that fails with [`AppendError::Unavailable`], too; see [`Turn`].
    pub fn submit(&self, topic: Topic, turn: Option<Turn>, drafts: Vec<Draft>, done: Done) {
        let now = self.parts.clock.now();
        let deadline = now.checked_add(SEND_DEADLINE).unwrap_or(now);
        if drafts.is_empty() || drafts.len() > APPEND_ENTRIES_MAX {
            return done(if drafts.is_empty() {
                Ok(Vec::new())
            } else {
                Err(AppendError::Full)
            });
        }
        let job = Job {
            drafts,
            turn,
            deadline,
            done,
        };
        let put = {
            // The map's lock is held until the job is in, or the sweep could take the queue out of
            // the map in between. The sweep takes the two locks in the same order.
            let queue = self.topics.entry(topic);
            let queue = queue.or_insert_with(|| Arc::new(TopicQueue::new(topic, now)));
            queue.put(job, now).map(|put| (put, Arc::clone(&queue)))
        };
        match put {
            Ok((Put::Waits, _)) => {}
            Ok((Put::Begins, queue)) => self.begin(queue),
            Err(refused) => (refused.done)(Err(AppendError::Unavailable)),
        }
    }

    /// Submits a send and waits for its outcome.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn send(&self, topic: Topic, drafts: Vec<Draft>) -> Outcome {
        self.send_in_turn(None, topic, drafts).await
    }

    /// The same for a connection whose sends keep their order.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn send_in_turn(
        &self,
        turn: Option<Turn>,
        topic: Topic,
        drafts: Vec<Draft>,
    ) -> Outcome {
        let (sender, outcome) = tokio::sync::oneshot::channel();
        self.submit(
            topic,
            turn,
            drafts,
            Box::new(move |outcome| drop(sender.send(outcome))),
        );
        outcome.await.unwrap_or(Err(AppendError::Unavailable))
    }

    /// Drops the cached tails of topics without sends for a while, and reconciles appends of unknown
    /// outcome that were given up.
    pub fn sweep(&self) {
        let now = self.parts.clock.now();
        let mut unsettled = Vec::new();
        self.topics.retain(|_, queue| {
            let mut state = queue.lock();
            if state.working {
                return true;
            }
            if state.tail.as_ref().is_some_and(|tail| tail.unsettled) {
                state.working = true;
                unsettled.push(Arc::clone(queue));
                return true;
            }
            now.saturating_duration_since(state.used_at) < IDLE_MAX
        });
        for queue in unsettled {
            self.begin(queue);
        }
    }

    /// Starts the task of a topic; `working` was set for it.
    fn begin(&self, queue: Arc<TopicQueue>) {
        let parts = Arc::clone(&self.parts);
        // The task's end is noted in the queue; its handle is not needed.
        drop(self.parts.drain.spawn("append", work(parts, queue)));
    }
}

impl AppenderParts {
    fn count_store_error(&self, what: &str) {
        let errors = &self.metrics.store_errors;
        errors.with_label_values(&[what]).inc();
    }
}

/// Processes a topic's queue.
async fn work(parts: Arc<AppenderParts>, queue: Arc<TopicQueue>) {
    let mut tail = queue.lock().tail.take();
    batch::reconcile(&parts, &queue, &mut tail).await;
    while let Some(jobs) = queue.next_batch(&mut tail) {
        batch::settle(&parts, &queue, &mut tail, jobs).await;
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender")
            .field("topics", &self.topics.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AppenderParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppenderParts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
