//! Reading from the store what is missing between what is shown and what was told of.

use std::sync::Arc;

use shared::ids::Seq;
use tokio::time::sleep;

use super::topic::LiveTopic;
use super::{FILL_PAUSE, Hub};
use crate::log::{Entry, Topic};
use crate::store::{READ_ENTRIES_MAX, ReadConsistency, StoreError};

/// What was read after a position.
enum Page {
    /// Everything up to this position; in an inbox some may have expired, in a room be lost.
    Whole(Vec<Arc<Entry>>, Seq),
    /// Something that must be there is not.
    Lacking,
}

impl Hub {
    /// Reads what is missing, in a task of its own, at most one per topic.
    pub(super) fn fill_if_missing(&self, live: &Arc<LiveTopic>) {
        if live.ring().missing().is_none() || !live.start_filling() {
            return;
        }
        let (hub, live) = (self.clone(), Arc::clone(live));
        drop(self.parts.drain.spawn("hub-fill", async move {
            hub.fill(&live).await;
        }));
    }

    async fn fill(&self, live: &Arc<LiveTopic>) {
        loop {
            let missing = live.ring().missing();
            let Some((head, last)) = missing else {
                live.stop_filling();
                // Something may have come between the look and the stop.
                if live.ring().missing().is_some() && live.start_filling() {
                    continue;
                }
                return;
            };
            let done = match self.read_whole(live.topic(), head, last).await {
                Ok(Page::Whole(entries, last)) => {
                    self.parts.metrics.gaps_filled.inc();
                    let now = self.parts.clock.now();
                    live.change(|ring| ring.fill(&entries, last, now));
                    self.check_record(live);
                    continue;
                }
                Ok(Page::Lacking) => self.look_for_end(live).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                let errors = &self.parts.metrics.store_errors;
                errors.with_label_values(&["fill"]).inc();
                tracing::debug!(topic = %live.topic(), "missing entries not read: {error}");
            }
            if self.parts.drain.hard().is_cancelled() || !self.is_current(live) {
                return live.stop_filling();
            }
            sleep(FILL_PAUSE).await;
        }
    }

    /// A page of what lies after `head`, up to `told` at most; asked again when something is missing.
    async fn read_whole(&self, topic: Topic, head: Seq, told: Seq) -> Result<Page, StoreError> {
        let first = head.saturating_add(1);
        let last = first.saturating_add(READ_ENTRIES_MAX - 1).min(told);
        let wanted = last.since(head) as usize;
        let store = &self.parts.store;
        let entries = store
            .read(topic, first, last, ReadConsistency::Quorum)
            .await?;
        if entries.len() == wanted {
            return Ok(Page::Whole(entries, last));
        }
        // The head first: what is missing up to it in a settled read that follows is a hole.
        if matches!(topic, Topic::Room(_))
            && store.head(topic, ReadConsistency::Serial).await? < last
        {
            return Ok(Page::Lacking);
        }
        let entries = store
            .read(topic, first, last, ReadConsistency::Serial)
            .await?;
        if entries.is_empty() && last < told {
            let end = store.nearest(topic, last, told).await?;
            return Ok(Page::Whole(entries, before(end, last)));
        }
        Ok(Page::Whole(entries, last))
    }
}

/// The position before the next entry, but not before `last`, which is known to have none.
fn before(next: Option<Seq>, last: Seq) -> Seq {
    next.map_or(last, |next| next.saturating_sub(1).max(last))
}
