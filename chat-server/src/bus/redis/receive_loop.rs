//! Receive loop: decodes messages from Redis and queues them as events for the node.

use std::sync::Arc;

use super::message::{self, BusMessage, Unreadable};
use super::names::Channel;
use super::pubsub::{Message, Messages, Received};
use super::{BusDirection, Shared};
use crate::bus::BusEvent;
use crate::log::Topic;

/// Runs until the connection is closed. It waits for nothing else: messages that are not taken out
/// of the client's channel in time are dropped there.
pub(super) async fn run(shared: Arc<Shared>, mut messages: Messages) {
    while let Some(received) = messages.next().await {
        match received {
            Received::Message(message) => receive(&shared, &message),
            Received::Dropped(count) => {
                shared.metrics.bus_lagged.inc_by(count);
                shared.events.push_lost();
            }
        }
    }
}

fn receive(shared: &Shared, message: &Message) {
    let Some(channel) = shared.names.purpose(message.channel()) else {
        return;
    };
    let content = message::read(message.bytes());
    let own = match &content {
        Ok((node, _)) | Err(Unreadable::Header { node, .. }) => *node == shared.node,
        Err(Unreadable::Nothing) => false,
    };
    if content.is_err() {
        shared.metrics.bus_unreadable.inc();
    }
    match channel {
        Channel::Probe => {
            if let Ok((_, BusMessage::Probe { place, round })) = content
                && own
            {
                shared.probes.receive(place, round);
            }
            return;
        }
        Channel::Topic(_) | Channel::Control if own => return,
        Channel::Topic(topic) => receive_of(shared, topic, content.map(|(_, content)| content)),
        Channel::Control => match content {
            Ok((_, BusMessage::Control(control))) => shared.events.push(BusEvent::Control(control)),
            Ok((_, BusMessage::Lost)) => shared.events.push_lost(),
            // Nothing else has a meaning here today; control messages may be lost.
            Ok(_) | Err(_) => return,
        },
    }
    shared.metrics.bus_messages.count(BusDirection::In);
}

fn receive_of(shared: &Shared, topic: Topic, content: Result<BusMessage, Unreadable>) {
    // Unsubscribed by the node, and not yet in Redis.
    if !shared.subscriptions.wants(topic) {
        return;
    }
    match (content, topic) {
        (Ok(BusMessage::Entries(entries)), _) => {
            shared.events.push(BusEvent::Entries(topic, entries))
        }
        (
            Ok(BusMessage::Head(head))
            | Err(Unreadable::Header {
                head: Some(head), ..
            }),
            _,
        ) => {
            shared.events.push(BusEvent::Head(topic, head));
        }
        (Ok(BusMessage::Event(event)), Topic::Room(room)) => {
            shared.events.push(BusEvent::Room(room, event))
        }
        // Not even its topic's head can be decoded.
        (Err(Unreadable::Nothing), _) => shared.events.push_lost(),
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
