//! Receive loop: decodes and filters the messages of Redis and passes them to the node.

use std::sync::Arc;

use fred::types::Message;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::message::{self, BusMessage, Unreadable};
use super::names::Channel;
use super::probe::note_probe;
use super::{BusDirection, Shared};
use crate::bus::BusEvent;
use crate::log::Topic;

/// Passes on messages until the connection ends. It does nothing else and waits for nothing: messages
/// that are not taken out of the client's channel in time are lost there.
pub(super) async fn run(shared: Arc<Shared>, mut arriving: Receiver<Message>) {
    loop {
        match arriving.recv().await {
            Ok(message) => shared.receive(&message),
            // The channel continues with the oldest message that it still has.
            Err(RecvError::Lagged(count)) => {
                shared.metrics.bus_lagged.inc_by(count);
                shared.give_lost();
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl Shared {
    fn receive(&self, message: &Message) {
        let Some(channel) = self.names.purpose(&message.channel) else {
            return;
        };
        let bytes = message.value.as_bytes().unwrap_or_default();
        let said = message::read(bytes);
        let own = match &said {
            Ok((node, _)) | Err(Unreadable::Header { node, .. }) => *node == self.node,
            Err(Unreadable::Nothing) => false,
        };
        if said.is_err() {
            self.metrics.bus_unreadable.inc();
        }
        match channel {
            Channel::Probe => {
                if let Ok((_, BusMessage::Probe { place, round })) = said
                    && own
                {
                    note_probe(self, place, round);
                }
                return;
            }
            Channel::Topic(_) | Channel::Control if own => return,
            Channel::Topic(topic) => self.receive_for(topic, said.map(|(_, said)| said)),
            Channel::Control => match said {
                Ok((_, BusMessage::Control(control))) => self.give(BusEvent::Control(control)),
                Ok((_, BusMessage::Lost)) => self.give_lost(),
                // Other messages have no meaning here today; commands may be lost.
                Ok(_) | Err(_) => return,
            },
        }
        self.metrics.bus_messages.count(BusDirection::In);
    }

    fn receive_for(&self, topic: Topic, said: Result<BusMessage, Unreadable>) {
        // Unsubscribed here, and not yet in Redis.
        if !self.subscriptions.wants(topic) {
            return;
        }
        match (said, topic) {
            (Ok(BusMessage::Entries(entries)), _) => self.give(BusEvent::Entries(topic, entries)),
            (
                Ok(BusMessage::Head(head))
                | Err(Unreadable::Header {
                    head: Some(head), ..
                }),
                _,
            ) => {
                self.give(BusEvent::Head(topic, head));
            }
            (Ok(BusMessage::Event(event)), Topic::Room(room)) => {
                self.give(BusEvent::Room(room, event))
            }
            // It may have been about anything.
            (Err(Unreadable::Nothing), _) => self.give_lost(),
            // Not about the log, so it may be lost: an event this build does not know, or one
            // of those that have no meaning here.
            (Err(Unreadable::Header { head: None, .. }), _)
            | (
                Ok(
                    BusMessage::Event(_)
                    | BusMessage::Control(_)
                    | BusMessage::Lost
                    | BusMessage::Probe { .. },
                ),
                _,
            ) => {}
        }
    }
}
