//! A topic's task: append of one batch after another to its log.
//!
//! Each attempt leaves out the sends that are stored already, numbers the rest from the cached head
//! and appends them conditionally. Applied: done. Conflict: the entries in between are read, own sends
//! among them are found by their uid, and the rest is retried. Unknown outcome: the same append is
//! retried; either it applies now, or the head has moved and the uids show whether it was applied.
//!
//! A store may keep a log in parts: a batch that reaches over the end of one takes two appends, and a
//! send with entries in both gets its receipt after both. Only such a send, one in thousands of a
//! transaction's length, can be stored in part for good, if this node dies in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::Seq;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::log_tail::{ATTEMPT, LogTail, Retry, ask};
use super::pending_send::{
    Found, PendingSend, SeqAssignment, expire, finish, in_time, refuse_all, time_left,
};
use super::queue::TopicQueue;
use super::repeat::publish_again;
use super::turns::{Turns, noted_head};
use super::{AppendError, AppenderParts};
use crate::log::{Entry, Topic, Uid};
use crate::store::{Append, ReadConsistency, StoreError};
use crate::wakers::Wakers;

/// Between attempts while the store is away.
const PAUSE_MS: u64 = 100;

/// Where the topic's task begins.
#[derive(Default)]
pub(super) struct Resumed {
    tail: Option<LogTail>,
    sends: Vec<PendingSend>,
    failed: Option<FailedAppend>,
}

/// An append that was not applied, or may not have been.
pub(super) enum FailedAppend {
    /// The log had this head.
    Conflict(Seq),
    Error(StoreError),
}

impl Resumed {
    /// Sends that were not appended yet.
    pub(super) fn sends(tail: LogTail, sends: Vec<PendingSend>) -> Self {
        Self {
            tail: Some(tail),
            sends,
            failed: None,
        }
    }

    /// Sends whose append has failed.
    pub(super) fn failed(tail: LogTail, sends: Vec<PendingSend>, failed: FailedAppend) -> Self {
        Self {
            tail: Some(tail),
            sends,
            failed: Some(failed),
        }
    }
}

/// Processes a topic's queue, after what it resumes with.
pub(super) async fn work(parts: &AppenderParts, queue: &TopicQueue, resumed: Resumed) {
    let Resumed {
        tail,
        mut sends,
        failed,
    } = resumed;
    let mut tail = tail.or_else(|| queue.lock().tail.take());
    if sends.is_empty() {
        reconcile(parts, queue, &mut tail).await;
    } else {
        settle(parts, queue, &mut tail, &mut sends, failed).await;
    }
    while let Some(jobs) = queue.next_batch(&mut tail) {
        let mut sends = jobs.into_iter().map(PendingSend::new).collect();
        settle(parts, queue, &mut tail, &mut sends, None).await;
    }
}

/// Stores the sends or refuses them; every job's `done` is called. Their append may have failed already.
async fn settle(
    parts: &AppenderParts,
    queue: &TopicQueue,
    tail: &mut Option<LogTail>,
    open: &mut Vec<PendingSend>,
    mut failed: Option<FailedAppend>,
) {
    loop {
        expire(parts, queue, open);
        if open.is_empty() {
            return;
        }
        let attempt = match failed.take() {
            Some(failed) => on_failed(parts, queue, tail, open, false, failed).await,
            None => attempt_in_turn(parts, queue, tail, open).await,
        };
        let pause_ms = match attempt {
            Ok(()) => continue,
            Err(Retry::Crowded) => rand::random_range(1..=10),
            Err(Retry::Trouble) => PAUSE_MS + rand::random_range(0..=PAUSE_MS),
        };
        if open.is_empty() {
            return; // all have their outcome, and the time of others must not pass in a pause
        }
        sleep(Duration::from_millis(pause_ms).min(time_left(parts, open))).await;
    }
}

/// One attempt; in turn, and after a read of what was noted before the turn, while the nodes take turns.
async fn attempt_in_turn(
    parts: &AppenderParts,
    queue: &TopicQueue,
    tail: &mut Option<LogTail>,
    open: &mut Vec<PendingSend>,
) -> Result<(), Retry> {
    let turns = tail.as_ref().and_then(|tail| tail.turns);
    let Some(turns) = turns.filter(|turns| turns.are_taken(parts.clock.now())) else {
        return timed_attempt(parts, queue, tail, open).await;
    };
    let turns = in_time(parts, queue, open, turns.wait(parts, queue.topic)).await;
    let outcome = match tail.as_mut() {
        _ if open.is_empty() => Ok(()),
        None => timed_attempt(parts, queue, tail, open).await,
        Some(state) => {
            state.turns = Some(turns);
            match read_noted(parts, queue, state, open).await {
                Ok(()) => timed_attempt(parts, queue, tail, open).await,
                Err(retry) => Err(retry),
            }
        }
    };
    parts.bus.end_turn(queue.topic).await;
    outcome
}

