//! The hub: the live half of the topics that somebody on this node follows.
//!
//! Entries come from this node's appender and from the bus, whatever the way and however often; the
//! position decides what is shown next. What is missing is in the store already, for nothing is
//! published before it is stored, and is read from there.

mod evict;
mod fill;
mod frame;
mod heads;
mod places;
mod ring;
mod survey;
mod topic;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use shared::clock::{Clock, LocalDateTime};
use shared::drain::Drain;
use shared::ids::{RoomId, Seq};
use tokio::sync::Mutex as Gate;
use tokio::time::timeout;
use tracing::debug;

use crate::append::RoomHeads;
use crate::bus::{Bus, BusEvent, BusState};
use crate::log::{Entry, RoomEvent, Topic};
use crate::metrics::Metrics;
use crate::store::{MessageStore, ReadConsistency, StoreError};
use crate::wake_queue::{ConnectionEvent, Slot, WakeQueue};

use heads::HeadCheck;

pub use frame::{
    Delivery, DestinationView, FrameVariant, destination, message_frame, message_tail, whole_frame,
};
pub use ring::{Pulled, RING_BYTES_MAX, RING_ENTRIES_MAX, RingSize};
pub use survey::{BehindTopic, HubSurvey};
pub use topic::{Following, LiveTopic, Part};
pub use watch::WATCH_TICK;

/// How long the bus may take to confirm a subscription. Without it the store is polled anyway.
const CONFIRM_MAX: Duration = Duration::from_secs(1);

/// A page reload unsubscribes and subscribes within a second or two; it should not reach the bus.
const LINGER: Duration = Duration::from_secs(10);

/// A connection that is this far behind reads from the store.
const RING_AGE: Duration = Duration::from_secs(30);

/// Between attempts to read missing entries while the store is away.
const FILL_PAUSE: Duration = Duration::from_millis(500);

/// Joins and departures of topics that share a gate wait for each other, so that an unsubscribe
/// cannot overtake a subscribe.
const GATES: usize = 64;

/// The live topics of a node. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    topics: DashMap<Topic, Arc<LiveTopic>>,
    gates: [Gate<()>; GATES],
    store: Arc<dyn MessageStore>,
    heads: RoomHeads,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    metrics: Arc<Metrics>,
    head_check: HeadCheck,
}

