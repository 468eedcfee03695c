//! The subscriptions of a connection, and their turns to write to its socket.
//!
//! A subscription has a slot, by which topics mark it in the wake queue. Those with something to pull
//! take turns; those behind the ring wait for the one read from the store that a connection may have
//! under way. Permission and start positions are decided in `subscribe`.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use shared::ids::RoomId;
use stomp::{Session, SubscriptionKey};

use super::delivery::{Missing, OUT_BYTES_MAX, Pumped, Subscription};
use super::page::{PageRead, PageRequest, read_page};
use super::services::Services;
use super::socket::Socket;
use super::unstored::{push_message, push_unstored};
use crate::hub::Delivery;
use crate::wake_queue::Slot;
use crate::wire::{DrainNotice, SendError};

/// See the module.
#[derive(Default)]
pub(super) struct Subscriptions {
    slots: Vec<Option<Subscription>>,
    /// Those that have something to pull; each at most once.
    ready: VecDeque<Slot>,
    /// Those that wait for their turn to read a page.
    behind: VecDeque<Slot>,
    /// Messages to be read and written once more; at most as many as wait for an ACK.
    again: VecDeque<(Slot, u64)>,
    /// The read of a page for one of them.
    reading: Option<BoxFuture<'static, PageRead>>,
    /// Numbers messages that are in no log.
    unstored: u64,
}

/// What delivery needs of the connection.
pub(super) struct DeliveryContext<'a> {
    pub(super) services: &'a Services,
    pub(super) socket: &'a mut Socket,
    pub(super) session: &'a mut Session,
}

impl Subscriptions {
    /// A slot for a subscription that is about to begin. It is free until that is added.
    pub(super) fn reserve(&mut self) -> Slot {
        let free = self.slots.iter().position(Option::is_none);
        let at = free.unwrap_or(self.slots.len());
        if free.is_none() {
            if self.slots.is_empty() {
                self.slots.reserve_exact(1); // most connections have one; room for four is 500 bytes
            }
            self.slots.push(None);
        }
        Slot::try_from(at).unwrap_or(Slot::MAX)
    }

