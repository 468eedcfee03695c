//! The appender: takes sends of a topic and gets them into its log, in order, once.
//!
//! While one batch is on its way to the store, the sends that come meanwhile wait and go together
//! (group commit). The store alone decides the order; a conflict or an unknown outcome is settled by
//! reading what is there. After the store's answer: receipts, then this node's hub, then the bus.
//!
//! A topic's work is done by one task that lives while there is something to do.

mod batch;
mod known;
mod open;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::Seq;

use crate::bus::Bus;
use crate::log::{Draft, Entry, Topic};
use crate::metrics::Metrics;
use crate::store::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, MessageStore, RoomStore};
use known::Known;

/// From taking a send in to giving up on it.
pub const SEND_DEADLINE: Duration = Duration::from_secs(5);

/// Sends that wait for one topic. A room of 1,000 members that all write at once fits.
const QUEUE_MAX: usize = 2_048;

/// How long a topic's knowledge of its log is kept after the last send.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Why a send did not become an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Not settled in time: the message may or may not appear. Send it again under the same name.
    #[error("the message could not be stored in time")]
    Unavailable,
    /// The topic holds as many entries as positions allow.
    #[error("the room is full")]
    Full,
    /// The name was used for another message.
    #[error("the client message id was used for another message")]
    NameTaken,
    /// What is stored cannot be read; a person must look.
    #[error("the room cannot be read")]
    Corrupt,
}

/// What is told about a send: the positions of its drafts, in their order.
pub type Outcome = Result<Vec<Seq>, AppendError>;

/// Takes the outcome of a send; called once, and must not block.
pub type Done = Box<dyn FnOnce(Outcome) + Send>;

/// Takes entries that are stored: this node's and those of others that it read on the way, in the
/// order of the log; one that was sent again once more.
pub type Stored = Box<dyn Fn(Topic, &Arc<[Arc<Entry>]>) + Send + Sync>;

/// One send: drafts that become neighbours in the log, all or none; in a store that keeps logs in
/// parts, but for one that reaches over the end of a part (see `batch`).
struct Job {
    drafts: Vec<Draft>,
    deadline: Instant,
    done: Done,
}

/// All topics' appenders of a node.
pub struct Appender {
    parts: Arc<Parts>,
    topics: DashMap<Topic, Arc<TopicQueue>>,
}

struct Parts {
    store: Arc<dyn MessageStore>,
    rooms: Arc<dyn RoomStore>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    metrics: Arc<Metrics>,
    stored: Stored,
}

/// What waits for one topic.
struct TopicQueue {
    topic: Topic,
    state: Mutex<QueueState>,
}

struct QueueState {
    jobs: VecDeque<Job>,
    /// A task is at work on this topic; it has `known` meanwhile.
    working: bool,
    known: Option<Known>,
    used_at: Instant,
}

/// What a queue does with a job it has taken in.
enum Put {
    /// The task that is at work on the topic comes to it.
    Waits,
    /// It is the first: the topic needs a task.
    Begins,
}

/// What the appender is made of; see [`Appender::new`].
pub struct AppenderParts {
    /// Where entries go.
    pub store: Arc<dyn MessageStore>,
    /// Where the hint of a room's newest message goes.
    pub rooms: Arc<dyn RoomStore>,
    /// Tells the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Deadlines and ages.
    pub clock: Arc<dyn Clock>,
    /// Waits for appends under way when the node stops.
    pub drain: Drain,
    /// Counts sends.
    pub metrics: Arc<Metrics>,
    /// This node's hub.
    pub stored: Stored,
}

impl Appender {
    /// An appender for all topics.
    #[must_use]
    pub fn new(parts: AppenderParts) -> Self {
        let AppenderParts {
            store,
            rooms,
            bus,
            clock,
            drain,
            metrics,
            stored,
        } = parts;
        let parts = Parts {
            store,
            rooms,
            bus,
            clock,
            drain,
            metrics,
            stored,
        };
        Self {
            parts: Arc::new(parts),
            topics: DashMap::new(),
        }
    }

