//! Workers that carry out appends: each owns the logs of its hash, has a bounded number of appends in
//! flight ([`Window`]), and gives outcomes for many logs at once.
//!
//! ```text
//! append, append_many ─► queue of the log's worker ─► waiting ─► in flight ─► outcomes
//! ```
//! Appends beyond the window wait, for a bounded time and in a bounded number; what does not get its
//! turn was not written, and fails so. An append has no task and no timer of its own here; the driver's
//! request has.
//!
//! A conditional batch reaches one partition (ScyllaDB and Cassandra refuse others: "BATCH with
//! conditions cannot span multiple partitions"), so appends to different logs stay requests of their own.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::sleep_until;

use super::client::Client;
use super::logs::Logs;
use super::window::{Answer, Window};
use crate::metrics::{Metrics, StoreOp};
use crate::store::{Append, AppendOutcomes, CompletedAppend, StoreError, TopicAppend};

const WORKERS: usize = 2;

/// Appends of a worker that wait, and as many on their way to it: each log has one at a time, so this is the number of busy logs.
const WAITING_MAX: usize = 4_096;

/// How long an append waits: several of these fit into the time that a send may take.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The workers of a store. They end when it is dropped.
pub(super) struct Workers {
    queues: Vec<mpsc::Sender<Handed>>,
    hasher: RandomState,
    parts: WorkerParts,
}

/// What workers need.
#[derive(Clone)]
pub(super) struct WorkerParts {
    pub(super) client: Arc<Client>,
    pub(super) logs: Arc<Logs>,
    pub(super) metrics: Arc<Metrics>,
}

/// An append that was handed over.
struct Handed {
    append: TopicAppend,
    outcomes: Arc<dyn AppendOutcomes>,
    since: Instant,
}

/// An append that has ended.
struct Ended {
    handed: Handed,
    outcome: Result<Append, StoreError>,
    began: Instant,
}

impl Workers {
    pub(super) fn start(parts: &WorkerParts) -> Self {
        let queues = (0..WORKERS).map(|_| {
            let (sender, queue) = mpsc::channel(WAITING_MAX);
            let worker = Worker {
                parts: parts.clone(),
                window: Window::new(),
                waiting: VecDeque::new(),
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with the store, after the last outcome"
            )]
            tokio::spawn(worker.run(queue));
            sender
        });
        Self {
            queues: queues.collect(),
            hasher: RandomState::new(),
            parts: parts.clone(),
        }
    }

    /// Hands appends over; those for which there is no place fail at once.
    pub(super) fn hand_over(&self, appends: Vec<TopicAppend>, outcomes: &Arc<dyn AppendOutcomes>) {
        let since = self.parts.client.clock().now();
        let mut refused = Vec::new();
        for append in appends {
            let handed = Handed {
                append,
                outcomes: Arc::clone(outcomes),
                since,
            };
            if let Err(handed) = self.enqueue(handed) {
                refused.push(self.parts.refuse(handed));
            }
        }
        if !refused.is_empty() {
            outcomes.on_completed(refused);
        }
    }

    fn enqueue(&self, handed: Handed) -> Result<(), Handed> {
        let hash = self.hasher.hash_one(handed.append.topic);
        let at = usize::try_from(hash % WORKERS as u64).unwrap_or_default();
        let Some(queue) = self.queues.get(at) else {
            return Err(handed);
        };
        queue.try_send(handed).map_err(TrySendError::into_inner)
    }
}

impl WorkerParts {
    /// An append that was not sent.
    fn refuse(&self, handed: Handed) -> CompletedAppend {
        self.metrics.store_appends_refused.inc();
        CompletedAppend {
            append: handed.append,
            outcome: Err(StoreError::Unavailable(
                "too many appends are in flight".to_owned(),
            )),
        }
    }

