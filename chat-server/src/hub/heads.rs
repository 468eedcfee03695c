//! Reading the store's heads when something may have been missed.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{StreamExt as _, iter};
use tokio::time::sleep;
use tracing::warn;

use super::topic::LiveTopic;
use super::{FILL_PAUSE, Hub};
use crate::store::View;

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
        let all = self.parts.topics.iter().map(|live| Arc::clone(&live));
        let mut open: Vec<Arc<LiveTopic>> = all.collect();
        loop {
            let reads = iter(open).map(|live| self.read_head(live));
            let unknown = reads.buffer_unordered(HEADS_AT_ONCE);
            open = unknown.filter_map(std::future::ready).collect().await;
            open.retain(|live| {
                let now = self.live(live.topic());
                now.is_some_and(|now| Arc::ptr_eq(&now, live))
            });
            if open.is_empty() || self.parts.drain.soft().is_cancelled() {
                return;
            }
            sleep(FILL_PAUSE).await;
            if self.parts.head_check.is_outdated() {
                return;
            }
        }
    }

    /// Tells the topic how far its log goes; gives it back if the store does not know.
    async fn read_head(&self, live: Arc<LiveTopic>) -> Option<Arc<LiveTopic>> {
        match self.parts.store.head(live.topic(), View::Quorum).await {
            Ok(head) => {
                live.ring().hear_of(head);
                self.fill_if_missing(&live);
                None
            }
            Err(error) => {
                warn!("head of {} unknown: {error}", live.topic());
                Some(live)
            }
        }
    }
}
