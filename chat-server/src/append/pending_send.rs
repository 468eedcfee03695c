//! The sends of one batch: which of them are stored, which get a position, what they are told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, Seq};

use super::log_tail::LogTail;
use super::queue::{Job, TopicQueue};
use super::window::Repeated;
use super::{AppendError, Outcome, Parts, SEND_DEADLINE};
use crate::log::{Draft, Entry};
use crate::metrics::SendOutcome;

/// A send on its way.
pub(super) struct PendingSend {
    pub(super) job: Job,
    /// What was found of its drafts in the log, so far.
    pub(super) found: Vec<Option<Found>>,
}

/// A draft that is in the log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Stored by an append of this send, and shown.
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
        Self { job, found }
    }

    /// Whether all of it is in the log.
    fn is_settled(&self) -> bool {
        self.found.iter().all(Option::is_some)
    }

    pub(super) fn tell(self, outcome: Outcome) {
        (self.job.done)(outcome);
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
    /// Notes the positions of drafts that are stored under their name already.
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
            open.remove(at).tell(Err(AppendError::NameTaken));
        }
    }
}

/// Positions for what is not stored yet. Drafts of one name in one batch are one entry.
#[derive(Default)]
pub(super) struct SeqAssignment {
    /// What the store is asked to append.
    pub(super) entries: Vec<Arc<Entry>>,
    /// Positions that sends of this batch are repetitions of.
    pub(super) repeated: BTreeSet<Seq>,
    /// Where the entry of a name is in `entries`.
    named: HashMap<(Option<MemberId>, Box<str>), usize>,
}

impl SeqAssignment {
    /// Numbers all sends from the known head on; those that cannot be stored are told so.
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
            open.remove(at).tell(Err(error));
        }
        numbering
    }

    /// Takes back what a send added before it was refused: nobody may join what is not stored.
    fn truncate(&mut self, kept: usize) {
        self.entries.truncate(kept);
        self.named.retain(|_, at| *at < kept);
    }

    fn add(&mut self, tail: &LogTail, send: &mut PendingSend) -> Result<(), AppendError> {
        for (draft, found) in send.job.drafts.iter_mut().zip(&send.found) {
            match found {
                Some(Found::Repeated(seq)) => drop(self.repeated.insert(*seq)),
                Some(Found::Own(_)) => {}
                None => self.add_draft(tail, draft)?,
            }
        }
        Ok(())
    }

    fn add_draft(&mut self, tail: &LogTail, draft: &mut Draft) -> Result<(), AppendError> {
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
                    Ok(())
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
        // Times never fall within a log, whatever the clock of this node or of another says.
        draft.sent_at = draft.sent_at.max(newest_at);
        self.entries.push(Arc::new(Entry {
            seq,
            deleted: false,
            draft,
        }));
        Ok(())
    }
}

/// Gives up on sends whose time is over, and on those of their origins behind them.
pub(super) fn expire(parts: &Parts, queue: &TopicQueue, open: &mut Vec<PendingSend>) {
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

/// Until the first of the sends has to be told.
pub(super) fn time_left(parts: &Parts, open: &[PendingSend]) -> Duration {
    let first = open.iter().map(|send| send.job.deadline).min();
    let now = parts.clock.now();
    first.map_or(SEND_DEADLINE, |first| first.saturating_duration_since(now))
}

pub(super) fn refuse_all(open: &mut Vec<PendingSend>, error: AppendError) {
    for send in open.drain(..) {
        send.tell(Err(error));
    }
}

/// Tells every send whose drafts all have a position now; the others stay open.
pub(super) fn finish(parts: &Parts, open: &mut Vec<PendingSend>) {
    let (settled, unsettled) = open.drain(..).partition(PendingSend::is_settled);
    *open = unsettled;
    let settled: Vec<PendingSend> = settled;
    for send in settled {
        let is_repeated = |found: &Option<Found>| matches!(found, Some(Found::Repeated(_)));
        let label = if send.found.iter().any(is_repeated) {
            SendOutcome::Dup
        } else {
            SendOutcome::Ok
        };
        parts.metrics.sends.count(label);
        let seqs = send.found.iter().flatten().map(|found| found.seq());
        let seqs = seqs.collect();
        send.tell(Ok(seqs));
    }
}
