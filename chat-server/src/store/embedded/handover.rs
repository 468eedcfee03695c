//! Appends handed over to the writer: those that wait for its next round, and those of the round.
//!
//! The writer takes all that wait at once and gives their outcomes at once, so an append costs no
//! task, timer or channel of its own. Bounded by bytes: what does not fit is refused at once.
//!
//! Each append is completed within [`CHECKS_MAX`] checks, whatever the disk does: a thread of its own
//! completes those that are overdue. It does not write.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use shared::ids::Seq;
use tokio::sync::Notify;

use super::NodeContext;
use super::outage::Pulse;
use super::queue::Answer;
use crate::log::Topic;
use crate::store::{AppendOutcomes, CompletedAppend, StoreError, TopicAppend, record};

/// Bytes of the appends that wait and of those in the writer's round: thirty-two of the largest.
const APPENDS_BYTES_MAX: usize = 32 << 20;

/// What the smallest append counts as.
const APPEND_BYTES_MIN: usize = 1 << 10;

/// How often it is checked whether appends are overdue.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Checks after which an append is overdue: 1.5 s, as for other writes. Age is counted in checks and not
/// in time, so a process that was suspended does not find all of them overdue.
const CHECKS_MAX: u32 = 6;

/// An append as the writer stores it.
#[derive(Debug)]
pub(super) struct EncodedAppend {
    pub(super) topic: Topic,
    pub(super) head: Seq,
    pub(super) rows: Vec<(Seq, Vec<u8>)>,
}

/// An append without an outcome.
#[derive(Debug)]
struct Pending {
    append: TopicAppend,
    outcomes: Arc<dyn AppendOutcomes>,
    bytes: usize,
    /// The number of the check before it came.
    since: u32,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<(EncodedAppend, Pending)>,
    /// Of the round, in the writer's order; empty if they were completed as overdue.
    in_round: Vec<Pending>,
    bytes: usize,
    checks: u32,
    is_closed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Handover {
    state: Mutex<State>,
    added: Notify,
}

impl Handover {
    /// Hands appends over. Those for which there is no room are completed before this returns.
    pub(super) fn put(&self, appends: Vec<TopicAppend>, outcomes: &Arc<dyn AppendOutcomes>) {
        // Encoded before the lock is taken, and not by the writer: there are many callers and one of it.
        let encoded = appends.into_iter().map(|append| {
            let rows = append.entries.iter();
            let rows: Vec<_> = rows
                .map(|entry| (entry.seq, record::encode_entry(entry)))
                .collect();
            let bytes = rows.iter().map(|(_, row)| row.len()).sum::<usize>();
            let pending = Pending {
                bytes: bytes.clamp(APPEND_BYTES_MIN, APPENDS_BYTES_MAX),
                outcomes: Arc::clone(outcomes),
                since: 0,
                append,
            };
            let (topic, head) = (pending.append.topic, pending.append.head);
            (EncodedAppend { topic, head, rows }, pending)
        });
        let mut encoded: Vec<_> = encoded.collect();
        let refused = self.lock().add(&mut encoded);
        self.added.notify_one();
        if let Some(why) = refused {
            let unavailable = |(_, pending): (_, Pending)| {
                pending.complete(Err(StoreError::Unavailable(why.to_owned())))
            };
            deliver(encoded.into_iter().map(unavailable));
        }
    }

    /// Waits until appends wait. Cancel-safe.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    /// Takes all appends that wait into the writer's round.
    pub(super) fn take(&self) -> Vec<EncodedAppend> {
        let mut state = self.lock();
        let (encoded, pending) = std::mem::take(&mut state.waiting).into_iter().unzip();
        state.in_round = pending;
        encoded
    }

    /// Completes the appends of the round, in the order of [`take`](Self::take).
    pub(super) fn complete(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut state = self.lock();
        let round = std::mem::take(&mut state.in_round);
        state.release(&round);
        drop(state);
        let completed = round.into_iter().zip(answers);
        deliver(completed.map(|(pending, answer)| pending.complete(answer)));
    }

    /// Takes no more appends; those that wait are still written.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Completes the appends that are overdue; whether there were any.
    fn check(&self) -> bool {
        let mut state = self.lock();
        state.checks = state.checks.wrapping_add(1);
        let now = state.checks;
        let is_over = |pending: &Pending| now.wrapping_sub(pending.since) > CHECKS_MAX;
        // A round begins and ends as a whole, and its appends are older than those that wait.
        let in_round = if state.in_round.iter().any(is_over) {
            std::mem::take(&mut state.in_round)
        } else {
            Vec::new()
        };
        let end = state.waiting.iter().take_while(|(_, p)| is_over(p)).count();
        let waited: Vec<Pending> = state.waiting.drain(..end).map(|(_, p)| p).collect();
        state.release(&in_round);
        state.release(&waited);
        drop(state);
        let is_any = !in_round.is_empty() || !waited.is_empty();
        let unknown = || Err(StoreError::Unknown(no_answer()));
        let unavailable = || Err(StoreError::Unavailable(no_answer()));
        let in_round = in_round.into_iter().map(|p| p.complete(unknown()));
        let waited = waited.into_iter().map(|p| p.complete(unavailable()));
        deliver(in_round.chain(waited));
        is_any
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Moves the appends that fit in; why the others do not.
    fn add(&mut self, encoded: &mut Vec<(EncodedAppend, Pending)>) -> Option<&'static str> {
        if self.is_closed {
            return Some("the writer has stopped");
        }
        let fits = encoded.iter().take_while(|(_, pending)| {
            // One larger than the bound goes when it is alone.
            let bytes = self.bytes.saturating_add(pending.bytes);
            let fits = bytes <= APPENDS_BYTES_MAX;
            self.bytes = if fits { bytes } else { self.bytes };
            fits
        });
        let fits = fits.count();
        let since = self.checks;
        let fit = encoded.drain(..fits);
        self.waiting
            .extend(fit.map(|(encoded, pending)| (encoded, Pending { since, ..pending })));
        (!encoded.is_empty()).then_some("too many appends wait for the disk")
    }

    fn release(&mut self, pending: &[Pending]) {
        let bytes = pending.iter().map(|pending| pending.bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Pending {
    fn complete(self, outcome: Answer) -> (Arc<dyn AppendOutcomes>, CompletedAppend) {
        let append = self.append;
        (self.outcomes, CompletedAppend { append, outcome })
    }
}

fn no_answer() -> String {
    format!(
        "no answer from the disk within {:?}",
        CHECK_EVERY * CHECKS_MAX
    )
}

/// Gives the outcomes to their receivers: neighbours of one receiver in one call.
fn deliver(completed: impl Iterator<Item = (Arc<dyn AppendOutcomes>, CompletedAppend)>) {
    let mut completed = completed.peekable();
    while let Some((outcomes, first)) = completed.next() {
        let mut batch = vec![first];
        while let Some((_, next)) = completed.next_if(|(other, _)| Arc::ptr_eq(other, &outcomes)) {
            batch.push(next);
        }
        outcomes.on_completed(batch);
    }
}

/// The thread that completes overdue appends, until this is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(super) fn start(
        handover: Arc<Handover>,
        pulse: Arc<Pulse>,
        context: NodeContext,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("store-watch".to_owned());
        let thread = thread.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if handover.check() {
                    pulse.check(&context);
                }
                thread::park_timeout(CHECK_EVERY);
            }
        })?;
        let thread = Some(thread);
        Ok(Self { stop, thread })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // An error is a panic in a receiver of outcomes, which the process has logged.
            thread.join().ok();
        }
    }
}
