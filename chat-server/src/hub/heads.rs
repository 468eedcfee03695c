//! Reading the store's heads when something may have been missed.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{StreamExt as _, iter};
use tokio::time::sleep;
use tracing::{error, warn};

use super::topic::LiveTopic;
use super::{FILL_PAUSE, Hub};
use crate::metrics::HeadRead;
use crate::store::{ReadConsistency, StoreError};

/// Heads read at a time: a node follows ten thousand topics, and the store has others to serve.
const HEADS_AT_ONCE: usize = 16;

/// At most one check is under way. What is lost meanwhile makes it begin again, however often that
/// is: one more look finds all of it.
#[derive(Debug, Default)]
pub(super) struct HeadCheck {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Running,
    /// Something was lost after the check began.
    Outdated,
}

impl HeadCheck {
    /// Whether the caller is the one that has to check.
    fn ask(&self) -> bool {
        self.change(|state| match state {
            State::Idle => State::Running,
            State::Running | State::Outdated => State::Outdated,
        }) == State::Idle
    }

    /// Begins to look at everything; what was lost before is covered by it.
    fn begin(&self) {
        self.change(|_| State::Running);
    }

    fn is_outdated(&self) -> bool {
        self.change(|state| state) == State::Outdated
    }

    /// Whether the check is over.
    fn end(&self) -> bool {
        self.change(|state| match state {
            State::Running | State::Idle => State::Idle,
            State::Outdated => State::Outdated,
        }) != State::Outdated
    }

    /// Returns what it was.
    fn change(&self, change: impl FnOnce(State) -> State) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *state;
        *state = change(before);
        before
    }
}

impl Hub {
    /// Something may have been missed: asks the store for the head of every topic here, until it
    /// has answered for each. Nothing else would find what was missed before the log grows again.
    pub(super) fn check_heads(&self) {
        if !self.parts.head_check.ask() {
            return;
        }
        let hub = self.clone();
        let check = async move {
            loop {
                hub.parts.head_check.begin();
                hub.read_all_heads().await;
                if hub.parts.head_check.end() {
                    return;
                }
            }
        };
        drop(self.parts.drain.spawn("hub-heads", check));
    }

    /// Gives up when more was lost: then all must be asked for again.
    async fn read_all_heads(&self) {
        let mut open = self.all_live();
        loop {
            open = self.read_heads(open, HeadRead::Loss).await;
            open.retain(|live| self.is_current(live));
            if open.is_empty() || self.parts.drain.soft().is_cancelled() {
                return;
            }
            sleep(FILL_PAUSE).await;
            if self.parts.head_check.is_outdated() {
                return;
            }
        }
    }

    /// Asks the store for the heads of these topics; those for which it has no answer now.
    pub(super) async fn read_heads(
        &self,
        topics: Vec<Arc<LiveTopic>>,
        why: HeadRead,
    ) -> Vec<Arc<LiveTopic>> {
        let reads = iter(topics).map(|live| self.read_head(live, why));
        let unknown = reads.buffer_unordered(HEADS_AT_ONCE);
        unknown.filter_map(std::future::ready).collect().await
    }

    /// Tells the topic how far its log goes; gives it back if the store does not know.
    async fn read_head(&self, live: Arc<LiveTopic>, why: HeadRead) -> Option<Arc<LiveTopic>> {
        let metrics = &self.parts.metrics;
        metrics.head_reads.count(why);
        match self.compare(&live).await {
            Ok(Compared::Behind) => metrics.heads_behind.count(why),
            Ok(Compared::Same) => {
                self.check_record(&live);
                if live.take_wrong_note() {
                    // Or the store would be asked again at each round until the log grows.
                    self.parts.bus.note_head(live.topic(), live.head());
                }
            }
            Ok(Compared::WentBack) => {}
            Err(error) => {
                metrics.store_errors.with_label_values(&["head"]).inc();
                warn!("head of {} unknown: {error}", live.topic());
                return Some(live);
            }
        }
        None
    }

    /// Compares what is shown with the store's log.
    async fn compare(&self, live: &Arc<LiveTopic>) -> Result<Compared, StoreError> {
        // Looked at before the store is asked: what is shown is stored, so its head cannot be less.
        let (shown, topic) = (live.ring().head(), live.topic());
        let is_less = |head| shown.is_some_and(|shown| head < shown);
        let mut head = self
            .parts
            .store
            .head(topic, ReadConsistency::Quorum)
            .await?;
        if is_less(head) {
            // A replica may lag; only then is it asked in the way that costs more.
            head = self
                .parts
                .store
                .head(topic, ReadConsistency::Serial)
                .await?;
            if is_less(head) {
                self.let_go(live).await;
                return Ok(Compared::WentBack);
            }
        }
        let is_news = live.ring().hear_of(head);
        self.fill_if_missing(live);
        Ok(if is_news {
            Compared::Behind
        } else {
            Compared::Same
        })
    }

    /// Entries that were told of are not in the store. Asks how far its log really goes, and
    /// believes that: a backup was restored, or somebody told of what never was.
    pub(super) async fn look_for_end(&self, live: &Arc<LiveTopic>) -> Result<(), StoreError> {
        let (shown, told) = {
            let ring = live.ring();
            (ring.head(), ring.heard_of())
        };
        let head = self
            .parts
            .store
            .head(live.topic(), ReadConsistency::Serial)
            .await?;
        if shown.is_some_and(|shown| head < shown) {
            self.let_go(live).await;
        } else if head < told && live.ring().unhear(told, head) {
            warn!(
                topic = %live.topic(),
                "{} ends at {head}, not at {told} as was told", live.topic()
            );
            live.require_head_check(); // what came in between may have gone with it
        }
        Ok(())
    }

    /// The store's log ends before what was shown: a backup was restored. Positions that
    /// subscribers have seen will be given to other entries, so they have to begin again: coming
    /// back with their last position they are told that it is gone.
    async fn let_go(&self, live: &Arc<LiveTopic>) {
        let topic = live.topic();
        let gate = self.gate(topic).lock().await;
        let is_it = |_: &_, known: &Arc<LiveTopic>| Arc::ptr_eq(known, live);
        if self.parts.topics.remove_if(&topic, is_it).is_none() {
            return;
        }
        self.parts.bus.unsubscribe(topic).await;
        drop(gate);
        self.parts.metrics.topics_reset.inc();
        error!(%topic, "{topic} ends in the store before what was shown; its subscribers are closed");
        live.close_gracefully();
    }
}

/// What became of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Same,
    /// The log has entries that nobody has told of yet.
    Behind,
    /// The log ends before what was shown; the topic is gone.
    WentBack,
}
