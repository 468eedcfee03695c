//! Delivery from topics to the socket: a subscription pulls the entries after its cursor.
//!
//! Nothing is queued here. Entries in the ring are written as they were encoded once for all
//! subscriptions; older ones are read from the store, one page at a time, one read per connection.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use shared::ids::{MessageId, RoomId, Seq};
use stomp::{AckMode, Session, SubscriptionKey, Version};

use super::page::{Page, PageRead};
use super::socket::Socket;
use super::subscribe::{Begun, Target};
use super::unstored::push_message;
use crate::hub::{
    Delivery, DestinationView, Following, FrameVariant, Pulled, destination, message_frame,
    message_tail,
};
use crate::log::{Entry, Topic};
use crate::metrics::Metrics;

/// Bytes that may wait for one socket before its subscriptions stop pulling: about as many as the
/// kernel's buffer takes in one write.
pub(super) const OUT_BYTES_MAX: usize = 64 << 10;

/// One subscription of a connection.
#[derive(Debug)]
pub(super) struct Subscription {
    key: SubscriptionKey,
    variant: Arc<FrameVariant>,
    source: Source,
    counts_acks: bool,
    /// Alarms from before its position that are still running, to be written first.
    running: Vec<Bytes>,
    /// The subscription is in the queue of those with entries to pull.
    is_queued: bool,
}

/// Where its messages come from.
#[derive(Debug)]
enum Source {
    Log(LogCursor),
    /// Held for its `Drop`, which leaves the topic.
    Events {
        following: Following,
        destination: String,
    },
    Errors,
    System,
}

/// What the session has agreed on for a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubscriptionTerms<'a> {
    pub(super) key: SubscriptionKey,
    pub(super) ack_mode: AckMode,
    pub(super) version: Version,
    /// Named in every MESSAGE; missing only in 1.0.
    pub(super) id: Option<&'a str>,
}

/// Position of a subscription in a log.
#[derive(Debug)]
pub(super) struct LogCursor {
    following: Following,
    cursor: Seq,
    page: Page,
}

/// Why pulling stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing left, or paused until an ACK.
    Done,
    /// The socket is full; again when it is not.
    Full,
    /// The next entries must be read from the store.
    Behind(Missing),
}

/// A range of a topic's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) topic: Topic,
    /// The position before the range.
    pub(super) after: Seq,
    /// Its last position.
    pub(super) last: Seq,
}

impl Subscription {
    pub(super) fn new(begun: Begun, terms: SubscriptionTerms<'_>) -> Self {
        let SubscriptionTerms {
            key,
            ack_mode,
            version,
            id,
        } = terms;
        let view = match begun.target {
            Target::Log(_, view) => view,
            Target::Events(_) | Target::Errors | Target::System => DestinationView::Room,
        };
        let counts_acks = ack_mode != AckMode::Auto;
        let acks = counts_acks && version == Version::V1_2;
        let variant = Arc::new(FrameVariant {
            view,
            version,
            subscription: id.map(Into::into),
            acks,
        });
        let source = match (begun.target, begun.following) {
            (Target::Log(..), Some(following)) => {
                following.note_position(begun.cursor);
                Source::Log(LogCursor {
                    following,
                    cursor: begun.cursor,
                    page: Page::default(),
                })
            }
            (Target::Events(topic), Some(following)) => {
                let room = match topic {
                    Topic::Room(room) => room.get(),
                    Topic::Inbox(_) => 0,
                };
                let destination = format!("/sub/{room}/events");
                Source::Events {
                    following,
                    destination,
                }
            }
            (Target::System, _) => Source::System,
            (Target::Errors | Target::Log(..) | Target::Events(_), _) => Source::Errors,
        };
        Self {
            key,
            variant,
            source,
            counts_acks,
            running: begun.running,
            is_queued: false,
        }
    }

    pub(super) fn key(&self) -> SubscriptionKey {
        self.key
    }

    pub(super) fn variant(&self) -> &FrameVariant {
        &self.variant
    }

    /// Whether it gets the client's errors.
    pub(super) fn is_errors(&self) -> bool {
        matches!(self.source, Source::Errors)
    }

    /// Whether it gets the server's notices.
    pub(super) fn is_system(&self) -> bool {
        matches!(self.source, Source::System)
    }

    /// Its destination, if it gets the events of a room.
    pub(super) fn events_destination(&self) -> Option<&str> {
        match &self.source {
            Source::Events { destination, .. } => Some(destination),
            Source::Log(_) | Source::Errors | Source::System => None,
        }
    }