    async fn carry_out(self, handed: Handed) -> Ended {
        let began = self.client.clock().now();
        let TopicAppend {
            topic,
            head,
            ref entries,
        } = handed.append;
        let append = self.logs.append(topic, head, entries);
        let outcome = self.client.timed(StoreOp::Append, append).await;
        match outcome {
            Ok(Append::Applied) => {
                let bytes = entries.iter().map(|entry| entry.draft.body.len());
                let (count, bytes) = (entries.len() as u64, bytes.sum::<usize>() as u64);
                self.metrics.store_entries.inc_by(count);
                self.metrics.store_entry_bytes.inc_by(bytes);
            }
            Ok(Append::Conflict(_)) => self.metrics.store_conflicts.inc(),
            Err(_) => {}
        }
        Ended {
            handed,
            outcome,
            began,
        }
    }
}

/// One worker.
struct Worker {
    parts: WorkerParts,
    window: Window,
    waiting: VecDeque<Handed>,
}

impl Worker {
    /// | waits for | cancel-safe | then |
    /// |---|---|---|
    /// | appends handed over | yes, `recv_many` | they wait |
    /// | an append in flight | yes, a stream | outcomes are given |
    /// | the first waiting one's time | yes, a timer | it is refused |
    async fn run(mut self, mut queue: mpsc::Receiver<Handed>) {
        let mut in_flight = FuturesUnordered::new();
        let (mut handed, mut is_open) = (Vec::new(), true);
        while is_open || !in_flight.is_empty() || !self.waiting.is_empty() {
            let free = WAITING_MAX.saturating_sub(self.waiting.len());
            let overdue_at = self.waiting.front().map(Handed::overdue_at);
            tokio::select! {
                count = queue.recv_many(&mut handed, free), if is_open && free > 0 => is_open = count > 0,
                Some(ended) = in_flight.next() => self.complete(ended, &mut in_flight),
                () = sleep_until_some(overdue_at), if overdue_at.is_some() => {}
            }
            self.waiting.extend(handed.drain(..));
            self.refuse_overdue();
            while in_flight.len() < self.window.size()
                && let Some(next) = self.waiting.pop_front()
            {
                in_flight.push(self.parts.clone().carry_out(next));
            }
        }
    }

    /// Gives the outcomes of all appends that have ended: one call for each receiver.
    fn complete<F: Future<Output = Ended>>(
        &mut self,
        first: Ended,
        in_flight: &mut FuturesUnordered<F>,
    ) {
        let mut outcomes: Vec<Outcomes> = Vec::new();
        let (mut next, were_in_flight) = (Some(first), in_flight.len() + 1);
        while let Some(ended) = next {
            let Ended {
                handed,
                outcome,
                began,
            } = ended;
            let answer = match &outcome {
                Ok(_) => Answer::Given,
                Err(_) => Answer::Failed,
            };
            let now = self.parts.client.clock().now();
            self.window.note(answer, began, now, were_in_flight);
            let completed = CompletedAppend {
                append: handed.append,
                outcome,
            };
            add(&mut outcomes, handed.outcomes, completed);
            next = in_flight.next().now_or_never().flatten();
        }
        give(outcomes);
    }

    /// Fails those that have waited for too long: the first ones came first.
    fn refuse_overdue(&mut self) {
        let now = self.parts.client.clock().now();
        let mut outcomes = Vec::new();
        while let Some(handed) = self
            .waiting
            .pop_front_if(|handed| handed.overdue_at() <= now)
        {
            let receiver = Arc::clone(&handed.outcomes);
            add(&mut outcomes, receiver, self.parts.refuse(handed));
        }
        give(outcomes);
    }
}

impl Handed {
    fn overdue_at(&self) -> Instant {
        self.since.checked_add(WAIT_MAX).unwrap_or(self.since)
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    if let Some(at) = at {
        sleep_until(at.into()).await;
    }
}

/// Outcomes for one receiver.
type Outcomes = (Arc<dyn AppendOutcomes>, Vec<CompletedAppend>);

fn add(outcomes: &mut Vec<Outcomes>, to: Arc<dyn AppendOutcomes>, completed: CompletedAppend) {
    match outcomes
        .iter_mut()
        .find(|(known, _)| Arc::ptr_eq(known, &to))
    {
        Some((_, list)) => list.push(completed),
        None => outcomes.push((to, vec![completed])),
    }
}

fn give(outcomes: Vec<Outcomes>) {
    for (receiver, list) in outcomes {
        receiver.on_completed(list);
    }
}
