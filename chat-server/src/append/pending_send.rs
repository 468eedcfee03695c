//! Sends of one batch: deduplication, positions, and outcomes.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, Seq};
use tokio::time::timeout;

use super::log_tail::LogTail;
use super::queue::{Job, TopicQueue};
use super::window::Repeated;
use super::{AppendError, AppenderParts, Placed, SEND_DEADLINE};
use crate::log::{Draft, Entry, Topic};
use crate::metrics::SendOutcome;
use crate::wakers::Wakers;

/// A send without an outcome.
pub(super) struct PendingSend {
    pub(super) job: Job,
    /// Its drafts that were found in the log so far.
    pub(super) found: Vec<Option<Found>>,
    /// Its drafts that repeat one of another send in the same batch.
    joined: Vec<bool>,
}

/// A draft that is in the log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Stored by an append of this send.
    Own(Seq),
    /// Sent before under the same name.
    Repeated(Seq),
}

impl Found {
    fn seq(self) -> Seq {
        match self {
            Self::Own(seq) | Self::Repeated(seq) => seq,
        }
    }
}

impl PendingSend {
    pub(super) fn new(job: Job) -> Self {
        let found = vec![None; job.drafts.len()];
        let joined = vec![false; job.drafts.len()];
        Self { job, found, joined }
    }

    /// Whether all of it is in the log.
    fn is_settled(&self) -> bool {
        self.found.iter().all(Option::is_some)
    }

    fn refuse(self, error: AppendError) {
        self.job.finish(Err(error));
    }
}

impl Job {
    pub(super) fn is_named(&self) -> bool {
        self.drafts
            .iter()
            .any(|draft| draft.client_message_id.is_some())
    }
}

impl LogTail {
    /// Notes the positions of drafts that are stored under their client message id already.
    pub(super) fn recognise(&self, open: &mut Vec<PendingSend>) {
        let Some(window) = &self.window else { return };
        let mut refused = BTreeSet::new();
        for (at, send) in open.iter_mut().enumerate() {
            for (draft, found) in send.job.drafts.iter().zip(&mut send.found) {
                match window.find(draft) {
                    Some(Repeated::Same(seq)) => {
                        *found = found.or(Some(Found::Repeated(seq)));
                    }
                    Some(Repeated::Different) if found.is_none() => drop(refused.insert(at)),
                    Some(Repeated::Different) | None => {}
                }
            }
        }
        for at in refused.into_iter().rev() {
            open.remove(at).refuse(AppendError::NameTaken);
        }
    }
}

/// Positions of the drafts that are not stored yet. Drafts of one name in one batch are one entry.
#[derive(Default)]
pub(super) struct SeqAssignment {
    /// Entries to be appended.
    pub(super) entries: Vec<Arc<Entry>>,
    /// Positions that sends of this batch are repetitions of.
    pub(super) repeated: BTreeSet<Seq>,
    /// Where the entry of a name is in `entries`.
    named: HashMap<(Option<MemberId>, Box<str>), usize>,
}

impl SeqAssignment {
    /// Numbers all sends from the cached head on; those that cannot be stored fail.
    pub(super) fn of(tail: &LogTail, open: &mut Vec<PendingSend>) -> Self {
        let mut numbering = Self::default();
        let mut refused = Vec::new();
        for (at, send) in open.iter_mut().enumerate() {
            let kept = numbering.entries.len();
            if let Err(error) = numbering.add(tail, send) {
                numbering.truncate(kept); // all drafts of a send or none
                refused.push((at, error));
            }
        }
        for (at, error) in refused.into_iter().rev() {
            open.remove(at).refuse(error);
        }
        numbering
    }

    /// Removes the entries of a send that was refused: no other send may join them.
    fn truncate(&mut self, kept: usize) {
        self.entries.truncate(kept);
        self.named.retain(|_, at| *at < kept);
    }

    fn add(&mut self, tail: &LogTail, send: &mut PendingSend) -> Result<(), AppendError> {
        let drafts = send.job.drafts.iter_mut().zip(&mut send.joined);
        for ((draft, joined), found) in drafts.zip(&send.found) {
            match found {
                Some(Found::Repeated(seq)) => drop(self.repeated.insert(*seq)),
                Some(Found::Own(_)) => {}
                None => *joined = self.add_draft(tail, draft)? == Added::Joined,
            }
        }
        Ok(())
    }

