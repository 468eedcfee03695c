//! The bus: tells the other nodes that a log has grown.
//!
//! Nothing depends on it for truth. What is lost here is found again in the store; what arrives
//! twice is dropped by its position.

pub mod local;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use shared::ids::RoomId;

use crate::log::{Entry, RoomEvent, Topic};

/// Why the bus did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("bus unavailable: {0}")]
pub struct BusError(pub String);

/// What the bus brings from other nodes.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// Entries of a topic were stored; positions rising by one.
    Entries(Topic, Arc<[Arc<Entry>]>),
    /// Something happened in a room beside its log.
    Room(RoomId, RoomEvent),
    /// Anything may have been missed: read the store's heads of all topics followed here.
    Lost,
}

/// A node's connection to the bus. Its events come out of the receiver it was made with.
///
/// Contract:
/// * After `subscribe` returned `Ok`, what other nodes publish on the topic (entries, and for a room
///   its events) arrives here as a [`BusEvent`], unless a [`BusEvent::Lost`] comes instead. A node
///   does not hear itself.
/// * Per topic and publishing node, events arrive in the order published.
/// * `publish` never waits and never fails the caller; what cannot be sent is made good by the
///   bus itself, or shows as `Lost` elsewhere.
/// * The receiver is bounded. When it is full, what does not fit is replaced by one `Lost`.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Begins to hear a topic; confirmed when it returns.
    async fn subscribe(&self, topic: Topic) -> Result<(), BusError>;

    /// Stops hearing a topic.
    async fn unsubscribe(&self, topic: Topic);

    /// Tells the other nodes about stored entries.
    fn publish(&self, topic: Topic, entries: Arc<[Arc<Entry>]>);

    /// Tells the other nodes about something that is not stored.
    fn publish_event(&self, room: RoomId, event: RoomEvent);
}
