//! The usual case without a task: the log's tail is cached and settled, so a batch is numbered at once and
//! handed to the store, whose outcome continues with the next batch.
//!
//! Everything else goes to the topic's task (`batch`): a tail that must be read, conflicts, failures,
//! repetitions, and a store that answers slowly, as only the task has timers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::AppenderParts;
use super::batch::{FailedAppend, Resumed, note_head, on_applied};
use super::log_tail::LogTail;
use super::pending_send::{PendingSend, SeqAssignment, expire};
use super::queue::{Job, QueueState, TopicQueue};
use super::turns::Turns;
use crate::log::Entry;
use crate::store::{APPEND_ENTRIES_MAX, Append, CompletedAppend, StoreError, TopicAppend};
use crate::wakers::Wakers;

/// A store that took longer is slow: the next batch goes to the topic's task, which refuses sends at
/// their deadlines.
const SLOW: Duration = Duration::from_millis(500);

/// A batch that the store has.
pub(super) struct InFlight {
    pub(super) queue: Arc<TopicQueue>,
    tail: LogTail,
    sends: Vec<PendingSend>,
    since: Instant,
}

/// What is to be done for a topic.
pub(super) enum Next {
    /// This append goes to the store.
    Append(TopicAppend, InFlight),
    /// The topic's task has to run.
    Task(Resumed),
    /// Nothing; the topic is no longer working.
    Nothing,
}

/// Begins the next batch of a topic that is working and has no append in flight.
pub(super) fn begin(parts: &AppenderParts, queue: &Arc<TopicQueue>) -> Next {
    loop {
        let (tail, jobs) = {
            let mut state = queue.lock();
            if state.jobs.is_empty() {
                state.working = false;
                return Next::Nothing;
            }
            let Some(tail) = take_ready_tail(&mut state, parts.clock.now()) else {
                return Next::Task(Resumed::default());
            };
            (tail, state.take_batch())
        };
        let mut sends: Vec<PendingSend> = jobs.into_iter().map(PendingSend::new).collect();
        expire(parts, queue, &mut sends);
        tail.recognise(&mut sends);
        let SeqAssignment {
            entries, repeated, ..
        } = SeqAssignment::of(&tail, &mut sends);
        if sends.is_empty() {
            queue.lock().tail = Some(tail);
            continue;
        }
        let end = parts.store.append_end(tail.head);
        let fits = entries.last().is_some_and(|newest| newest.seq <= end);
        if !fits || !repeated.is_empty() {
            return Next::Task(Resumed::sends(tail, sends));
        }
        return hand_over(parts, queue, tail, sends, entries);
    }
}

/// Takes the tail if the next batch needs no read of the log.
fn take_ready_tail(state: &mut QueueState, now: Instant) -> Option<LogTail> {
    let QueueState { jobs, tail, .. } = state;
    let is_named = || jobs.iter().take(APPEND_ENTRIES_MAX).any(Job::is_named);
    tail.take_if(|tail| {
        !tail.unsettled
            && !tail.turns.is_some_and(|turns| turns.are_taken(now))
            && tail.newest_at.is_some()
            && (tail.window.is_some() || !is_named())
    })
}

fn hand_over(
    parts: &AppenderParts,
    queue: &Arc<TopicQueue>,
    tail: LogTail,
    sends: Vec<PendingSend>,
    entries: Vec<Arc<Entry>>,
) -> Next {
    let (topic, head) = (queue.topic, tail.head);
    note_head(parts, topic, &entries);
    let in_flight = InFlight {
        queue: Arc::clone(queue),
        tail,
        sends,
        since: parts.clock.now(),
    };
    let append = TopicAppend {
        topic,
        head,
        entries,
    };
    Next::Append(append, in_flight)
}

/// Completes a batch in flight. Returns what the topic's task has to resume with, if it has to run.
pub(super) fn complete(
    parts: &AppenderParts,
    in_flight: InFlight,
    completed: CompletedAppend,
    wakers: &mut Wakers,
) -> Option<Resumed> {
    let InFlight {
        queue,
        mut tail,
        mut sends,
        since,
    } = in_flight;
    let CompletedAppend { append, outcome } = completed;
    let now = parts.clock.now();
    let took = now.saturating_duration_since(since);
    tail.turns = Turns::after_attempt(parts, tail.turns, took, now);
    match outcome {
        Ok(Append::Applied) => {
            tail.advance(&append.entries);
            on_applied(parts, queue.topic, &mut sends, append.entries, wakers);
            if took > SLOW || !sends.is_empty() {
                return Some(Resumed::sends(tail, sends));
            }
            queue.lock().tail = Some(tail);
            None
        }
        Ok(Append::Conflict(head)) => {
            let failed = FailedAppend::Conflict(head);
            Some(Resumed::failed(tail, sends, failed))
        }
        Err(error) => {
            // Until the task has found out.
            tail.unsettled = matches!(error, StoreError::Unknown(_));
            let failed = FailedAppend::Error(error);
            Some(Resumed::failed(tail, sends, failed))
        }
    }
}
