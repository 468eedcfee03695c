//! The appender: stores the sends of each topic in its log, in order, once.
//!
//! While one batch is on its way to the store, the sends that come meanwhile wait and go together
//! (group commit). The store alone decides the order; a conflict or an unknown outcome is settled by
//! reading the log. After the store's answer: receipts, then this node's hub, then the bus.
//!
//! A batch is usually numbered where it is submitted, and handed to the store, which gives the outcomes of
//! many topics at once. Where the log must be read first, or an append has failed, a task does the topic's
//! work while there is something to do. Permissions and rate limits are checked before, by the connection.
//!
//! | file | contents |
//! |---|---|
//! | `direct` | batches without a task: numbered at once, continued by the store's outcomes |
//! | `batch` | a topic's task: attempts, conflicts, unknown outcomes, publication |
//! | `pending_send` | its sends: deduplication, positions, outcomes |
//! | `queue` | the bounded queue of each topic |
//! | `log_tail`, `window` | cached tail of the log; its named sends, for deduplication |
//! | `order` | order of one connection's sends through refusals |
//! | `repeat` | publication of entries whose sends are repeated |
//! | `turns` | turns of the nodes in writing to one log of a slow store |
//! | `room_heads` | records of the newest message for room lists |

mod batch;
mod direct;
mod log_tail;
mod order;
mod pending_send;
mod queue;
mod repeat;
mod room_heads;
mod turns;
mod window;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::Seq;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::bus::Bus;
use crate::log::{Draft, Entry, Topic};
use crate::metrics::Metrics;
use crate::store::{APPEND_ENTRIES_MAX, AppendOutcomes, CompletedAppend, MessageStore};
use crate::wakers::Wakers;
use batch::Resumed;
use direct::{InFlight, Next};
use queue::{Job, Put, TopicQueue};

pub use order::{HOLD_MAX, Origin, Turn};
pub use room_heads::{RoomHeads, RoomHeadsParts};

/// Time from submission of a send to giving it up.
pub const SEND_DEADLINE: Duration = Duration::from_secs(5);

/// How long the tail of a topic's log is cached after the last send.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often the end of the process checks whether appends are in flight.
const DRAIN_CHECK: Duration = Duration::from_millis(10);

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
///
/// Whom it concerns is woken with the wakers.
pub type Done = Box<dyn FnOnce(Outcome, &mut Wakers) + Send + Sync>;

/// Receives stored entries: this node's, and those of other nodes that it read on the way, in the
/// order of the log; a repeated send's once more. Whom they concern is woken with the wakers.
pub type Stored = Box<dyn Fn(Topic, &Arc<[Arc<Entry>]>, &mut Wakers) + Send + Sync>;

/// Receives a draft that a send of this node has stored, with its position; must not block. A draft that
/// was stored before is not received again.
pub type Placing = Box<dyn Fn(Topic, Seq, &Draft) + Send + Sync>;

/// All topics' appenders of a node.
pub struct Appender {
    shared: Arc<Shared>,
}

