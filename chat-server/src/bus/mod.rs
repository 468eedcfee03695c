//! The bus: tells the other nodes that a log has grown.
//!
//! Nothing depends on it for truth. What is lost here is found again in the store; what arrives
//! twice is dropped by its position.

mod control;
mod event_sink;
pub mod local;
pub mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::ids::{RoomId, Seq};

use crate::log::{Entry, RoomEvent, Topic};
pub use control::Control;

/// Why the bus did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("bus unavailable: {0}")]
pub struct BusError(pub String);

/// What the bus brings from other nodes.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// Entries of a topic were stored; positions rising by one.
    Entries(Topic, Arc<[Arc<Entry>]>),
    /// A topic's log has grown to here; the entries are to be read from the store.
    Head(Topic, Seq),
    /// Something happened in a room beside its log.
    Room(RoomId, RoomEvent),
    /// An order to all nodes.
    Control(Control),
    /// Anything may have been missed: read the store's heads of all topics followed here.
    Lost,
}

/// Whether a bus carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// It does, as far as is known.
    Up,
    /// It is known not to: what other nodes store has to be looked for in the store.
    Away,
}

/// A node's connection to the bus. Its events come out of the receiver it was made with.
///
/// Contract:
/// * After `subscribe` returned `Ok`, what other nodes publish on the topic (entries, or their head,
///   and for a room its events) arrives here as a [`BusEvent`], unless a [`BusEvent::Lost`] comes
///   instead. Control orders arrive without a subscription. A node does not hear itself.
/// * While the bus is away, `subscribe` fails at once; the topic is remembered and heard when the
///   bus is back. Then, after everything is heard again, comes a [`BusEvent::Lost`].
/// * Per topic and publishing node, events arrive in the order published.
/// * `publish` never waits and never fails the caller; entries that cannot be sent are made good by
///   the bus itself with a [`BusEvent::Head`], or show as `Lost` elsewhere. Events and orders may
///   be lost.
/// * The receiver is bounded. When it is full, what does not fit is replaced by one `Lost`.
/// * `note_head` and `heads` are hints for finding out cheaply that something was missed. Of two
///   noted positions either may win. `heads` answers in the order asked; `None` where nothing is
///   known.
/// * Every call but `close` returns within a few seconds; `close` takes at most the time given.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Begins to hear a topic; confirmed when it returns `Ok`.
    async fn subscribe(&self, topic: Topic) -> Result<(), BusError>;

    /// Stops hearing a topic.
    async fn unsubscribe(&self, topic: Topic);

    /// Tells the other nodes about stored entries, and notes their last position.
    fn publish(&self, topic: Topic, entries: Arc<[Arc<Entry>]>);

    /// Tells the other nodes about something that is not stored.
    fn publish_event(&self, room: RoomId, event: RoomEvent);

    /// Gives all other nodes an order.
    fn publish_control(&self, control: Control);

    /// The topic's log may grow to here in a moment.
    fn note_head(&self, topic: Topic, head: Seq);

    /// What was last noted of each of these topics.
    async fn heads(&self, topics: &[Topic]) -> Result<Vec<Option<Seq>>, BusError>;

    /// Whether it carries anything.
    fn state(&self) -> BusState;

    /// Sends what was published and not sent yet, for so long at most, and leaves the bus.
    async fn close(&self, time_max: Duration);
}
