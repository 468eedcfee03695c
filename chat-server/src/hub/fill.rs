//! Gaps: entries between what a topic shows and the newest seq that was announced, read from the
//! store.
//!
//! At most one task per topic reads. Where the store ends before what was announced, or before what
//! was shown, the topic is corrected or reset.

use std::sync::Arc;

use shared::ids::Seq;
use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::topic::LiveTopic;
use super::{RETRY_PAUSE, State};
use crate::log::{Entry, Topic};
use crate::store::{MessageStore, READ_ENTRIES_MAX, ReadConsistency, StoreError};
use crate::wakers::Wakers;

/// Entries after a position.
enum Page {
    /// Everything up to this position; in an inbox some may have expired, in a room be lost.
    Whole(Vec<Arc<Entry>>, Seq),
    /// Entries that must be in the store are not.
    Incomplete,
}

/// Starts the task that reads what is missing, if something is and no task runs.
pub(super) fn fill_if_missing(state: &Arc<State>, live: &Arc<LiveTopic>) {
    if live.ring().missing().is_none() || !live.start_filling() {
        return;
    }
    let (filling, live) = (Arc::clone(state), Arc::clone(live));
    drop(state.parts.drain.spawn("hub-fill", async move {
        fill(&filling, &live).await;
    }));
}

async fn fill(state: &State, live: &Arc<LiveTopic>) {
    let parts = &state.parts;
    loop {
        let missing = live.ring().missing();
        let Some((head, announced)) = missing else {
            live.stop_filling();
            // An announcement may have come between the check and the stop.
            if live.ring().missing().is_some() && live.start_filling() {
                continue;
            }
            return;
        };
        let done = match read_page(parts.store.as_ref(), live.topic(), head, announced).await {
            Ok(Page::Whole(entries, last)) => {
                parts.metrics.gaps_filled.inc();
                let now = parts.clock.now();
                live.change(
                    |ring| ring.fill(&entries, last, now),
                    &mut Wakers::default(),
                );
                check_record(state, live);
                continue;
            }
            Ok(Page::Incomplete) => correct_head(state, live).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let errors = &parts.metrics.store_errors;
            errors.with_label_values(&["fill"]).inc();
            debug!(topic = %live.topic(), "missing entries not read: {error}");
        }
        if parts.drain.hard().is_cancelled() || !state.topics.is_current(live) {
            return live.stop_filling();
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// A page of what lies after `head`, at most up to `announced`; read at a higher consistency when
/// something is missing.
async fn read_page(
    store: &dyn MessageStore,
    topic: Topic,
    head: Seq,
    announced: Seq,
) -> Result<Page, StoreError> {
    let first = head.saturating_add(1);
    let last = first.saturating_add(READ_ENTRIES_MAX - 1).min(announced);
    let wanted = last.since(head) as usize;
    let entries = store
        .read(topic, first, last, ReadConsistency::Quorum)
        .await?;
    if entries.len() == wanted {
        return Ok(Page::Whole(entries, last));
    }
    // The head first: what a serial read after it does not find up to there is a hole.
    if matches!(topic, Topic::Room(_)) && store.head(topic, ReadConsistency::Serial).await? < last {
        return Ok(Page::Incomplete);
    }
    let entries = store
        .read(topic, first, last, ReadConsistency::Serial)
        .await?;
    if entries.is_empty() && last < announced {
        // Nothing is there up to `last`; the next entry may be far behind it.
        let next = store.nearest(topic, last, announced).await?;
        let end = next.map_or(last, |next| next.saturating_sub(1).max(last));
        return Ok(Page::Whole(entries, end));
    }
    Ok(Page::Whole(entries, last))
}

/// Announced entries are not in the store. Reads how far the log really goes and corrects the topic:
/// a backup was restored, or what was announced was never stored.
async fn correct_head(state: &State, live: &Arc<LiveTopic>) -> Result<(), StoreError> {
    let (shown, announced) = {
        let ring = live.ring();
        (ring.head(), ring.announced())
    };
    let topic = live.topic();
    let head = state
        .parts
        .store
        .head(topic, ReadConsistency::Serial)
        .await?;
    if shown.is_some_and(|shown| head < shown) {
        reset(state, live).await;
    } else if head < announced && live.ring().retract(announced, head) {
        warn!(%topic, "{topic} ends at {head}, not at {announced} as was announced");
        live.require_head_check(); // what came in between may have been retracted with it
    }
    Ok(())
}

/// Removes a topic that ends in the store before what was shown: a backup was restored. Seqs that
/// subscribers have seen will be given to other entries, so their connections are closed; when they
/// resume, they learn that their position is gone.
pub(super) async fn reset(state: &State, live: &Arc<LiveTopic>) {
    let topic = live.topic();
    let gate = state.topics.gate(topic).lock().await;
    let is_same = |current: &Arc<LiveTopic>| Arc::ptr_eq(current, live);
    if !state.topics.remove_if(topic, is_same) {
        return;
    }
    state.parts.bus.unsubscribe(topic).await;
    drop(gate);
    state.parts.metrics.topics_reset.inc();
    error!(%topic, "{topic} ends in the store before what was shown; its subscribers are closed");
    live.close_gracefully();
}

/// The room's record for lists may be behind what is shown here: the node that stored the newest
/// entry may have ended before it noted it. Checked once for each head.
pub(super) fn check_record(state: &State, live: &LiveTopic) {
    let head = live.head();
    if live.take_unchecked(head) {
        state.parts.heads.check(live.topic(), head);
    }
}