    /// Puts a subscription into its reserved slot.
    pub(super) fn add(&mut self, slot: Slot, subscription: Subscription) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(subscription);
        }
    }

    /// Ends a subscription; whether there was one.
    pub(super) fn remove(&mut self, key: SubscriptionKey) -> bool {
        let slot = self.slot_of(key);
        let place = slot.and_then(|slot| self.slots.get_mut(slot as usize));
        place.is_some_and(|place| place.take().is_some())
    }

    /// Ends the next subscription to a room and returns it.
    pub(super) fn take_of_room(&mut self, room: RoomId) -> Option<Subscription> {
        self.slots
            .iter_mut()
            .find_map(|place| place.take_if(|subscription| subscription.room() == Some(room)))
    }

    /// Ends all of them; how many there were.
    pub(super) fn clear(&mut self) -> usize {
        let ended = self.slots.iter().flatten().count();
        *self = Self {
            unstored: self.unstored,
            ..Self::default()
        };
        ended
    }

    /// The destination of a subscription.
    pub(super) fn destination(&self, key: SubscriptionKey) -> Option<String> {
        let subscription = self.iter().find(|subscription| subscription.key() == key);
        subscription.map(Subscription::destination)
    }

    /// Whether the client gets the server's notices.
    pub(super) fn has_system(&self) -> bool {
        self.iter().any(Subscription::is_system)
    }

    /// Adds a subscription to those that pull, once.
    pub(super) fn queue(&mut self, slot: Slot) {
        let place = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        if place.is_some_and(Subscription::enqueue) {
            self.ready.push_back(slot);
        }
    }

    /// The same by its key.
    pub(super) fn queue_key(&mut self, key: SubscriptionKey) {
        if let Some(slot) = self.slot_of(key) {
            self.queue(slot);
        }
    }

    /// Delivers a message once more that the client has rejected.
    pub(super) fn redeliver(&mut self, key: SubscriptionKey, message_id: u64) {
        if let Some(slot) = self.slot_of(key) {
            self.again.push_back((slot, message_id));
        }
    }

    // ---- turns --------------------------------------------------------------------------------

    /// Gives those that have something to pull their turns while the socket has room.
    pub(super) fn pump_ready(&mut self, to: &mut DeliveryContext<'_>) {
        while to.socket.pending_bytes() < OUT_BYTES_MAX {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            self.pump(slot, to);
        }
    }

    fn pump(&mut self, slot: Slot, to: &mut DeliveryContext<'_>) {
        let place = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(subscription) = place else { return };
        match subscription.pump(to.socket, to.session, &to.services.metrics) {
            Pumped::Done => subscription.dequeue(),
            Pumped::Full => self.ready.push_back(slot),
            Pumped::Behind(_) if self.reading.is_some() => self.behind.push_back(slot),
            Pumped::Behind(missing) => {
                let request = request(slot, subscription, Delivery::First, missing);
                self.reading = Some(read_page(to.services, request));
            }
        }
    }

    /// Begins the next read, if none is under way.
    pub(super) fn read_next(&mut self, to: &mut DeliveryContext<'_>) {
        while self.reading.is_none() {
            // It may have ended meanwhile, or have nothing to read any more: then the next one.
            let Some(slot) = self.behind.pop_front() else {
                return self.read_again(to);
            };
            self.pump(slot, to);
        }
    }

    /// Begins to read a message that the client has rejected, unless the socket is full.
    fn read_again(&mut self, to: &DeliveryContext<'_>) {
        while to.socket.pending_bytes() < OUT_BYTES_MAX {
            let Some((slot, message_id)) = self.again.pop_front() else {
                return;
            };
            let subscription = self.slots.get(slot as usize).and_then(Option::as_ref);
            let Some(subscription) = subscription else {
                continue;
            };
            let Some(range) = subscription.range_of(message_id) else {
                continue;
            };
            let request = request(slot, subscription, Delivery::Again, range);
            self.reading = Some(read_page(to.services, request));
            return;
        }
    }

    /// Returns the page that was read, once. Cancel-safe.
    pub(super) fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<PageRead> {
        let Some(reading) = &mut self.reading else {
            return Poll::Pending;
        };
        let page = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(page)
    }

    /// Takes a page for its subscription, if that still exists.
    pub(super) fn take_page(&mut self, page: PageRead, socket: &mut Socket) {
        let slot = page.slot;
        let place = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(subscription) = place.filter(|subscription| subscription.key() == page.key) else {
            return;
        };
        match page.delivery {
            Delivery::First => {
                subscription.take_page(page);
                self.ready.push_back(slot); // it has kept its place in the list
            }
            Delivery::Again => subscription.write_again(&page, socket),
        }
    }

    // ---- messages that are in no log ----------------------------------------------------------

    /// Writes an event of a room; `false` if the socket is full: for a peer that does not read they
    /// would pile up.
    pub(super) fn write_event(&mut self, slot: Slot, body: &[u8], socket: &mut Socket) -> bool {
        let subscription = self.slots.get(slot as usize).and_then(Option::as_ref);
        let Some(subscription) = subscription else {
            return true;
        };
        let Some(destination) = subscription.events_destination() else {
            return true;
        };
        if socket.pending_bytes() >= OUT_BYTES_MAX {
            return false;
        }
        self.unstored += 1;
        let id = format!("e{}", self.unstored);
        push_unstored(socket, subscription.variant(), destination, &id, body);
        true
    }

    /// Writes an error to the client's error destination; `false` if it has not subscribed to that.
    pub(super) fn write_error(&mut self, error: &SendError<'_>, socket: &mut Socket) -> bool {
        let errors = self.slots.iter().flatten().find(|one| one.is_errors());
        let Some(subscription) = errors else {
            return false;
        };
        let Ok(body) = serde_json::to_vec(error) else {
            return false;
        };
        self.unstored += 1;
        let id = format!("e{}", self.unstored);
        let destination = "/user/queue/errors";
        push_unstored(socket, subscription.variant(), destination, &id, &body);
        true
    }

    /// Writes a notice to a client that has subscribed to them. `seed` distinguishes nodes: clients
    /// drop messages whose id they have seen, also on another node.
    pub(super) fn write_drain_notice(
        &mut self,
        notice: &DrainNotice<'_>,
        seed: u64,
        socket: &mut Socket,
    ) {
        let system = self.slots.iter().flatten().find(|one| one.is_system());
        let Some(subscription) = system else { return };
        let body = serde_json::to_vec(notice).unwrap_or_default(); // numbers and plain words
        self.unstored += 1;
        let id = format!("drain-{seed:016x}-{}", self.unstored);
        let after = notice.reconnect_after_ms.to_string();
        let headers = [
            ("destination", "/user/queue/system"),
            ("message-id", &*id),
            ("content-type", "application/json"),
            ("type", notice.kind),
            ("reconnect-after-ms", &*after),
            ("reason", notice.reason),
        ];
        push_message(socket, subscription.variant(), &headers, &body);
    }

    fn slot_of(&self, key: SubscriptionKey) -> Option<Slot> {
        let has_key = |place: &Option<Subscription>| {
            place
                .as_ref()
                .is_some_and(|subscription| subscription.key() == key)
        };
        let at = self.slots.iter().position(has_key)?;
        Slot::try_from(at).ok()
    }

    fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.slots.iter().flatten()
    }
}

