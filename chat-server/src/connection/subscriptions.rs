//! SUBSCRIBE and what comes of it: the subscriptions of a connection and their places.

use std::sync::Arc;

use shared::ids::{MemberId, RoomId};
use stomp::{NotSubscribed, Receipt, Subscribe, SubscriptionKey};

use super::actor::Actor;
use super::delivery::{OUT_BYTES_MAX, Source, Subscription, push_unstored};
use super::effects::WorkDone;
use super::failure::ClientError;
use super::registry::Change;
use super::subscribe::{Begun, StartAt, Target, begin};
use crate::destination::SubscribeTo;
use crate::wake_queue::Slot;

impl Actor {
    pub(super) fn on_subscribe(&mut self, subscribe: Subscribe) {
        let wish = match self.read_wish(&subscribe) {
            Ok(wish) => wish,
            Err(failure) => return self.session.refuse(failure.refusal(subscribe.receipt)),
        };
        let slot = self.reserve();
        let (services, wake_queue) = (Arc::clone(&self.services), Arc::clone(&self.wake_queue));
        self.work = Some(Box::pin(async move {
            let begun = begin(services, wish, wake_queue, slot).await;
            WorkDone::Begun(subscribe, slot, begun)
        }));
    }

    /// One subscription too many. Its client is told where it listens for errors; one that does not
    /// keeps its connection and what it hears: after an ERROR it would come back and ask for as much.
    pub(super) fn on_not_subscribed(&mut self, refused: NotSubscribed) {
        let NotSubscribed {
            max,
            frame,
            receipt,
        } = refused;
        let limited = &self.services.metrics.rate_limited;
        limited.with_label_values(&["subscriptions"]).inc();
        let ClientError { code, message, .. } = ClientError::SUBSCRIPTIONS;
        let text = format!("{message}: {max} at most");
        let destination = frame.header("destination").unwrap_or_default();
        let receipt_id = receipt.as_ref().map(Receipt::as_str);
        let names = (destination, receipt_id, None);
        if !self.tell_error_as(ClientError::SUBSCRIPTIONS, &text, names) {
            let headers = [("refused", &*code.to_string()), ("message", &*text)];
            self.session.confirm_with(receipt, &headers);
        }
    }

    pub(super) fn read_wish(
        &self,
        subscribe: &Subscribe,
    ) -> Result<(SubscribeTo, MemberId, StartAt), ClientError> {
        let hear = SubscribeTo::parse(subscribe.destination()).ok_or(ClientError::DESTINATION)?;
        let member = self.member().ok_or(ClientError::FORBIDDEN)?;
        let is_log = matches!(
            hear,
            SubscribeTo::Room(_) | SubscribeTo::Alarms(_) | SubscribeTo::Notices
        );
        if subscribe.ack_mode != stomp::AckMode::Auto && !is_log {
            return Err(ClientError::ACK_MODE);
        }
        Ok((hear, member, StartAt::read(&subscribe.frame)?))
    }

    pub(super) fn add(&mut self, subscribe: Subscribe, slot: Slot, begun: Begun) {
        let Some(version) = self.session.version() else {
            return self.free(slot);
        };
        let head = match begun.target {
            Target::Log(topic, _) => topic.message_id(begun.head),
            Target::Events(_) | Target::Errors | Target::System => None,
        };
        let head = head.map_or(0, |id| id.get()).to_string();
        let recovered = if begun.recovered { "true" } else { "false" };
        let names = (subscribe.key, subscribe.ack_mode);
        let subscription = Subscription::new(begun, names, (version, subscribe.id()));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(subscription);
        }
        self.services.metrics.subscriptions_opened.inc();
        self.entry.note_subscription(Change::Begun);
        let headers = [("head", head.as_str()), ("recovered", recovered)];
        self.session.confirm_with(subscribe.receipt, &headers);
        self.queue(slot);
        self.announce_migration();
    }

    pub(super) fn on_event(&mut self, slot: Slot, body: &[u8]) {
        let Some(Some(subscription)) = self.slots.get(slot as usize) else {
            return;
        };
        if let Source::Events { destination, .. } = &subscription.source {
            // For a peer that does not read they would pile up.
            if self.socket.pending_bytes() >= OUT_BYTES_MAX {
                return self.services.metrics.events_dropped.inc();
            }
            self.unstored += 1;
            let id = format!("e{}", self.unstored);
            push_unstored(
                &mut self.socket,
                &subscription.variant,
                destination,
                &id,
                body,
            );
        }
    }

    pub(super) fn on_rejected(&mut self, key: SubscriptionKey, message_id: u64) {
        let Some(slot) = self.slot_of(key) else {
            return;
        };
        let Some(Some(subscription)) = self.slots.get(slot as usize) else {
            return;
        };
        let destination = subscription.destination();
        self.tell_error(
            ClientError::REJECTED,
            &destination,
            None,
            Some(&message_id.to_string()),
        );
        self.queue(slot);
    }

    /// A place for a subscription that is about to begin.
    pub(super) fn reserve(&mut self) -> Slot {
        let free = self.slots.iter().position(Option::is_none);
        let at = free.unwrap_or(self.slots.len());
        if free.is_none() {
            self.slots.push(None);
        }
        Slot::try_from(at).unwrap_or(Slot::MAX)
    }

    pub(super) fn free(&mut self, slot: Slot) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = None;
        }
    }

    pub(super) fn slot_of(&self, key: SubscriptionKey) -> Option<Slot> {
        let has_key = |place: &Option<Subscription>| {
            place
                .as_ref()
                .is_some_and(|subscription| subscription.key == key)
        };
        self.slots
            .iter()
            .position(has_key)
            .and_then(|at| Slot::try_from(at).ok())
    }

    pub(super) fn remove(&mut self, key: SubscriptionKey) {
        if let Some(slot) = self.slot_of(key) {
            self.free(slot);
            self.services.metrics.subscriptions_closed.inc();
            self.entry.note_subscription(Change::Ended);
        }
    }

    /// A member who left a room hears no more of it. The client's subscription stays, silent: it
    /// is the room that is gone, not the connection.
    pub(super) fn on_left(&mut self, room: RoomId, member: MemberId) {
        if self.member() != Some(member) {
            return;
        }
        for slot in 0..self.slots.len() {
            let subscription = self
                .slots
                .get_mut(slot)
                .and_then(|place| place.take_if(|subscription| subscription.room() == Some(room)));
            if let Some(subscription) = subscription {
                self.services.metrics.subscriptions_closed.inc();
                self.entry.note_subscription(Change::Ended);
                let destination = subscription.destination();
                // Who does not listen for errors finds out when it asks for the room again.
                self.tell_error(ClientError::NOT_PARTICIPANT, &destination, None, None);
            }
        }
    }
}
