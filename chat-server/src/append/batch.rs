//! One batch on its way into the log.
//!
//! Each attempt leaves out what is stored already, numbers the rest from the known head and asks the
//! store. Applied: done. Another head: read what came in between, find one's own sends in it by
//! their uid, again. Unknown: the same question again; either it applies now, or the head has moved
//! and the uids tell whether it was us.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{MemberId, Seq};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::window::{Repeated, Window, earlier_page, first_page};
use super::{AppendError, Job, Outcome, Parts};
use crate::log::{Draft, Entry, Kind, Topic, Uid};
use crate::store::{Append, READ_ENTRIES_MAX, RoomHead, StoreError, View};

/// One question to the store; then it is asked again, at another coordinator if there is one.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// Between attempts while the store is away.
const PAUSE_MS: u64 = 100;

/// What the appender knows of a log: all of it up to exactly this head, as far as names go.
pub(super) struct Known {
    head: Seq,
    /// Made when the first named send comes; most logs never need it.
    window: Option<Window>,
}

/// A send on its way.
struct Open {
    job: Job,
    /// The positions found for its drafts, so far.
    found: Vec<Option<Seq>>,
}

/// Why an attempt did not settle the batch.
enum Retry {
    /// The log grew meanwhile; other nodes write here too.
    Crowded,
    /// The store is not answering as it should.
    Trouble,
}

/// Gets the jobs into the log or refuses them; every job's `done` is called.
pub(super) async fn settle(parts: &Parts, topic: Topic, known: &mut Option<Known>, jobs: Vec<Job>) {
    let mut open: Vec<Open> = jobs.into_iter().map(Open::new).collect();
    loop {
        expire(parts, &mut open);
        if open.is_empty() {
            return;
        }
        match attempt(parts, topic, known, &mut open).await {
            Ok(()) => {}
            Err(Retry::Crowded) => sleep(Duration::from_millis(rand::random_range(1..=10))).await,
            Err(Retry::Trouble) => {
                sleep(Duration::from_millis(
                    PAUSE_MS + rand::random_range(0..=PAUSE_MS),
                ))
                .await;
            }
        }
    }
}

/// One pass: `Ok` when the store took what was asked, or there was nothing left to ask.
async fn attempt(
    parts: &Parts,
    topic: Topic,
    known: &mut Option<Known>,
    open: &mut Vec<Open>,
) -> Result<(), Retry> {
    let state = match known {
        Some(state) => state,
        None => known.insert(Known::load(parts, topic).await?),
    };
    if open.iter().any(|open| open.job.is_named()) {
        state.load_window(parts, topic).await?;
    }
    state.recognise(open);
    let (mut entries, mut repeated) = (Vec::new(), BTreeSet::new());
    let plan = state.number(open, &mut entries, &mut repeated);
    refuse(open, &plan);
    publish_again(parts, topic, &repeated).await;
    if entries.is_empty() {
        finish(parts, open, &HashMap::new());
        return Ok(());
    }
    let asked = timeout(
        ATTEMPT,
        parts.store.append(topic, state.head, entries.clone()),
    )
    .await;
    match asked {
        Ok(Ok(Append::Applied)) => {
            state.advance(&entries);
            let seqs = entries
                .iter()
                .map(|entry| (entry.draft.uid, entry.seq))
                .collect();
            warn_if_nearly_full(topic, state.head);
            finish(parts, open, &seqs);
            let newest = entries.last().cloned();
            let entries: Arc<[Arc<Entry>]> = entries.into();
            (parts.stored)(topic, &entries);
            parts.bus.publish(topic, entries);
            note_head(parts, topic, newest).await;
            Ok(())
        }
        Ok(Ok(Append::Conflict(head))) => {
            if head < state.head {
                *known = None; // a restored backup: what we know is of another log
                return Err(Retry::Crowded);
            }
            let others = state.catch_up(parts, topic, head).await?;
            publish_own(parts, topic, open, others);
            Err(Retry::Crowded)
        }
        Ok(Err(StoreError::Corrupt(what))) => {
            error!(%topic, "{topic} cannot be written: {what}");
            refuse_all(open, AppendError::Corrupt);
            Ok(())
        }
        Ok(Err(StoreError::Unavailable(_) | StoreError::Unknown(_))) | Err(_) => {
            parts
                .metrics
                .store_errors
                .with_label_values(&["append"])
                .inc();
            Err(Retry::Trouble)
        }
    }
}

impl Known {
    async fn load(parts: &Parts, topic: Topic) -> Result<Self, Retry> {
        let head = ask(parts, "head", parts.store.head(topic, View::Quorum)).await?;
        Ok(Self { head, window: None })
    }

