//! Subscriptions of one session, and the messages that wait for an ACK.

use std::collections::VecDeque;

use super::NAME_BYTES_MAX;
use crate::error::ProtocolError;
use crate::version::Version;

/// How messages of a subscription are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckMode {
    /// No acknowledgement.
    Auto,
    /// By ACK, which covers all earlier messages of the subscription too.
    Client,
    /// By ACK, each message separately (1.1 and later).
    ClientIndividual,
}

impl AckMode {
    pub(super) fn parse(value: Option<&str>, version: Version) -> Result<Self, ProtocolError> {
        match value {
            None | Some("auto") => Ok(Self::Auto),
            Some("client") => Ok(Self::Client),
            Some("client-individual") if version > Version::V1_0 => Ok(Self::ClientIndividual),
            Some(_) => Err(ProtocolError::UnknownAckMode),
        }
    }
}

/// A subscription's name within its session; rises with each SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey(pub(super) u32);

/// Name of a subscription on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name<'a> {
    /// The id that the client chose.
    Id(&'a str),
    /// 1.0 without an id: the destination.
    Destination(&'a str),
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) key: SubscriptionKey,
    name: OwnedName,
    pub(super) ack_mode: AckMode,
    /// Delivered and not acknowledged, ids rising.
    unacknowledged: VecDeque<Unacknowledged>,
}

#[derive(Debug)]
enum OwnedName {
    Id(Box<str>),
    Destination(Box<str>),
}

#[derive(Debug)]
struct Unacknowledged {
    message_id: u64,
    /// A NACK was received and the message delivered again.
    refused: bool,
}

/// What a NACK does to one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Redeliver(u64),
    Rejected(u64),
}

/// Sorted by name, in one allocation: most sessions have a few, some have thousands.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_name: Vec<Subscription>,
    added: u32,
}

impl Subscriptions {
    /// `None`: the session has `max` already.
    pub(super) fn add(
        &mut self,
        name: Name<'_>,
        ack_mode: AckMode,
        max: usize,
    ) -> Result<Option<SubscriptionKey>, ProtocolError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(ProtocolError::NameTooLong {
                max: NAME_BYTES_MAX,
            });
        }
        let place = match self.place(name) {
            Ok(_) => return Err(ProtocolError::DuplicateSubscription),
            Err(_) if self.by_name.len() >= max => return Ok(None),
            Err(place) => place,
        };
        self.added = self.added.wrapping_add(1);
        let key = SubscriptionKey(self.added);
        let name = OwnedName::from(name);
        let unacknowledged = VecDeque::new();
        if self.by_name.is_empty() {
            self.by_name.reserve_exact(1); // most sessions have one, and are idle
        }
        self.by_name.insert(
            place,
            Subscription {
                key,
                name,
                ack_mode,
                unacknowledged,
            },
        );
        Ok(Some(key))
    }

    pub(super) fn remove(&mut self, name: Name<'_>) -> Option<SubscriptionKey> {
        let place = self.place(name).ok()?;
        Some(self.by_name.remove(place).key)
    }

    pub(super) fn find(&self, name: Name<'_>) -> Option<&Subscription> {
        self.place(name)
            .ok()
            .and_then(|place| self.by_name.get(place))
    }

    /// 1.0 names no subscription in its ACK: the first on which the message waits.
    pub(super) fn find_waiting(&self, message_id: u64) -> Option<&Subscription> {
        self.by_name
            .iter()
            .find(|subscription| subscription.awaits(message_id))
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        self.by_name
            .iter_mut()
            .find(|subscription| subscription.key == key)
    }

    pub(super) fn window(&self, key: SubscriptionKey, max: usize) -> Option<usize> {
        match self
            .by_name
            .iter()
            .find(|subscription| subscription.key == key)
        {
            None => Some(0),
            Some(subscription) if subscription.ack_mode == AckMode::Auto => None,
            Some(subscription) => Some(max.saturating_sub(subscription.unacknowledged.len())),
        }
    }

    pub(super) fn note_delivered(&mut self, key: SubscriptionKey, message_id: u64) {
        let Some(subscription) = self.get_mut(key) else {
            return;
        };
        let newest = subscription
            .unacknowledged
            .back()
            .map(|message| message.message_id);
        if subscription.ack_mode != AckMode::Auto && newest.is_none_or(|newest| newest < message_id)
        {
            let refused = false;
            subscription.unacknowledged.push_back(Unacknowledged {
                message_id,
                refused,
            });
        }
    }

    fn place(&self, name: Name<'_>) -> Result<usize, usize> {
        self.by_name
            .binary_search_by(|subscription| subscription.name.borrow().cmp(&name))
    }
}

impl Subscription {
    pub(super) fn awaits(&self, message_id: u64) -> bool {
        self.place(message_id).is_ok()
    }

    /// Removes the message from the waiting ones; in mode `client` the earlier ones, too.
    pub(super) fn acknowledge(&mut self, message_id: u64) -> Result<(), ProtocolError> {
        let place = self
            .place(message_id)
            .map_err(|_place| ProtocolError::UnknownAck)?;
        match self.ack_mode {
            AckMode::Client => drop(self.unacknowledged.drain(..=place)),
            AckMode::Auto | AckMode::ClientIndividual => drop(self.unacknowledged.remove(place)),
        }
        self.release();
        Ok(())
    }

    /// The first NACK of a message requests another delivery, the second removes it. In mode
    /// `client` a NACK covers the earlier messages too (1.2, "NACK").
    pub(super) fn refuse(&mut self, message_id: u64) -> Result<Vec<Refused>, ProtocolError> {
        if !self.awaits(message_id) {
            return Err(ProtocolError::UnknownAck);
        }
        let cumulative = self.ack_mode == AckMode::Client;
        let mut refused = Vec::new();
        self.unacknowledged.retain_mut(|message| {
            let id = message.message_id;
            let covered = id == message_id || (cumulative && id < message_id);
            let rejected = covered && message.refused;
            if rejected {
                refused.push(Refused::Rejected(id));
            } else if covered {
                message.refused = true;
                refused.push(Refused::Redeliver(id));
            }
            !rejected
        });
        self.release();
        Ok(refused)
    }

    /// Frees the memory when nothing waits: most subscriptions are idle most of the time.
    fn release(&mut self) {
        if self.unacknowledged.is_empty() {
            self.unacknowledged = VecDeque::new();
        }
    }

    fn place(&self, message_id: u64) -> Result<usize, usize> {
        self.unacknowledged
            .binary_search_by_key(&message_id, |message| message.message_id)
    }
}

impl Name<'_> {
    fn len(self) -> usize {
        match self {
            Self::Id(name) | Self::Destination(name) => name.len(),
        }
    }
}

impl OwnedName {
    fn borrow(&self) -> Name<'_> {
        match self {
            Self::Id(id) => Name::Id(id),
            Self::Destination(destination) => Name::Destination(destination),
        }
    }
}

impl From<Name<'_>> for OwnedName {
    fn from(name: Name<'_>) -> Self {
        match name {
            Name::Id(id) => Self::Id(id.into()),
            Name::Destination(destination) => Self::Destination(destination.into()),
        }
    }
}