/// One attempt; the time it takes shows whether the nodes have to take turns.
async fn timed_attempt(
    parts: &AppenderParts,
    queue: &TopicQueue,
    tail: &mut Option<LogTail>,
    open: &mut Vec<PendingSend>,
) -> Result<(), Retry> {
    let began = parts.clock.now();
    let outcome = attempt(parts, queue, tail, open).await;
    if let Some(tail) = tail {
        let now = parts.clock.now();
        let took = now.saturating_duration_since(began);
        tail.turns = Turns::after_attempt(parts, tail.turns, took, now);
    }
    outcome
}

/// One attempt: `Ok` when the store has applied the append, or nothing was left to append. Sends that
/// are still pending then have a piece that did not fit.
async fn attempt(
    parts: &AppenderParts,
    queue: &TopicQueue,
    tail: &mut Option<LogTail>,
    open: &mut Vec<PendingSend>,
) -> Result<(), Retry> {
    let topic = queue.topic;
    let state = match tail {
        Some(state) => state,
        None => tail.insert(in_time(parts, queue, open, LogTail::load(parts, topic)).await?),
    };
    if open.iter().any(|open| open.job.is_named()) {
        in_time(parts, queue, open, state.load_window(parts, topic)).await?;
    }
    in_time(parts, queue, open, state.load_newest_at(parts, topic)).await?;
    state.recognise(open);
    let SeqAssignment {
        mut entries,
        repeated,
        ..
    } = SeqAssignment::of(state, open);
    if entries.is_empty() {
        finish(parts, topic, open, &mut Wakers::default());
        publish_again(parts, topic, state.head, &repeated).await;
        return Ok(());
    }
    let end = parts.store.append_end(state.head);
    entries.retain(|entry| entry.seq <= end);
    note_head(parts, topic, &entries);
    let was_unsettled = std::mem::replace(&mut state.unsettled, true);
    let append = parts.store.append(topic, state.head, entries.clone());
    let failed = match in_time(parts, queue, open, timeout(ATTEMPT, append)).await {
        Ok(Ok(Append::Applied)) => {
            state.advance(&entries);
            state.unsettled = false;
            on_applied(parts, topic, open, entries, &mut Wakers::default());
            publish_again(parts, topic, state.head, &repeated).await;
            return Ok(());
        }
        Ok(Ok(Append::Conflict(head))) => FailedAppend::Conflict(head),
        Ok(Err(error)) => FailedAppend::Error(error),
        Err(_elapsed) => FailedAppend::Error(StoreError::Unknown("no answer in time".to_owned())),
    };
    on_failed(parts, queue, tail, open, was_unsettled, failed).await
}

/// Prepares the next attempt after an append that was not applied, or may not have been.
/// `was_unsettled` is the tail's state before it.
async fn on_failed(
    parts: &AppenderParts,
    queue: &TopicQueue,
    tail: &mut Option<LogTail>,
    open: &mut Vec<PendingSend>,
    was_unsettled: bool,
    failed: FailedAppend,
) -> Result<(), Retry> {
    let topic = queue.topic;
    let Some(state) = tail else {
        return Err(Retry::Trouble);
    };
    match failed {
        FailedAppend::Conflict(head) => {
            if head < state.head {
                *tail = None; // a restored backup: the cached tail is of another log
                return Err(Retry::Crowded);
            }
            state.unsettled = was_unsettled; // this one was not stored
            read_on(parts, queue, state, open, head).await?;
            Err(Retry::Crowded)
        }
        FailedAppend::Error(StoreError::Corrupt(what)) => {
            error!(%topic, "{topic} cannot be written: {what}");
            refuse_all(open, AppendError::Corrupt);
            Ok(())
        }
        FailedAppend::Error(StoreError::Unavailable(_)) => {
            state.unsettled = was_unsettled;
            parts.count_store_error("append");
            Err(Retry::Trouble)
        }
        FailedAppend::Error(StoreError::Unknown(_)) => {
            parts.count_store_error("append");
            Err(Retry::Trouble)
        }
    }
}

/// Notes the head that an append leads to. Before it is stored: a head check must not find a log longer
/// than its noted head.
pub(super) fn note_head(parts: &AppenderParts, topic: Topic, entries: &[Arc<Entry>]) {
    if let Some(newest) = entries.last() {
        parts.bus.note_head(topic, newest.seq);
    }
}