    fn add_draft(&mut self, tail: &LogTail, draft: &mut Draft) -> Result<Added, AppendError> {
        if let Some(id) = &draft.client_message_id {
            let name = (draft.sender, id.clone());
            let first = self.named.get(&name).and_then(|at| self.entries.get(*at));
            if let Some(Entry { draft: first, .. }) = first.map(AsRef::as_ref) {
                let is_same = tail
                    .window
                    .as_ref()
                    .is_none_or(|window| window.same(first, draft));
                draft.uid = first.uid; // joined: one outcome for both
                return if is_same {
                    Ok(Added::Joined)
                } else {
                    Err(AppendError::NameTaken)
                };
            }
            self.named.insert(name, self.entries.len());
        }
        let (newest, newest_at) = self.entries.last().map_or_else(
            || (tail.head, tail.newest_at.unwrap_or(UnixMillis::EPOCH)),
            |entry| (entry.seq, entry.draft.sent_at),
        );
        let seq = newest.next().ok_or(AppendError::Full)?;
        let mut draft = draft.clone();
        // Times never fall within a log, whatever the clocks of the nodes.
        draft.sent_at = draft.sent_at.max(newest_at);
        self.entries.push(Arc::new(Entry {
            seq,
            deleted: false,
            draft,
        }));
        Ok(Added::Entry)
    }
}

/// How a draft was numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// As an entry of its own.
    Entry,
    /// It shares the entry of a draft before it.
    Joined,
}

/// Gives up on sends whose time is over, and on those of their origins behind them.
pub(super) fn expire(parts: &AppenderParts, queue: &TopicQueue, open: &mut Vec<PendingSend>) {
    let now = parts.clock.now();
    if open.iter().all(|send| send.job.deadline > now) {
        return;
    }
    let (mut over, mut left) = (Vec::new(), Vec::new());
    for send in open.drain(..) {
        if send.job.deadline <= now || send.job.has_to_wait() {
            send.job.fail(); // at once, for those behind it in this batch
            over.push(send.job);
        } else {
            left.push(send);
        }
    }
    *open = left;
    queue.fail(over);
}

/// Time until the first deadline of the sends.
pub(super) fn time_left(parts: &AppenderParts, open: &[PendingSend]) -> Duration {
    let first = open.iter().map(|send| send.job.deadline).min();
    let now = parts.clock.now();
    first.map_or(SEND_DEADLINE, |first| first.saturating_duration_since(now))
}

pub(super) fn refuse_all(open: &mut Vec<PendingSend>, error: AppendError) {
    for send in open.drain(..) {
        send.refuse(error);
    }
}

/// Gives an outcome to every send whose drafts all have a position; the others stay pending.
pub(super) fn finish(
    parts: &AppenderParts,
    topic: Topic,
    open: &mut Vec<PendingSend>,
    wakers: &mut Wakers,
) {
    let settled: Vec<PendingSend> = open.extract_if(.., |send| send.is_settled()).collect();
    for send in settled {
        let is_repeated = |found: &Option<Found>| matches!(found, Some(Found::Repeated(_)));
        let label = if send.found.iter().any(is_repeated) {
            SendOutcome::Dup
        } else {
            SendOutcome::Ok
        };
        parts.metrics.sends.count(label);
        let found = send.found.iter().flatten().zip(&send.joined);
        let placed = found.map(|(found, joined)| Placed {
            seq: found.seq(),
            is_new: matches!(found, Found::Own(_)) && !joined,
        });
        let placed: Vec<Placed> = placed.collect();
        for (draft, placed) in send.job.drafts.iter().zip(&placed) {
            if placed.is_new {
                (parts.placed)(topic, placed.seq, draft);
            }
        }
        (send.job.done)(Ok(placed), wakers);
    }
}

/// Waits for a store call. Sends whose deadline passes meanwhile, here or in the queue, fail.
///
/// The call is not cancelled then: an append might still be applied, and with a store slower than the
/// oldest send's remaining time no append would ever complete.
pub(super) async fn in_time<T>(
    parts: &AppenderParts,
    queue: &TopicQueue,
    open: &mut Vec<PendingSend>,
    call: impl Future<Output = T>,
) -> T {
    let mut call = pin!(call);
    loop {
        let left = if open.is_empty() {
            queue.time_left(parts.clock.now())
        } else {
            time_left(parts, open)
        };
        if let Ok(answer) = timeout(left, &mut call).await {
            return answer;
        }
        expire(parts, queue, open);
        if open.is_empty() {
            queue.expire(parts.clock.now());
        }
    }
}