    /// Reads the newest part of the log, back to where a repeated send could be.
    async fn load_window(&mut self, parts: &Parts, topic: Topic) -> Result<(), Retry> {
        if self.window.is_some() {
            return Ok(());
        }
        let now = parts.clock.unix_millis();
        let mut pages = Vec::new();
        let mut last = self.head;
        let mut next = (self.head > Seq::ZERO).then(|| first_page(topic, self.head));
        while let Some(first) = next {
            let page = ask(
                parts,
                "read",
                parts.store.read(topic, first, last, View::Quorum),
            );
            let page = page.await?;
            let oldest = page.first().map_or(now, |entry| entry.draft.sent_at);
            pages.push(page);
            last = before(first);
            next = earlier_page(self.head, first, oldest, now);
        }
        let mut window = Window::new(topic);
        for entry in pages.iter().rev().flatten() {
            window.push(entry);
        }
        self.window = Some(window);
        Ok(())
    }

    /// Takes in what the log holds beyond the known head, up to `head`.
    async fn catch_up(
        &mut self,
        parts: &Parts,
        topic: Topic,
        head: Seq,
    ) -> Result<Vec<Arc<Entry>>, Retry> {
        let mut all = Vec::new();
        while self.head < head {
            let first = after(self.head);
            let last = head
                .get()
                .min(first.get().saturating_add(READ_ENTRIES_MAX - 1));
            let last = Seq::try_from(u64::from(last)).unwrap_or(head);
            let mut page = ask(
                parts,
                "read",
                parts.store.read(topic, first, last, View::Quorum),
            )
            .await?;
            if !is_whole(topic, &page, first, last) {
                page = ask(
                    parts,
                    "read",
                    parts.store.read(topic, first, last, View::Settled),
                )
                .await?;
            }
            // Never append on a log of which a part is missing.
            if !is_whole(topic, &page, first, last) {
                return Err(Retry::Trouble);
            }
            if let Some(window) = &mut self.window {
                page.iter().for_each(|entry| window.push(entry));
            }
            self.head = last;
            all.extend(page);
        }
        Ok(all)
    }

    fn advance(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            self.head = entry.seq;
            if let Some(window) = &mut self.window {
                window.push(entry);
            }
        }
    }

    /// Notes the positions of drafts that are stored under their name already.
    fn recognise(&self, open: &mut Vec<Open>) {
        let Some(window) = &self.window else { return };
        let mut refused = Vec::new();
        for (at, send) in open.iter_mut().enumerate() {
            for (draft, found) in send.job.drafts.iter().zip(&mut send.found) {
                match window.find(draft) {
                    Some(Repeated::Same(seq)) => *found = found.or(Some(seq)),
                    Some(Repeated::Different) if found.is_none() => refused.push(at),
                    Some(Repeated::Different) | None => {}
                }
            }
        }
        for at in refused.into_iter().rev() {
            if at < open.len() {
                open.remove(at).tell(Err(AppendError::NameTaken));
            }
        }
    }

    /// Gives positions to what is not stored yet. Drafts of one name in one batch are one entry.
    /// Returns for each send why it cannot be stored, if so.
    fn number(
        &self,
        open: &mut [Open],
        entries: &mut Vec<Arc<Entry>>,
        repeated: &mut BTreeSet<Seq>,
    ) -> Vec<Option<AppendError>> {
        let mut head = self.head;
        let mut named: HashMap<(Option<MemberId>, Box<str>), Draft> = HashMap::new();
        let mut plan = Vec::with_capacity(open.len());
        for send in open.iter_mut() {
            let (start, kept) = (head, entries.len());
            let mut refused = None;
            for (draft, found) in send.job.drafts.iter_mut().zip(&send.found) {
                if let Some(seq) = found {
                    repeated.insert(*seq);
                    continue;
                }
                if let Some(id) = &draft.client_message_id {
                    let name = (draft.sender, id.clone());
                    let window = self.window.as_ref();
                    match named.get(&name) {
                        Some(first) if window.is_none_or(|window| window.same(first, draft)) => {
                            draft.uid = first.uid; // joined: one outcome for both
                            continue;
                        }
                        Some(_) => refused = Some(AppendError::NameTaken),
                        None => drop(named.insert(name, draft.clone())),
                    }
                }
                match head.next() {
                    Some(seq) => {
                        head = seq;
                        let entry = Entry {
                            seq,
                            deleted: false,
                            draft: draft.clone(),
                        };
                        entries.push(Arc::new(entry));
                    }
                    None => refused = Some(AppendError::Full),
                }
            }
            if refused.is_some() {
                head = start;
                entries.truncate(kept);
            }
            plan.push(refused);
        }
        plan
    }
}

impl Open {
    fn new(job: Job) -> Self {
        let found = vec![None; job.drafts.len()];
        Self { job, found }
    }

    fn tell(self, outcome: Outcome) {
        (self.job.done)(outcome);
    }
}

impl Job {
    fn is_named(&self) -> bool {
        self.drafts
            .iter()
            .any(|draft| draft.client_message_id.is_some())
    }
}

