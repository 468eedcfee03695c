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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::clock::UnixMillis;
    use shared::ids::RoomId;

    use super::*;
    use crate::log::{Draft, Entry, Kind, Uid};
    use crate::store::Append;

    /// Outcomes as they came: one list for each call.
    #[derive(Default)]
    struct Seen(Mutex<Vec<Vec<(Topic, Answer)>>>);

    impl Seen {
        fn calls(&self) -> Vec<Vec<(Topic, Answer)>> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl AppendOutcomes for Seen {
        fn on_completed(&self, completed: Vec<CompletedAppend>) {
            let of = |one: CompletedAppend| (one.append.topic, one.outcome);
            let call = completed.into_iter().map(of).collect();
            self.0.lock().unwrap().push(call);
        }
    }

    fn topic(number: u64) -> Topic {
        Topic::Room(RoomId::try_from(number).unwrap())
    }

    fn append(number: u64, bytes: usize) -> TopicAppend {
        let draft = Draft {
            uid: Uid(number.into()),
            kind: Kind::Chat,
            sender: None,
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::from(vec![b'x'; bytes]),
            sent_at: UnixMillis::EPOCH,
        };
        let seq = Seq::ZERO.next().unwrap();
        let deleted = false;
        TopicAppend {
            topic: topic(number),
            head: Seq::ZERO,
            entries: vec![Arc::new(Entry {
                seq,
                deleted,
                draft,
            })],
        }
    }

    fn put(handover: &Handover, seen: &Arc<Seen>, appends: Vec<TopicAppend>) {
        let outcomes = Arc::clone(seen) as Arc<dyn AppendOutcomes>;
        handover.put(appends, &outcomes);
    }

    fn topics(call: &[(Topic, Answer)]) -> Vec<Topic> {
        call.iter().map(|(topic, _)| *topic).collect()
    }

    #[test]
    fn outcomes_of_a_round_are_given_in_one_call_to_each_receiver() {
        let (handover, one, other) = (Handover::default(), Arc::default(), Arc::default());
        put(&handover, &one, vec![append(1, 9), append(2, 9)]);
        put(&handover, &one, vec![append(3, 9)]);
        put(&handover, &other, vec![append(4, 9)]);
        let round = handover.take();
        assert_eq!(round.len(), 4);
        put(&handover, &one, vec![append(5, 9)]);
        let seq = Seq::ZERO;
        let answers = [Append::Applied, Append::Conflict(seq), Append::Applied];
        handover.complete(answers.into_iter().map(Ok).chain([Ok(Append::Applied)]));
        let (of_one, of_other) = (one.calls(), other.calls());
        assert_eq!(of_one.len(), 1, "not the one that came during the round");
        assert_eq!(topics(&of_one[0]), [1, 2, 3].map(topic));
        assert!(matches!(of_one[0][1].1, Ok(Append::Conflict(_))));
        assert_eq!(topics(&of_other[0]), [topic(4)]);
        assert_eq!(handover.take().len(), 1);
    }

    #[test]
    fn appends_that_do_not_fit_are_refused_at_once_and_fit_later() {
        let (handover, seen) = (Handover::default(), Arc::<Seen>::default());
        let third = APPENDS_BYTES_MAX / 3;
        let appends = (1..=4).map(|number| append(number, third)).collect();
        put(&handover, &seen, appends);
        let refused = seen.calls();
        assert_eq!(topics(&refused[0]), [3, 4].map(topic));
        assert!(matches!(refused[0][0].1, Err(StoreError::Unavailable(_))));
        assert_eq!(handover.take().len(), 2);
        put(&handover, &seen, vec![append(5, third)]);
        assert_eq!(
            seen.calls().len(),
            1,
            "the round counts until it is complete"
        );
        handover.complete([Ok(Append::Applied), Ok(Append::Applied)]);
        seen.calls();
        put(&handover, &seen, vec![append(6, third)]);
        assert_eq!(seen.calls().len(), 0);
    }

    #[test]
    fn overdue_appends_are_completed_once() {
        let (handover, seen) = (Handover::default(), Arc::<Seen>::default());
        put(&handover, &seen, vec![append(1, 9)]);
        assert_eq!(handover.take().len(), 1);
        put(&handover, &seen, vec![append(2, 9)]);
        for _ in 0..CHECKS_MAX {
            assert!(!handover.check());
        }
        put(&handover, &seen, vec![append(3, 9)]);
        assert!(handover.check());
        let calls = seen.calls();
        let all: Vec<_> = calls.into_iter().flatten().collect();
        assert_eq!(topics(&all), [1, 2].map(topic));
        assert!(
            matches!(all[0].1, Err(StoreError::Unknown(_))),
            "written or not"
        );
        assert!(
            matches!(all[1].1, Err(StoreError::Unavailable(_))),
            "not written"
        );
        // The disk answers after all.
        handover.complete([Ok(Append::Applied)]);
        assert_eq!(seen.calls().len(), 0);
        let next: Vec<_> = handover.take().iter().map(|append| append.topic).collect();
        assert_eq!(next, [topic(3)]);
    }

    #[test]
    fn closed_handover_takes_nothing_and_keeps_what_waits() {
        let (handover, seen) = (Handover::default(), Arc::<Seen>::default());
        put(&handover, &seen, vec![append(1, 9)]);
        handover.close();
        put(&handover, &seen, vec![append(2, 9)]);
        assert_eq!(topics(&seen.calls()[0]), [topic(2)]);
        assert_eq!(handover.take().len(), 1);
    }
}