fn request(
    slot: Slot,
    subscription: &Subscription,
    delivery: Delivery,
    range: Missing,
) -> PageRequest {
    let Missing { topic, after, last } = range;
    PageRequest {
        slot,
        key: subscription.key(),
        delivery,
        topic,
        after,
        last,
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions")
            .field("slots", &self.slots.len())
            .field("ready", &self.ready.len())
            .field("behind", &self.behind.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use shared::clock::{Clock as _, SystemClock};
    use shared::ids::Seq;
    use stomp::{Output, SessionConfig, Version};

    use super::*;
    use crate::connection::delivery::SubscriptionTerms;
    use crate::connection::subscribe::{Begun, Target};

    /// Subscriptions to errors with these ids, in a session that has logged in.
    fn begun(ids: &[&str]) -> Vec<Subscription> {
        let now = SystemClock.now();
        let mut session = Session::new(Arc::new(SessionConfig::default()), now);
        let connect = "CONNECT\naccept-version:1.2\n\n\0".to_owned();
        let subscribe = |id| format!("SUBSCRIBE\nid:{id}\ndestination:/user/queue/errors\n\n\0");
        let frames = std::iter::once(connect).chain(ids.iter().map(subscribe));
        let mut begun = Vec::new();
        for frame in frames {
            session.handle_input(Bytes::from(frame), now);
            while let Some(output) = session.poll_output() {
                if let Output::Login(_) = output {
                    session.accept_login("1", "1", now);
                } else if let Output::Subscribe(subscribe) = output {
                    let terms = SubscriptionTerms {
                        key: subscribe.key,
                        ack_mode: subscribe.ack_mode,
                        version: Version::V1_2,
                        id: subscribe.id(),
                    };
                    begun.push(Subscription::new(errors(), terms));
                }
            }
        }
        begun
    }

    fn errors() -> Begun {
        Begun {
            target: Target::Errors,
            following: None,
            cursor: Seq::ZERO,
            head: Seq::ZERO,
            recovered: true,
            running: Vec::new(),
        }
    }

    #[test]
    fn slots_of_ended_subscriptions_are_used_again() {
        let mut subscriptions = Subscriptions::default();
        let mut keys = Vec::new();
        for subscription in begun(&["a", "b", "c"]) {
            keys.push(subscription.key());
            let slot = subscriptions.reserve();
            subscriptions.add(slot, subscription);
        }
        assert_eq!(subscriptions.slot_of(keys[2]), Some(2));
        assert!(subscriptions.remove(keys[1]) && !subscriptions.remove(keys[1]));
        assert_eq!(subscriptions.destination(keys[1]), None);
        assert_eq!((subscriptions.reserve(), subscriptions.reserve()), (1, 1));
        assert_eq!((subscriptions.clear(), subscriptions.clear()), (2, 0));
        assert_eq!(subscriptions.slot_of(keys[2]), None);
    }

    #[test]
    fn a_subscription_waits_for_one_turn_at_a_time() {
        let mut subscriptions = Subscriptions::default();
        let subscription = begun(&["a"]).remove(0);
        let key = subscription.key();
        let slot = subscriptions.reserve();
        subscriptions.queue(slot);
        assert_eq!(subscriptions.ready.len(), 0, "it has not begun");
        subscriptions.add(slot, subscription);
        subscriptions.queue(slot);
        subscriptions.queue_key(key);
        subscriptions.queue(slot + 1);
        assert_eq!(subscriptions.ready, [slot]);
    }
}