struct Shared {
    parts: AppenderParts,
    topics: DashMap<Topic, Arc<TopicQueue>>,
    /// Batches that the store has without a task.
    in_flight: DashMap<Topic, InFlight>,
    /// For tasks that begin with an outcome of the store, whose threads have no runtime.
    runtime: Handle,
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
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(parts: AppenderParts) -> Self {
        let shared = Arc::new(Shared {
            parts,
            topics: DashMap::new(),
            in_flight: DashMap::new(),
            runtime: Handle::current(),
        });
        let drain = shared.parts.drain.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "it is counted from the stop on, by the guard that it takes"
        )]
        tokio::spawn(hold_up_the_stop(drain, Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Submits a send; `done` gets its outcome, at the latest after [`SEND_DEADLINE`].
    ///
    /// Sends of one caller to one topic are stored in the order of the calls. At most
    /// [`APPEND_ENTRIES_MAX`] drafts.
    ///
    /// With a `turn`, nothing is stored while a send before it was refused for now and did not come
    /// again: that fails with [`AppendError::Unavailable`], too; see [`Turn`].
    pub fn submit(&self, topic: Topic, turn: Option<Turn>, drafts: Vec<Draft>, done: Done) {
        let now = self.shared.parts.clock.now();
        let deadline = now.checked_add(SEND_DEADLINE).unwrap_or(now);
        if drafts.is_empty() || drafts.len() > APPEND_ENTRIES_MAX {
            let outcome = if drafts.is_empty() {
                Ok(Vec::new())
            } else {
                Err(AppendError::Full)
            };
            return done(outcome, &mut Wakers::default());
        }
        let job = Job {
            drafts,
            turn,
            deadline,
            done,
        };
        match self.shared.put(topic, job, now) {
            Ok((Put::Waits, _)) => {}
            Ok((Put::Begins, queue)) => self.shared.go_on([(queue, None)]),
            Err(refused) => refused.finish(Err(AppendError::Unavailable)),
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
            Box::new(move |outcome, _wakers: &mut Wakers| drop(sender.send(outcome))),
        );
        outcome.await.unwrap_or(Err(AppendError::Unavailable))
    }

    /// Drops the cached tails of topics without sends for a while, and reconciles appends of unknown
    /// outcome that were given up.
    pub fn sweep(&self) {
        let Shared { parts, topics, .. } = &*self.shared;
        let now = parts.clock.now();
        let mut unsettled = Vec::new();
        topics.retain(|_, queue| {
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
            self.shared.start_task(queue, Resumed::default());
        }
    }
}

impl Shared {
    fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Adds a job to its topic's queue.
    fn put(&self, topic: Topic, job: Job, now: Instant) -> Result<(Put, Arc<TopicQueue>), Job> {
        // The map's lock is held until the job is in, or the sweep could take the queue out of the map in
        // between. The sweep takes the two locks in the same order.
        if let Some(queue) = self.topics.get(&topic) {
            return queue.put(job, now).map(|put| (put, Arc::clone(&queue)));
        }
        let queue = self.topics.entry(topic);
        let queue = queue.or_insert_with(|| Arc::new(TopicQueue::new(topic, now)));
        queue.put(job, now).map(|put| (put, Arc::clone(&queue)))
    }

    /// Continues topics that are working: with a task where one is needed, the others' next batches in one
    /// hand-over.
    fn go_on(
        self: &Arc<Self>,
        queues: impl IntoIterator<Item = (Arc<TopicQueue>, Option<Resumed>)>,
    ) {
        let mut appends = Vec::new();
        for (queue, resumed) in queues {
            let next = resumed.map_or_else(|| direct::begin(&self.parts, &queue), Next::Task);
            match next {
                Next::Append(append, in_flight) => {
                    self.in_flight.insert(append.topic, in_flight);
                    appends.push(append);
                }
                Next::Task(resumed) => self.start_task(queue, resumed),
                Next::Nothing => {}
            }
        }
        if !appends.is_empty() {
            let outcomes = Arc::new(Completions(Arc::clone(self)));
            Arc::clone(&self.parts.store).append_many(appends, outcomes);
        }
    }

    /// Starts the task of a topic that is working.
    fn start_task(self: &Arc<Self>, queue: Arc<TopicQueue>, resumed: Resumed) {
        let (shared, _runtime) = (Arc::clone(self), self.runtime.enter());
        // The task's end is noted in the queue; its handle is not needed.
        drop(self.parts.drain.spawn("append", async move {
            batch::work(&shared.parts, &queue, resumed).await;
        }));
    }
}

/// Holds up the end of the process while appends are in flight that no task waits for.
async fn hold_up_the_stop(drain: Drain, shared: Weak<Shared>) {
    drain.soft().cancelled().await;
    let _running = drain.hold("append");
    let is_busy = || shared.upgrade().is_some_and(|shared| shared.is_busy());
    while is_busy() && !drain.hard().is_cancelled() {
        sleep(DRAIN_CHECK).await;
    }
}

/// Continues the topics whose appends are completed.
struct Completions(Arc<Shared>);

impl AppendOutcomes for Completions {
    fn on_completed(&self, completed: Vec<CompletedAppend>) {
        let shared = &self.0;
        let mut queues = Vec::with_capacity(completed.len());
        let mut wakers = Wakers::default();
        for one in completed {
            let Some((_, in_flight)) = shared.in_flight.remove(&one.append.topic) else {
                continue;
            };
            let queue = Arc::clone(&in_flight.queue);
            let resumed = direct::complete(&shared.parts, in_flight, one, &mut wakers);
            queues.push((queue, resumed));
        }
        drop(wakers);
        shared.go_on(queues);
    }
}

impl AppenderParts {
    fn count_store_error(&self, what: &str) {
        let errors = &self.metrics.store_errors;
        errors.with_label_values(&[what]).inc();
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender")
            .field("topics", &self.shared.topics.len())
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