    /// Marks the subscription as queued for pulling; `false` if it was queued already.
    pub(super) fn enqueue(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// Marks the subscription as no longer queued.
    pub(super) fn dequeue(&mut self) {
        self.is_queued = false;
    }

    /// Writes the entries after the cursor, as far as socket and acknowledgements allow.
    pub(super) fn pump(
        &mut self,
        socket: &mut Socket,
        session: &mut Session,
        metrics: &Metrics,
    ) -> Pumped {
        self.write_running(socket);
        let Source::Log(log) = &mut self.source else {
            return Pumped::Done;
        };
        let mut out = Sink {
            socket,
            key: self.key,
            window: session.delivery_window(self.key),
            session: self.counts_acks.then_some(session),
            written: 0,
        };
        let pumped = log.pump(&self.variant, &mut out, metrics);
        log.following.note_position(log.cursor);
        metrics.deliveries.inc_by(out.written);
        pumped
    }

    /// They have no position in the log: a client cannot resume after one, nor acknowledge it.
    fn write_running(&mut self, socket: &mut Socket) {
        for (nth, body) in std::mem::take(&mut self.running).iter().enumerate() {
            let (destination, id) = (self.destination(), format!("r{nth}"));
            let headers = [
                ("destination", destination.as_str()),
                ("message-id", id.as_str()),
                ("replayed", "true"),
                ("content-type", "application/json"),
            ];
            push_message(socket, &self.variant, &headers, body);
        }
    }

    /// Takes a page that was read for this subscription.
    pub(super) fn take_page(&mut self, read: PageRead) {
        let Source::Log(log) = &mut self.source else {
            return;
        };
        log.page.take(read.entries, read.last);
    }

    /// Writes a message again that the client has rejected once.
    pub(super) fn write_again(&self, read: &PageRead, socket: &mut Socket) {
        let Some(topic) = self.topic() else { return };
        for entry in &read.entries {
            socket.push(&encode(topic, entry, &self.variant, read.delivery));
        }
    }

    /// The range of the one message that a NACK names, if it can be one of this subscription's.
    pub(super) fn range_of(&self, message_id: u64) -> Option<Missing> {
        let topic = self.topic()?;
        let seq = topic.seq_of(MessageId::try_from(message_id).ok()?)?;
        Some(Missing {
            topic,
            after: seq.saturating_sub(1),
            last: seq,
        })
    }

    /// The destination of its messages.
    pub(super) fn destination(&self) -> String {
        match &self.source {
            Source::Log(log) => destination(log.following.topic().topic(), self.variant.view),
            Source::Events { destination, .. } => destination.clone(),
            Source::Errors => "/user/queue/errors".to_owned(),
            Source::System => "/user/queue/system".to_owned(),
        }
    }

    /// Its room, if it has one.
    pub(super) fn room(&self) -> Option<RoomId> {
        let topic = match &self.source {
            Source::Log(log) => log.following.topic().topic(),
            Source::Events { following, .. } => following.topic().topic(),
            Source::Errors | Source::System => return None,
        };
        match topic {
            Topic::Room(room) => Some(room),
            Topic::Inbox(_) => None,
        }
    }

    /// Its topic, if it reads a log.
    fn topic(&self) -> Option<Topic> {
        match &self.source {
            Source::Log(log) => Some(log.following.topic().topic()),
            Source::Events { .. } | Source::Errors | Source::System => None,
        }
    }
}

/// The socket, for messages of one subscription.
struct Sink<'a> {
    socket: &'a mut Socket,
    key: SubscriptionKey,
    /// Messages that may be written before the next ACK.
    window: Option<usize>,
    /// Counts messages that wait for an ACK; `None` in mode `auto`.
    session: Option<&'a mut Session>,
    written: u64,
}

impl Sink<'_> {
    fn is_full(&self) -> bool {
        self.socket.pending_bytes() >= OUT_BYTES_MAX
    }

    fn is_paused(&self) -> bool {
        self.window == Some(0)
    }

    fn write(&mut self, topic: Topic, entry: &Entry, frame: &[u8]) {
        self.socket.push(frame);
        self.written += 1;
        if let (Some(session), Some(id)) = (&mut self.session, topic.message_id(entry.seq)) {
            session.handle_delivered(self.key, id.get());
            self.window = self.window.map(|left| left.saturating_sub(1));
        }
    }
}

impl LogCursor {
    fn pump(
        &mut self,
        variant: &Arc<FrameVariant>,
        out: &mut Sink<'_>,
        metrics: &Metrics,
    ) -> Pumped {
        loop {
            if out.is_paused() {
                return Pumped::Done;
            }
            if out.is_full() {
                return Pumped::Full;
            }
            if let Some(entry) = self.page.pop() {
                self.write_stored(&entry, variant, out);
                metrics.replayed.inc();
                continue;
            }
            self.cursor = self.cursor.max(self.page.end());
            match self.pull(variant, out) {
                Pulled::UpToDate => return Pumped::Done,
                Pulled::Full => {}
                Pulled::Behind(head) => {
                    return Pumped::Behind(Missing {
                        topic: self.following.topic().topic(),
                        after: self.cursor,
                        last: self.page.next_end(self.cursor, head),
                    });
                }
            }
        }
    }

    fn pull(&mut self, variant: &Arc<FrameVariant>, out: &mut Sink<'_>) -> Pulled {
        let topic = self.following.topic().topic();
        self.following
            .pull(&mut self.cursor, variant, |entry, frame| {
                if let Some(frame) = frame {
                    out.write(topic, entry, &frame);
                }
                if out.is_full() || out.is_paused() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
    }

    fn write_stored(&mut self, entry: &Entry, variant: &FrameVariant, out: &mut Sink<'_>) {
        if entry.seq <= self.cursor {
            return;
        }
        self.cursor = entry.seq;
        if variant.view.shows(entry) {
            let topic = self.following.topic().topic();
            let frame = encode(topic, entry, variant, Delivery::First);
            out.write(topic, entry, &frame);
        }
    }
}

/// A message that is not in the ring.
fn encode(topic: Topic, entry: &Entry, variant: &FrameVariant, delivery: Delivery) -> Bytes {
    let tail = message_tail(topic, entry, variant.view, variant.version, delivery);
    message_frame(topic, entry, variant, &tail)
}
