//! The topics with subscriptions on this node, by name.
//!
//! A gate keeps the joins and the removal of one topic apart on their way to the bus: an unsubscribe
//! must not overtake a subscribe. What entries a topic shows, and when it is removed, is decided
//! elsewhere.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Mutex as Gate;

use super::topic::{Joining, LiveTopic};
use crate::log::Topic;

/// Topics that share a gate wait for each other's bus; so many make that rare.
const GATES: usize = 64;

/// The live topics of a node.
#[derive(Debug)]
pub(super) struct Topics {
    live: DashMap<Topic, Arc<LiveTopic>>,
    gates: [Gate<()>; GATES],
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            live: DashMap::new(),
            gates: std::array::from_fn(|_| Gate::new(())),
        }
    }
}

impl Topics {
    /// The topic, if it has subscriptions here.
    pub(super) fn get(&self, topic: Topic) -> Option<Arc<LiveTopic>> {
        self.live.get(&topic).map(|live| Arc::clone(&live))
    }

    /// All of them, without any lock held.
    pub(super) fn all(&self) -> Vec<Arc<LiveTopic>> {
        self.live.iter().map(|live| Arc::clone(&live)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// Whether this is the topic of its name, not one that was removed.
    pub(super) fn is_current(&self, live: &Arc<LiveTopic>) -> bool {
        let current = self.get(live.topic());
        current.is_some_and(|current| Arc::ptr_eq(&current, live))
    }

    /// Begins a join under the map's lock, so that a removal cannot come between.
    pub(super) fn join(&self, topic: Topic) -> Joining {
        let entry = self.live.entry(topic);
        let live = entry.or_insert_with(|| Arc::new(LiveTopic::new(topic)));
        live.join()
    }

    /// Removes the topic if `condition` holds for it, under the map's lock; whether it did.
    pub(super) fn remove_if(
        &self,
        topic: Topic,
        condition: impl Fn(&Arc<LiveTopic>) -> bool,
    ) -> bool {
        let removed = self.live.remove_if(&topic, |_, live| condition(live));
        removed.is_some()
    }

    /// Held while the bus subscribes to or unsubscribes from the topic.
    pub(super) fn gate(&self, topic: Topic) -> &Gate<()> {
        &self.gates[topic.owner_id() as usize % GATES]
    }
}
