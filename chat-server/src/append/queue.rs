//! Bounded queue of the sends of one topic, in the order of submission.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log_tail::LogTail;
use super::order::Turn;
use super::{AppendError, Done, Outcome, SEND_DEADLINE};
use crate::log::{Draft, Topic};
use crate::store::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX};
use crate::wakers::Wakers;

/// Sends that may wait for one topic. A room of 1,000 members that all write at once fits.
pub(super) const QUEUE_MAX: usize = 2_048;

/// One send: drafts that become neighbours in the log, all or none; in a store that keeps logs in
/// parts, but for one that reaches over the end of a part (see `batch`).
pub(super) struct Job {
    pub(super) drafts: Vec<Draft>,
    pub(super) turn: Option<Turn>,
    pub(super) deadline: Instant,
    pub(super) done: Done,
}

/// The queue of one topic.
pub(super) struct TopicQueue {
    pub(super) topic: Topic,
    pub(super) state: Mutex<QueueState>,
}

pub(super) struct QueueState {
    pub(super) jobs: VecDeque<Job>,
    /// The topic's task is running and has the tail, or an append is in flight.
    pub(super) working: bool,
    pub(super) tail: Option<LogTail>,
    pub(super) used_at: Instant,
}

/// Result of adding a job.
pub(super) enum Put {
    /// It follows the batch that is being stored.
    Waits,
    /// Nothing is being stored: the caller begins.
    Begins,
}

impl TopicQueue {
    pub(super) fn new(topic: Topic, now: Instant) -> Self {
        let jobs = VecDeque::new();
        let state = QueueState {
            jobs,
            working: false,
            tail: None,
            used_at: now,
        };
        Self {
            topic,
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job, or returns it: too many wait, or another one must come first.
    pub(super) fn put(&self, job: Job, now: Instant) -> Result<Put, Job> {
        let mut state = self.lock();
        state.used_at = now;
        if job.has_to_wait() || state.jobs.len() >= QUEUE_MAX {
            job.fail();
            return Err(job);
        }
        state.jobs.push_back(job);
        let was_working = std::mem::replace(&mut state.working, true);
        Ok(if was_working { Put::Waits } else { Put::Begins })
    }

    /// Time until the earliest deadline of the queued sends.
    pub(super) fn time_left(&self, now: Instant) -> Duration {
        let state = self.lock();
        let first = state.jobs.front().map(|job| job.deadline);
        first.map_or(SEND_DEADLINE, |first| first.saturating_duration_since(now))
    }

    /// Fails the jobs whose deadline has passed, and those behind them.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.lock();
        let is_over = |job: &mut Job| job.deadline <= now;
        let mut over = Vec::new();
        while let Some(job) = state.jobs.pop_front_if(is_over) {
            job.fail();
            over.push(job);
        }
        if !over.is_empty() {
            over.append(&mut state.take_held());
        }
        drop(state);
        for job in over {
            job.finish(Err(AppendError::Unavailable));
        }
    }

    /// Fails jobs of a batch that were given up, and those that wait behind them.
    pub(super) fn fail(&self, over: Vec<Job>) {
        let mut state = self.lock();
        over.iter().for_each(Job::fail);
        let behind = state.take_held();
        drop(state);
        for job in over.into_iter().chain(behind) {
            job.finish(Err(AppendError::Unavailable));
        }
    }

    /// The next batch, with as many whole jobs as fit. `None` if the queue is empty: the task ends,
    /// and the tail is stored for the next one.
    pub(super) fn next_batch(&self, tail: &mut Option<LogTail>) -> Option<Vec<Job>> {
        let mut state = self.lock();
        let batch = state.take_batch();
        if batch.is_empty() {
            state.working = false;
            state.tail = tail.take();
            return None;
        }
        Some(batch)
    }
}

impl Job {
    /// Whether another one of the same connection must be retried first.
    pub(super) fn has_to_wait(&self) -> bool {
        self.turn.as_ref().is_some_and(Turn::has_to_wait)
    }

    /// Gives its outcome, and wakes at once whom that concerns.
    pub(super) fn finish(self, outcome: Outcome) {
        (self.done)(outcome, &mut Wakers::default());
    }

    /// Refuses it for now: those of its connection behind it have to wait.
    pub(super) fn fail(&self) {
        if let Some(turn) = &self.turn {
            turn.fail();
        }
    }
}

impl QueueState {
    /// Takes as many whole jobs as fit into one append.
    pub(super) fn take_batch(&mut self) -> Vec<Job> {
        let (mut entries, mut bytes) = (0_usize, 0_usize);
        let mut batch = Vec::new();
        while let Some(job) = self.jobs.front() {
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
            batch.extend(self.jobs.pop_front());
        }
        batch
    }

    /// Takes out the jobs for which another one of the same connection must be retried first.
    fn take_held(&mut self) -> Vec<Job> {
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let (held, others): (Vec<_>, Vec<_>) = jobs.partition(Job::has_to_wait);
        self.jobs = others.into();
        held.iter().for_each(Job::fail);
        held
    }
}