/// Gives up on sends whose time is over.
fn expire(parts: &Parts, open: &mut Vec<Open>) {
    let now = parts.clock.now();
    for at in (0..open.len()).rev() {
        if open.get(at).is_some_and(|send| send.job.deadline <= now) {
            open.remove(at).tell(Err(AppendError::Unavailable));
        }
    }
}

/// Refuses the sends for which the plan has a reason.
fn refuse(open: &mut Vec<Open>, plan: &[Option<AppendError>]) {
    for (at, reason) in plan.iter().enumerate().rev() {
        if let Some(reason) = reason {
            open.remove(at).tell(Err(*reason));
        }
    }
}

fn refuse_all(open: &mut Vec<Open>, error: AppendError) {
    for send in open.drain(..) {
        send.tell(Err(error));
    }
}

/// Tells every send whose drafts all have a position now.
fn finish(parts: &Parts, open: &mut Vec<Open>, seqs: &HashMap<Uid, Seq>) {
    for send in open.drain(..) {
        let drafts = send.job.drafts.iter().zip(&send.found);
        let found = drafts.map(|(draft, found)| found.or(seqs.get(&draft.uid).copied()));
        let outcome: Option<Vec<Seq>> = found.collect();
        let repeated = send.found.iter().any(Option::is_some);
        let label = if repeated { "dup" } else { "ok" };
        parts.metrics.sends.with_label_values(&[label]).inc();
        send.tell(outcome.ok_or(AppendError::Unavailable));
    }
}

/// An append whose outcome was unknown turns out to be in the log: its sends have their positions,
/// and nobody has published it yet.
fn publish_own(parts: &Parts, topic: Topic, open: &mut [Open], others: Vec<Arc<Entry>>) {
    let seqs: HashMap<Uid, Seq> = others
        .iter()
        .map(|entry| (entry.draft.uid, entry.seq))
        .collect();
    let mut ours = false;
    for send in open {
        for (draft, found) in send.job.drafts.iter().zip(&mut send.found) {
            if let Some(seq) = seqs.get(&draft.uid) {
                *found = Some(*seq);
                ours = true;
            }
        }
    }
    // All of them, so that the hub need not read what lies between.
    let entries: Arc<[Arc<Entry>]> = others.into();
    (parts.stored)(topic, &entries);
    if ours {
        parts.bus.publish(topic, entries);
    }
}

/// Whoever sends again may do so because the first publication was lost.
async fn publish_again(parts: &Parts, topic: Topic, repeated: &BTreeSet<Seq>) {
    for seq in repeated {
        let read = parts.store.read(topic, *seq, *seq, View::Quorum);
        if let Ok(entries) = ask(parts, "read", read).await {
            parts.bus.publish(topic, entries.into());
        }
    }
}

/// Tells the lists what a room's newest message is; a hint, so a failure is only counted.
async fn note_head(parts: &Parts, topic: Topic, newest: Option<Arc<Entry>>) {
    let (Topic::Room(room), Some(entry)) = (topic, newest) else {
        return;
    };
    let is_text = entry.draft.kind == Kind::Chat;
    let text = if is_text {
        String::from_utf8_lossy(&entry.draft.body)
    } else {
        "".into()
    };
    let head = RoomHead {
        room,
        seq: entry.seq,
        text: text.into_owned(),
        at: entry.draft.sent_at,
    };
    if timeout(ATTEMPT, parts.rooms.note_head(head))
        .await
        .is_ok_and(|noted| noted.is_ok())
    {
        return;
    }
    parts
        .metrics
        .store_errors
        .with_label_values(&["note_head"])
        .inc();
}

/// A question to the store within the time of one attempt.
async fn ask<T>(
    parts: &Parts,
    what: &str,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Retry> {
    match timeout(ATTEMPT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => {
            parts.metrics.store_errors.with_label_values(&[what]).inc();
            Err(Retry::Trouble)
        }
    }
}

/// Whether a page holds every position of its range. Inbox entries expire, so there only the newest
/// must be there.
fn is_whole(topic: Topic, page: &[Arc<Entry>], first: Seq, last: Seq) -> bool {
    let wanted = last.get().saturating_sub(first.get()).saturating_add(1);
    match topic {
        Topic::Room(_) => page.len() == wanted as usize,
        Topic::Inbox(_) => page.last().is_some_and(|entry| entry.seq == last),
    }
}

fn warn_if_nearly_full(topic: Topic, head: Seq) {
    if head.is_nearly_full() && head.get() % 1_000 == 0 {
        warn!(%topic, head = head.get(), "{topic} is nearly full");
    }
}

fn after(seq: Seq) -> Seq {
    seq.next().unwrap_or(Seq::MAX)
}

fn before(seq: Seq) -> Seq {
    Seq::try_from(u64::from(seq.get().saturating_sub(1))).unwrap_or(Seq::ZERO)
}