    /// Takes a send in; `done` hears what became of it, at the latest after [`SEND_DEADLINE`].
    ///
    /// Sends of one caller to one topic are stored in the order of the calls. At most
    /// [`APPEND_ENTRIES_MAX`] drafts.
    pub fn submit(&self, topic: Topic, drafts: Vec<Draft>, done: Done) {
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

    /// Takes a send in and waits for its outcome.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn send(&self, topic: Topic, drafts: Vec<Draft>) -> Outcome {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.submit(
            topic,
            drafts,
            Box::new(move |outcome| drop(tell.send(outcome))),
        );
        told.await.unwrap_or(Err(AppendError::Unavailable))
    }

    /// Forgets what is known of topics that nobody has written to for a while, and finds out what
    /// became of appends that were given up.
    pub fn sweep(&self) {
        let now = self.parts.clock.now();
        let mut unsettled = Vec::new();
        self.topics.retain(|_, queue| {
            let mut state = queue.lock();
            if state.working {
                return true;
            }
            if state.known.as_ref().is_some_and(|known| known.unsettled) {
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
        // The task's end is noted in the queue; its handle says nothing more.
        drop(self.parts.drain.spawn("append", work(parts, queue)));
    }
}

impl Parts {
    fn count_store_error(&self, what: &str) {
        let errors = &self.metrics.store_errors;
        errors.with_label_values(&[what]).inc();
    }
}

impl TopicQueue {
    fn new(topic: Topic, now: Instant) -> Self {
        let jobs = VecDeque::new();
        let state = QueueState {
            jobs,
            working: false,
            known: None,
            used_at: now,
        };
        Self {
            topic,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, or gives it back: too many wait.
    fn put(&self, job: Job, now: Instant) -> Result<Put, Job> {
        let mut state = self.lock();
        state.used_at = now;
        if state.jobs.len() >= QUEUE_MAX {
            return Err(job);
        }
        state.jobs.push_back(job);
        let was_working = std::mem::replace(&mut state.working, true);
        Ok(if was_working { Put::Waits } else { Put::Begins })
    }

    /// Until the first of those who wait has to be told.
    fn time_left(&self, now: Instant) -> Duration {
        let state = self.lock();
        let first = state.jobs.front().map(|job| job.deadline);
        first.map_or(SEND_DEADLINE, |first| first.saturating_duration_since(now))
    }

    /// Gives up on those who wait and whose time is over.
    fn expire(&self, now: Instant) {
        let is_over = |job: &mut Job| job.deadline <= now;
        loop {
            let Some(job) = self.lock().jobs.pop_front_if(is_over) else {
                return;
            };
            (job.done)(Err(AppendError::Unavailable));
        }
    }

    /// The next batch, as many whole jobs as fit, or `None`: then the work is over and what is
    /// known waits for the next one.
    fn next_batch(&self, known: &mut Option<Known>) -> Option<Vec<Job>> {
        let mut state = self.lock();
        let (mut entries, mut bytes) = (0_usize, 0_usize);
        let mut batch = Vec::new();
        while let Some(job) = state.jobs.front() {
            entries = entries.saturating_add(job.drafts.len());
            let size = job
                .drafts
                .iter()
                .map(|draft| draft.body.len())
                .sum::<usize>();
            bytes = bytes.saturating_add(size);
            let fits = entries <= APPEND_ENTRIES_MAX && bytes <= APPEND_BYTES_MAX;
            if !fits && !batch.is_empty() {
                break;
            }
            batch.extend(state.jobs.pop_front());
        }
        if batch.is_empty() {
            state.working = false;
            state.known = known.take();
            return None;
        }
        Some(batch)
    }
}

/// Works off a topic's queue.
async fn work(parts: Arc<Parts>, queue: Arc<TopicQueue>) {
    let mut known = queue.lock().known.take();
    batch::reconcile(&parts, &queue, &mut known).await;
    while let Some(jobs) = queue.next_batch(&mut known) {
        batch::settle(&parts, &queue, &mut known, jobs).await;
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
