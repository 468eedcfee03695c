//! In-process bus: attached nodes receive each other's events at once.
//!
//! The embedded mode attaches a single node, whose events have no receiver; tests attach several.
//!
//! It does not fail: nothing is lost but what a full receiver cannot take.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use shared::ids::{RoomId, Seq};
use tokio::sync::mpsc;

use super::event_sink::EventSink;
use super::{Bus, BusError, BusEvent, BusState, Control};
use crate::log::{Entry, RoomEvent, Topic};

/// A bus of this process. Clones are the same bus.
#[derive(Clone, Debug, Default)]
pub struct LocalBus {
    /// A lock and not an atomic count, even for the single node: a node that subscribes and then
    /// reads the head either finds the entry there, or the publisher, which stored it before, finds
    /// the subscription here.
    nodes: Arc<RwLock<Vec<Arc<Node>>>>,
}

/// An attached node.
#[derive(Debug)]
struct Node {
    /// Locks are taken one at a time after `nodes`, and held for a few lines.
    inbox: Mutex<NodeInbox>,
}

/// The topics a node subscribes, and its event queue.
#[derive(Debug)]
struct NodeInbox {
    topics: HashSet<Topic>,
    sink: EventSink,
}

/// A node's connection to a [`LocalBus`]. Dropping it ends its receiver.
#[derive(Debug)]
pub struct LocalNode {
    bus: LocalBus,
    node: Arc<Node>,
}

impl LocalBus {
    /// A bus without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches a node that can have `capacity` events waiting, at least one, and one `Lost`.
    #[must_use]
    pub fn attach(&self, capacity: usize) -> (LocalNode, mpsc::Receiver<BusEvent>) {
        let (sink, receiver) = EventSink::new(capacity);
        let inbox = NodeInbox {
            topics: HashSet::new(),
            sink,
        };
        let node = Arc::new(Node {
            inbox: Mutex::new(inbox),
        });
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.push(Arc::clone(&node));
        drop(nodes);
        (
            LocalNode {
                bus: self.clone(),
                node,
            },
            receiver,
        )
    }
}

impl LocalNode {
    /// Sends `event` to all other nodes that subscribe `topic`.
    fn send(&self, topic: Topic, event: impl Fn() -> BusEvent) {
        self.send_if(|inbox| inbox.topics.contains(&topic), event);
    }

    fn leave(&self) {
        let mut nodes = self
            .bus
            .nodes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node| !Arc::ptr_eq(node, &self.node));
    }

    /// Sends `event` to all other nodes that `wants` picks.
    fn send_if(&self, wants: impl Fn(&NodeInbox) -> bool, event: impl Fn() -> BusEvent) {
        let nodes = self
            .bus
            .nodes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for other in nodes.iter().filter(|other| !Arc::ptr_eq(other, &self.node)) {
            let mut inbox = other.lock();
            if wants(&inbox) {
                inbox.sink.push(event());
            }
        }
    }
}

impl Node {
    fn lock(&self) -> std::sync::MutexGuard<'_, NodeInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.leave();
    }
}

#[async_trait]
impl Bus for LocalNode {
    async fn subscribe(&self, topic: Topic) -> Result<(), BusError> {
        self.node.lock().topics.insert(topic);
        Ok(())
    }

    async fn unsubscribe(&self, topic: Topic) {
        self.node.lock().topics.remove(&topic);
    }

    fn publish(&self, topic: Topic, entries: Arc<[Arc<Entry>]>) {
        self.send(topic, || BusEvent::Entries(topic, Arc::clone(&entries)));
    }

    fn publish_event(&self, room: RoomId, event: RoomEvent) {
        self.send(Topic::Room(room), || BusEvent::Room(room, event));
    }

    fn publish_control(&self, control: Control) {
        self.send_if(|_| true, || BusEvent::Control(control));
    }

    /// No event is lost unnoticed here, so there are no heads to compare.
    fn note_head(&self, _topic: Topic, _head: Seq) {}

    async fn heads(&self, topics: &[Topic]) -> Result<Vec<Option<Seq>>, BusError> {
        Ok(vec![None; topics.len()])
    }

    fn state(&self) -> BusState {
        BusState::Up
    }

    async fn close(&self, _time_max: Duration) {
        self.leave();
    }
}
