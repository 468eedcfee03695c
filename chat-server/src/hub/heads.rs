//! Head checks: topics are compared with the store's heads when publications may have been missed.
//!
//! One check of all topics runs at a time. When to check is decided by `watch` and by the bus.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{StreamExt as _, iter};
use tokio::time::sleep;
use tracing::warn;

use super::fill::{check_record, fill_if_missing, reset};
use super::topic::LiveTopic;
use super::{RETRY_PAUSE, State};
use crate::metrics::HeadRead;
use crate::store::{ReadConsistency, StoreError};

/// Heads read at a time: a node has ten thousand topics, and the store has other readers.
const HEADS_AT_ONCE: usize = 16;

/// State of the check of all topics. At most one runs. A loss meanwhile makes it start again, once
/// for however many losses: one more check covers all of them.
#[derive(Debug, Default)]
pub(super) struct HeadCheck {
    state: Mutex<CheckState>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CheckState {
    #[default]
    Idle,
    Running,
    /// Something was lost after the check began.
    Outdated,
}

impl HeadCheck {
    /// Requests a check; whether the caller has to run it.
    fn request(&self) -> bool {
        self.change(|state| match state {
            CheckState::Idle => CheckState::Running,
            CheckState::Running | CheckState::Outdated => CheckState::Outdated,
        }) == CheckState::Idle
    }

    /// A check of everything begins; it covers what was lost before.
    fn begin(&self) {
        self.change(|_| CheckState::Running);
    }

    fn is_outdated(&self) -> bool {
        self.change(|state| state) == CheckState::Outdated
    }

    /// A check has ended; whether no other one is needed.
    fn end(&self) -> bool {
        self.change(|state| match state {
            CheckState::Running | CheckState::Idle => CheckState::Idle,
            CheckState::Outdated => CheckState::Outdated,
        }) != CheckState::Outdated
    }

    /// Changes the state; returns the previous one.
    fn change(&self, change: impl FnOnce(CheckState) -> CheckState) -> CheckState {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *state;
        *state = change(before);
        before
    }
}

/// Result of comparing a topic with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Same,
    /// The log has entries that were not announced yet.
    Behind,
    /// The log ends before what was shown; the topic was removed.
    Reset,
}

/// Publications may have been missed: reads the head of every topic here from the store, until it
/// has answered for each. Nothing else would find what was missed before the log grows again.
pub(super) fn check_heads(state: &Arc<State>) {
    if !state.head_check.request() {
        return;
    }
    let checking = Arc::clone(state);
    let check = async move {
        loop {
            checking.head_check.begin();
            read_all_heads(&checking).await;
            if checking.head_check.end() {
                return;
            }
        }
    };
    drop(state.parts.drain.spawn("hub-heads", check));
}

/// Ends early when more was lost: then all heads must be read again.
async fn read_all_heads(state: &Arc<State>) {
    let mut open = state.topics.all();
    loop {
        open = read_heads(state, open, HeadRead::Loss).await;
        open.retain(|live| state.topics.is_current(live));
        if open.is_empty() || state.parts.drain.soft().is_cancelled() {
            return;
        }
        sleep(RETRY_PAUSE).await;
        if state.head_check.is_outdated() {
            return;
        }
    }
}

/// Compares these topics with the store; returns those for which it has no answer now.
pub(super) async fn read_heads(
    state: &Arc<State>,
    topics: Vec<Arc<LiveTopic>>,
    why: HeadRead,
) -> Vec<Arc<LiveTopic>> {
    let reads = iter(topics).map(|live| read_head(state, live, why));
    let unknown = reads.buffer_unordered(HEADS_AT_ONCE);
    unknown.filter_map(std::future::ready).collect().await
}

/// Compares one topic with the store; returns it if the store does not answer.
async fn read_head(
    state: &Arc<State>,
    live: Arc<LiveTopic>,
    why: HeadRead,
) -> Option<Arc<LiveTopic>> {
    let metrics = &state.parts.metrics;
    metrics.head_reads.count(why);
    match compare(state, &live).await {
        Ok(Compared::Behind) => metrics.heads_behind.count(why),
        Ok(Compared::Same) => {
            check_record(state, &live);
            if live.take_wrong_note() {
                // Or the store would be read again in each round until the log grows.
                state.parts.bus.note_head(live.topic(), live.head());
            }
        }
        Ok(Compared::Reset) => {}
        Err(error) => {
            metrics.store_errors.with_label_values(&["head"]).inc();
            warn!("head of {} unknown: {error}", live.topic());
            return Some(live);
        }
    }
    None
}

async fn compare(state: &Arc<State>, live: &Arc<LiveTopic>) -> Result<Compared, StoreError> {
    // Taken before the store is read: what is shown is stored, so the store's head cannot be less.
    let (shown, topic) = (live.ring().head(), live.topic());
    let is_less = |head| shown.is_some_and(|shown| head < shown);
    let store = &state.parts.store;
    let mut head = store.head(topic, ReadConsistency::Quorum).await?;
    if is_less(head) {
        // A replica may lag; only then is the costlier read worth it.
        head = store.head(topic, ReadConsistency::Serial).await?;
        if is_less(head) {
            reset(state, live).await;
            return Ok(Compared::Reset);
        }
    }
    let is_news = live.ring().announce(head);
    fill_if_missing(state, live);
    Ok(if is_news {
        Compared::Behind
    } else {
        Compared::Same
    })
}
