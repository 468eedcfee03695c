//! One batch on its way into the log.
//!
//! Each attempt leaves out what is stored already, numbers the rest from the known head and asks the
//! store. Applied: done. Another head: read what came in between, find one's own sends in it by
//! their uid, again. Unknown: the same question again; either it applies now, or the head has moved
//! and the uids tell whether it was us.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::Seq;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::known::{ATTEMPT, Known, Retry, ask};
use super::open::{Numbering, Open, expire, finish, refuse_all, time_left};
use super::{AppendError, Job, Parts};
use crate::log::{Entry, Kind, Topic, Uid};
use crate::store::{Append, RoomHead, StoreError, View};

/// Between attempts while the store is away.
const PAUSE_MS: u64 = 100;

/// Gets the jobs into the log or refuses them; every job's `done` is called.
pub(super) async fn settle(parts: &Parts, topic: Topic, known: &mut Option<Known>, jobs: Vec<Job>) {
    let mut open: Vec<Open> = jobs.into_iter().map(Open::new).collect();
    loop {
        expire(parts, &mut open);
        if open.is_empty() {
            return;
        }
        // Cut short where a send's time is over: it is told then, not when the store gives in. An
        // append that is cut is one of unknown outcome like any other.
        let left = time_left(parts, &open);
        let attempted = timeout(left, attempt(parts, topic, known, &mut open)).await;
        let pause_ms = match attempted.unwrap_or(Ok(())) {
            Ok(()) => continue,
            Err(Retry::Crowded) => rand::random_range(1..=10),
            Err(Retry::Trouble) => PAUSE_MS + rand::random_range(0..=PAUSE_MS),
        };
        sleep(Duration::from_millis(pause_ms).min(time_left(parts, &open))).await;
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
    let Numbering {
        entries, repeated, ..
    } = Numbering::of(state, open);
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
            while state.head < head {
                let others = state.catch_up(parts, topic, head).await?;
                publish_own(parts, topic, open, others);
            }
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

fn warn_if_nearly_full(topic: Topic, head: Seq) {
    if head.is_nearly_full() && head.get().is_multiple_of(1_000) {
        warn!(%topic, head = head.get(), "{topic} is nearly full");
    }
}
