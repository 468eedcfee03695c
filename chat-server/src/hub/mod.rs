//! The hub: a node's cache and fan-out of the topics that its connections subscribe to.
//!
//! Entries come from this node's appender and from the bus, in any order and any number of times;
//! their seq decides what is shown next. Nothing is published before it is stored, so what is missing
//! is read from the store. The hub writes nothing to the store and checks no permission.
//!
//! | file | contents |
//! |---|---|
//! | `topics` | the topics with subscriptions here, by name |
//! | `topic`, `subscription_table` | one topic: its subscriptions and flags |
//! | `ring` | its newest entries and the order in which they become visible; pure |
//! | `frame` | MESSAGE frames, encoded once for all subscriptions of one variant |
//! | `fill` | gaps read from the store |
//! | `heads` | topics compared with the store's heads |
//! | `watch` | periodic reconciliation |
//! | `survey` | figures for operators |

mod fill;
mod frame;
mod heads;
mod ring;
mod subscription_table;
mod survey;
mod topic;
mod topics;
mod watch;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::clock::{Clock, LocalDateTime};
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::time::timeout;
use tracing::debug;

use crate::append::RoomHeads;
use crate::bus::{Bus, BusEvent, BusState};
use crate::log::{Entry, RoomEvent, Topic};
use crate::metrics::Metrics;
use crate::store::{MessageStore, ReadConsistency, StoreError};
use crate::wake_queue::{ConnectionEvent, Slot, WakeQueue};
use crate::wakers::Wakers;

use fill::{check_record, fill_if_missing};
use heads::{HeadCheck, check_heads};
use topics::Topics;

pub use frame::{
    Delivery, DestinationView, FrameVariant, destination, message_frame, message_tail, whole_frame,
};
pub use ring::{Pulled, RING_BYTES_MAX, RING_ENTRIES_MAX, RingSize};
pub use survey::{BehindTopic, HubSurvey};
pub use topic::{Following, LiveTopic, Part};
pub use watch::WATCH_TICK;

/// Time for the bus to confirm a subscription. Without a confirmation the store is read anyway.
const CONFIRM_MAX: Duration = Duration::from_secs(1);

/// Time that a topic without subscriptions stays: a page reload unsubscribes and subscribes within a
/// second or two, and should not reach the bus.
const LINGER: Duration = Duration::from_secs(10);

/// Age at which entries leave the ring: a connection this far behind reads from the store.
const RING_AGE: Duration = Duration::from_secs(30);

/// Time between attempts while the store is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The live topics of a node. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    state: Arc<State>,
}

/// What [`Hub::new`] needs.
#[derive(Debug)]
pub struct HubParts {
    /// The logs.
    pub store: Arc<dyn MessageStore>,
    /// Checks the records of room lists.
    pub heads: RoomHeads,
    /// Publications of other nodes.
    pub bus: Arc<dyn Bus>,
    /// Ages of entries and topics; times of events.
    pub clock: Arc<dyn Clock>,
    /// Runs the reads from the store.
    pub drain: Drain,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    parts: HubParts,
    topics: Topics,
    head_check: HeadCheck,
}

impl Hub {
    /// A hub without topics.
    #[must_use]
    pub fn new(parts: HubParts) -> Self {
        Self {
            state: Arc::new(State {
                parts,
                topics: Topics::default(),
                head_check: HeadCheck::default(),
            }),
        }
    }

    /// Follows a topic: from now on `wake_queue` is marked for `slot` whenever the log grows, or gets
    /// the topic's events.
    ///
    /// # Errors
    /// The store did not return the head.
    pub async fn follow(
        &self,
        topic: Topic,
        part: Part,
        wake_queue: Arc<WakeQueue>,
        slot: Slot,
    ) -> Result<Following, StoreError> {
        let joining = self.state.topics.join(topic);
        let live = joining.topic();
        live.begun.get_or_try_init(|| self.begin(live)).await?;
        check_record(&self.state, live);
        Ok(joining.add(wake_queue, slot, part))
    }

    /// Takes in entries that this node has just stored. The subscriptions that have something to pull are
    /// woken with `wakers`.
    pub fn take_stored(&self, topic: Topic, entries: &[Arc<Entry>], wakers: &mut Wakers) {
        let Some(live) = self.state.topics.get(topic) else {
            return;
        };
        let now = self.state.parts.clock.now();
        live.change(|ring| ring.take(entries, now), wakers);
        fill_if_missing(&self.state, &live);
    }

    /// Publishes an event of a room to its subscriptions on all nodes.
    pub fn publish_event(&self, room: RoomId, event: RoomEvent) {
        self.take_event(room, event);
        self.state.parts.bus.publish_event(room, event);
    }

    /// Takes in an event of the bus.
    pub fn take_from_bus(&self, event: BusEvent) {
        match event {
            BusEvent::Entries(topic, entries) => {
                self.take_stored(topic, &entries, &mut Wakers::default());
            }
            BusEvent::Head(topic, head) => self.take_head(topic, head),
            BusEvent::Room(room, event) => self.take_event(room, event),
            BusEvent::Lost => check_heads(&self.state),
            BusEvent::Control(_) => {} // not about topics
        }
    }

