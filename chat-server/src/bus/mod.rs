//! Bus between nodes: publish/subscribe of new log entries, room events and control messages.
//!
//! It makes delivery fast and decides nothing: an entry lost here is read from the store, an entry
//! that arrives twice is dropped by its position. It stores nothing.

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

/// A failed request to the bus, with its reason.
#[derive(Debug, thiserror::Error)]
#[error("bus unavailable: {0}")]
pub struct BusError(pub String);

/// An event from another node.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// Entries of a topic were stored; positions rising by one.
    Entries(Topic, Arc<[Arc<Entry>]>),
    /// A topic's log has grown up to this position; the entries are to be read from the store.
    Head(Topic, Seq),
    /// Something happened in a room beside its log.
    Room(RoomId, RoomEvent),
    /// An order to all nodes.
    Control(Control),
    /// Anything may have been missed: read the store's heads of all topics subscribed here.
    Lost,
}

/// Whether a bus delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// It does, as far as the last probe shows.
    Up,
    /// It does not: entries of other nodes have to be read from the store.
    Away,
}

/// A node's connection to the bus. Its events arrive in the receiver it was created with.
///
/// Contract:
/// * After `subscribe` returned `Ok`, what other nodes publish on the topic (entries, or their
///   head, and for a room its events) arrives here as a [`BusEvent`], unless a [`BusEvent::Lost`]
///   comes instead. Control messages arrive without a subscription. A node does not receive its own.
/// * While the bus is away, `subscribe` fails at once; the topic is subscribed when the bus is
///   back. Once all topics are subscribed again, a [`BusEvent::Lost`] follows.
/// * Per topic and publishing node, events arrive in the order published.
/// * `publish` never waits and never fails the caller; for entries that cannot be sent the bus
///   publishes a [`BusEvent::Head`] later, or other nodes receive `Lost`. Events and control
///   messages may be lost.
/// * The receiver is bounded. When it is full, what does not fit is replaced by one `Lost`.
/// * `note_head` and `heads` are hints for finding missed entries cheaply. Of two noted positions
///   either may win. `heads` answers in the order of its topics; `None` where nothing was noted.
/// * `take_turn` is true for one node until `end_turn`, or for `time` at most. It is a hint that
///   keeps nodes from hindering each other, not a lock: it is true while nothing can be arranged.
/// * Every call but `close` returns within a few seconds; `close` takes at most the time given.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Subscribes a topic; confirmed when it returns `Ok`.
    async fn subscribe(&self, topic: Topic) -> Result<(), BusError>;

    /// Ends the subscription of a topic.
    async fn unsubscribe(&self, topic: Topic);

    /// Publishes stored entries to the other nodes, and notes their last position.
    fn publish(&self, topic: Topic, entries: Arc<[Arc<Entry>]>);

    /// Publishes a room event, which is not stored, to the other nodes.
    fn publish_event(&self, room: RoomId, event: RoomEvent);

    /// Publishes a control message to all other nodes.
    fn publish_control(&self, control: Control);

    /// Notes that the topic's log is about to grow up to `head`.
    fn note_head(&self, topic: Topic, head: Seq);

    /// The position last noted for each of these topics.
    async fn heads(&self, topics: &[Topic]) -> Result<Vec<Option<Seq>>, BusError>;

    /// Whether there may be other nodes that write to the same logs.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether this node may write to the topic's log now; else another node does.
    async fn take_turn(&self, _topic: Topic, _time: Duration) -> bool {
        true
    }

    /// Gives the turn to the other nodes.
    async fn end_turn(&self, _topic: Topic) {}

    /// Whether the bus delivers.
    fn state(&self) -> BusState;

    /// Sends what was published and not sent yet, for so long at most, and leaves the bus.
    async fn close(&self, time_max: Duration);
}