impl Hub {
    /// A hub that follows nothing yet.
    #[must_use]
    pub fn new(
        (store, heads): (Arc<dyn MessageStore>, RoomHeads),
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Self {
        let gates = std::array::from_fn(|_| Gate::new(()));
        let topics = DashMap::new();
        Self {
            parts: Arc::new(Parts {
                topics,
                gates,
                store,
                heads,
                bus,
                clock,
                drain,
                metrics,
                head_check: HeadCheck::default(),
            }),
        }
    }

    /// Follows a topic: from now on `mailbox` is marked for `slot` whenever the log grows, or gets
    /// the topic's events.
    ///
    /// # Errors
    /// The store could not be asked for the head.
    pub async fn follow(
        &self,
        topic: Topic,
        part: Part,
        wake_queue: Arc<WakeQueue>,
        slot: Slot,
    ) -> Result<Following, StoreError> {
        let parts = &self.parts;
        let joining = {
            // It begins under the map's lock, so the sweep cannot come between.
            let entry = parts.topics.entry(topic);
            let live = entry.or_insert_with(|| Arc::new(LiveTopic::new(topic)));
            live.join()
        };
        let live = joining.topic();
        live.begun.get_or_try_init(|| self.begin(live)).await?;
        self.check_record(live);
        Ok(joining.add(wake_queue, slot, part))
    }

    /// Takes in entries that this node has just stored.
    pub fn take_stored(&self, topic: Topic, entries: &[Arc<Entry>]) {
        let Some(live) = self.live(topic) else { return };
        let now = self.parts.clock.now();
        live.change(|ring| ring.take(entries, now));
        self.fill_if_missing(&live);
    }

    /// Tells everybody on all nodes what happened in a room.
    pub fn publish_event(&self, room: RoomId, event: RoomEvent) {
        self.take_event(room, event);
        self.parts.bus.publish_event(room, event);
    }

    /// Takes in what other nodes say.
    pub fn take_from_bus(&self, event: BusEvent) {
        match event {
            BusEvent::Entries(topic, entries) => self.take_stored(topic, &entries),
            BusEvent::Head(topic, head) => self.take_head(topic, head),
            BusEvent::Room(room, event) => self.take_event(room, event),
            BusEvent::Lost => self.check_heads(),
            BusEvent::Control(_) => {} // not about topics
        }
    }

    /// Lets go of topics that nobody follows any more, and of old entries.
    pub async fn sweep(&self) {
        let now = self.parts.clock.now();
        let idle_long = |live: &LiveTopic| live.idle_for(now).is_some_and(|idle| idle >= LINGER);
        let mut idle = Vec::new();
        for live in &self.parts.topics {
            live.ring().forget_older(now, RING_AGE);
            if idle_long(&live) {
                idle.push(live.topic());
            }
        }
        for topic in idle {
            let _gate = self.gate(topic).lock().await;
            let still = |_: &Topic, live: &Arc<LiveTopic>| idle_long(live);
            if self.parts.topics.remove_if(&topic, still).is_some() {
                self.parts.bus.unsubscribe(topic).await;
            }
        }
    }

    /// How many topics are followed here.
    #[must_use]
    pub fn topics_count(&self) -> usize {
        self.parts.topics.len()
    }

    fn live(&self, topic: Topic) -> Option<Arc<LiveTopic>> {
        self.parts.topics.get(&topic).map(|live| Arc::clone(&live))
    }

    fn all_live(&self) -> Vec<Arc<LiveTopic>> {
        let all = self.parts.topics.iter();
        all.map(|live| Arc::clone(&live)).collect()
    }

    /// Whether it is still the one that is followed here.
    fn is_current(&self, live: &Arc<LiveTopic>) -> bool {
        let known = self.live(live.topic());
        known.is_some_and(|known| Arc::ptr_eq(&known, live))
    }

    fn gate(&self, topic: Topic) -> &Gate<()> {
        &self.parts.gates[topic.owner_id() as usize % GATES]
    }

    /// Hears the bus, then asks for the head: what is stored later will be heard.
    async fn begin(&self, live: &Arc<LiveTopic>) -> Result<(), StoreError> {
        let topic = live.topic();
        let _gate = self.gate(topic).lock().await;
        // A bus that is away is told, so that it knows when it is back, and not waited for.
        let wait = match self.parts.bus.state() {
            BusState::Up => CONFIRM_MAX,
            BusState::Away => Duration::ZERO,
        };
        let heard = match timeout(wait, self.parts.bus.subscribe(topic)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        if let Err(why) = heard {
            debug!(%topic, "following {topic} without the bus: {why}");
            // It may begin to be heard after the head was read.
            live.require_head_check();
        }
        let head = self
            .parts
            .store
            .head(topic, ReadConsistency::Quorum)
            .await?;
        let now = self.parts.clock.now();
        live.change(|ring| ring.begin(head, now));
        self.fill_if_missing(live);
        Ok(())
    }

    /// What lists show of the room may be behind what is shown here: the node that stored the newest
    /// entry may have ended before it had noted it. Once for each head that somebody joins at.
    fn check_record(&self, live: &LiveTopic) {
        let head = live.head();
        if live.take_unchecked(head) {
            self.parts.heads.check(live.topic(), head);
        }
    }

    /// The log has grown to here, somebody says; the entries are in the store.
    fn take_head(&self, topic: Topic, head: Seq) {
        let Some(live) = self.live(topic) else { return };
        live.ring().hear_of(head);
        self.fill_if_missing(&live);
    }

    fn take_event(&self, room: RoomId, event: RoomEvent) {
        let Some(live) = self.live(Topic::Room(room)) else {
            return;
        };
        if let RoomEvent::Deleted {
            chat_message_id, ..
        } = event
        {
            live.ring().delete(chat_message_id.seq());
        }
        if let RoomEvent::Left { member_id: member } = event {
            live.post_all(|| ConnectionEvent::Left { room, member });
        }
        let at = LocalDateTime::from_unix(self.parts.clock.unix_millis());
        let body = match serde_json::to_value(event) {
            Ok(serde_json::Value::Object(mut fields)) => {
                fields.insert("at".into(), at.to_string().into());
                Bytes::from(serde_json::Value::Object(fields).to_string())
            }
            Ok(_) | Err(_) => return,
        };
        self.parts
            .metrics
            .events_dropped
            .inc_by(live.post_event(&body));
    }
}

#[cfg(test)]
mod tests;