/// The store has the entries: receipts, this node's hub, the other nodes, the lists.
pub(super) fn on_applied(
    parts: &AppenderParts,
    topic: Topic,
    open: &mut Vec<PendingSend>,
    entries: Vec<Arc<Entry>>,
    wakers: &mut Wakers,
) {
    note_own(open, &entries);
    if let Some(newest) = entries.last() {
        warn_if_nearly_full(topic, newest.seq);
        parts.heads.note(topic, newest); // so that a list read after the receipt shows it
    }
    finish(parts, topic, open, wakers);
    let entries: Arc<[Arc<Entry>]> = entries.into();
    (parts.stored)(topic, &entries, wakers);
    parts.bus.publish(topic, entries);
}

/// Reads the entries beyond the cached head, page by page.
async fn read_on(
    parts: &AppenderParts,
    queue: &TopicQueue,
    state: &mut LogTail,
    open: &mut Vec<PendingSend>,
    head: Seq,
) -> Result<(), Retry> {
    while state.head < head {
        let page = in_time(parts, queue, open, state.catch_up(parts, queue.topic, head)).await?;
        absorb(parts, queue.topic, state, open, page);
    }
    state.unsettled = false;
    Ok(())
}

/// Reads the entries that other nodes have noted, as far as a quorum shows them: an append that meets
/// another head costs several times as much.
async fn read_noted(
    parts: &AppenderParts,
    queue: &TopicQueue,
    state: &mut LogTail,
    open: &mut Vec<PendingSend>,
) -> Result<(), Retry> {
    let Some(noted) = noted_head(parts, queue.topic).await else {
        return Ok(());
    };
    while state.head < noted {
        let page = in_time(parts, queue, open, state.peek(parts, queue.topic, noted)).await?;
        if page.is_empty() {
            break; // not stored, or not yet
        }
        absorb(parts, queue.topic, state, open, page);
    }
    Ok(())
}

/// Passes on entries beyond the head known before, which other nodes stored, or this one without
/// learning of it.
fn absorb(
    parts: &AppenderParts,
    topic: Topic,
    state: &LogTail,
    open: &mut [PendingSend],
    page: Vec<Arc<Entry>>,
) {
    note_own(open, &page);
    if let Some(newest) = page.last() {
        // Its node may have ended before it noted it.
        parts.heads.note(topic, newest);
    }
    let page: Arc<[Arc<Entry>]> = page.into();
    (parts.stored)(topic, &page, &mut Wakers::default());
    if state.unsettled {
        // An own append of unknown outcome may be among them, not published yet.
        parts.bus.publish(topic, page);
    }
}

/// Notes the positions of sends that are in the log: their append was applied, or its outcome was
/// unknown and they turn out to be there.
fn note_own(open: &mut [PendingSend], page: &[Arc<Entry>]) {
    /// Up to here a search through the page is cheaper than a map of it.
    const FEW: usize = 8;
    let of_entry = |entry: &Arc<Entry>| (entry.draft.uid, entry.seq);
    let many = (page.len() > FEW).then(|| page.iter().map(of_entry).collect());
    let many: Option<HashMap<Uid, Seq>> = many;
    let seq_of = |uid: Uid| match &many {
        Some(seqs) => seqs.get(&uid).copied(),
        None => page
            .iter()
            .find(|entry| entry.draft.uid == uid)
            .map(|entry| entry.seq),
    };
    for send in open {
        for (draft, found) in send.job.drafts.iter().zip(&mut send.found) {
            *found = found.or_else(|| seq_of(draft.uid).map(Found::Own));
        }
    }
}

/// Reconciles an append of unknown outcome after its sends were given up: if it was applied, it has
/// to be published.
async fn reconcile(parts: &AppenderParts, queue: &TopicQueue, tail: &mut Option<LogTail>) {
    let Some(state) = tail.as_mut().filter(|state| state.unsettled) else {
        return;
    };
    let topic = queue.topic;
    let mut no_sends = Vec::new();
    let head = ask(
        parts,
        "head",
        parts.store.head(topic, ReadConsistency::Serial),
    );
    match in_time(parts, queue, &mut no_sends, head).await {
        Ok(head) if head < state.head => *tail = None,
        // What cannot be read now is read before the next append, or at the next sweep.
        Ok(head) => drop(read_on(parts, queue, state, &mut no_sends, head).await),
        Err(_) => {}
    }
}

fn warn_if_nearly_full(topic: Topic, head: Seq) {
    if head.is_nearly_full() && head.get().is_multiple_of(1_000) {
        warn!(%topic, head = head.get(), "{topic} is nearly full");
    }
}