    /// Removes topics that have been without subscriptions for a while, and old entries.
    pub async fn sweep(&self) {
        let State { parts, topics, .. } = &*self.state;
        let now = parts.clock.now();
        let idle_long = |live: &LiveTopic| live.idle_for(now).is_some_and(|idle| idle >= LINGER);
        let mut idle = Vec::new();
        for live in topics.all() {
            live.ring().forget_older(now, RING_AGE);
            if idle_long(&live) {
                idle.push(live.topic());
            }
        }
        for topic in idle {
            let _gate = topics.gate(topic).lock().await;
            if topics.remove_if(topic, |live| idle_long(live)) {
                parts.bus.unsubscribe(topic).await;
            }
        }
    }

    /// Reconciles the topics with the store at every tick ([`WATCH_TICK`]), for ever.
    pub async fn watch(&self, tick: Duration) {
        watch::watch(&self.state, tick).await;
    }

    /// Whether the bus is connected.
    #[must_use]
    pub fn bus_state(&self) -> BusState {
        self.state.parts.bus.state()
    }

    /// How many topics have subscriptions here.
    #[must_use]
    pub fn topics_count(&self) -> usize {
        self.state.topics.count()
    }

    /// Figures of all topics, with up to `limit` of those with the greatest lag.
    pub async fn survey(&self, limit: usize) -> HubSurvey {
        HubSurvey::of(self.state.topics.all(), limit).await
    }

    // ---- members of rooms ---------------------------------------------------------------------

    /// The members with any subscription to a room on this node.
    #[must_use]
    pub fn members_following(&self, room: RoomId) -> HashSet<MemberId> {
        let live = self.state.topics.get(Topic::Room(room));
        live.map(|live| live.members()).unwrap_or_default()
    }

    /// Ends the subscriptions of these members to a room that they have left.
    pub fn evict(&self, room: RoomId, members: &HashSet<MemberId>) {
        if let Some(live) = self.state.topics.get(Topic::Room(room)) {
            live.evict(room, members);
        }
    }

    /// The rooms here whose subscribers were last compared with the room's members longer ago than
    /// `age` returns for the room.
    #[must_use]
    pub fn rooms_to_compare(&self, now: Instant, age: impl Fn(RoomId) -> Duration) -> Vec<RoomId> {
        let topics = self.state.topics.all();
        let rooms = topics.iter().filter_map(|live| {
            let Topic::Room(room) = live.topic() else {
                return None;
            };
            let is_due = live
                .compared_at()
                .is_none_or(|at| now.saturating_duration_since(at) >= age(room));
            is_due.then_some(room)
        });
        rooms.collect()
    }

    /// Notes that the subscribers of a room were compared with its members as of `at`.
    pub fn note_compared(&self, room: RoomId, at: Instant) {
        if let Some(live) = self.state.topics.get(Topic::Room(room)) {
            live.set_compared_at(at);
        }
    }

    // ---- entries, heads, events ---------------------------------------------------------------

    /// Subscribes on the bus, then reads the head: what is stored after that is published to us.
    async fn begin(&self, live: &Arc<LiveTopic>) -> Result<(), StoreError> {
        let (topic, parts) = (live.topic(), &self.state.parts);
        let _gate = self.state.topics.gate(topic).lock().await;
        // No wait for a disconnected bus: it keeps the subscription and establishes it after the
        // reconnect.
        let wait = match parts.bus.state() {
            BusState::Up => CONFIRM_MAX,
            BusState::Away => Duration::ZERO,
        };
        let subscribed = match timeout(wait, parts.bus.subscribe(topic)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        if let Err(why) = subscribed {
            debug!(%topic, "following {topic} without the bus: {why}");
            // The subscription may begin only after the head was read.
            live.require_head_check();
        }
        let head = parts.store.head(topic, ReadConsistency::Quorum).await?;
        let now = parts.clock.now();
        live.change(|ring| ring.begin(head, now), &mut Wakers::default());
        fill_if_missing(&self.state, live);
        Ok(())
    }

    /// Another node announces the log's head; the entries up to it are in the store.
    fn take_head(&self, topic: Topic, head: Seq) {
        let Some(live) = self.state.topics.get(topic) else {
            return;
        };
        live.ring().announce(head);
        fill_if_missing(&self.state, &live);
    }

    /// The entry was deleted in the store: it loses its body here, too.
    pub fn forget_body(&self, topic: Topic, seq: Seq) {
        if let Some(live) = self.state.topics.get(topic) {
            live.ring().delete(seq);
        }
    }

    fn take_event(&self, room: RoomId, event: RoomEvent) {
        let Some(live) = self.state.topics.get(Topic::Room(room)) else {
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
        let parts = &self.state.parts;
        let at = LocalDateTime::from_unix(parts.clock.unix_millis());
        let body = match serde_json::to_value(event) {
            Ok(serde_json::Value::Object(mut fields)) => {
                if let Some(presence) = event.presence() {
                    fields.insert("presence".into(), presence.into());
                }
                fields.insert("at".into(), at.to_string().into());
                Bytes::from(serde_json::Value::Object(fields).to_string())
            }
            Ok(_) | Err(_) => return,
        };
        parts.metrics.events_dropped.inc_by(live.post_event(&body));
    }
}

#[cfg(test)]
mod tests;
