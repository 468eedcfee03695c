//! The hub: the live half of the topics that somebody on this node follows.
//!
//! Entries come from this node's appender and from the bus, whatever the way and however often; the
//! position decides what is shown next. What is missing is in the store already, for nothing is
//! published before it is stored, and is read from there.

mod frame;
mod mailbox;
mod ring;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use shared::clock::{Clock, LocalDateTime};
use shared::drain::Drain;
use shared::ids::{RoomId, Seq};
use tokio::sync::Mutex as Gate;
use tokio::time::{sleep, timeout};

use crate::bus::{Bus, BusEvent};
use crate::log::{Entry, RoomEvent, Topic};
use crate::metrics::Metrics;
use crate::store::{MessageStore, READ_ENTRIES_MAX, StoreError, View};

pub use frame::{Delivery, Form, Lens, destination, message_frame, message_tail, put_frame_header};
pub use mailbox::{Letter, Mailbox, Slot};
pub use ring::{Pulled, RING_BYTES_MAX, RING_ENTRIES_MAX};
pub use topic::{Following, LiveTopic, Part};

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
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    metrics: Arc<Metrics>,
}

impl Hub {
    /// A hub that follows nothing yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn MessageStore>,
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
                bus,
                clock,
                drain,
                metrics,
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
        mailbox: Arc<Mailbox>,
        slot: Slot,
    ) -> Result<Following, StoreError> {
        let parts = &self.parts;
        let live = {
            // The reservation is made under the map's lock, so the sweep cannot come between.
            let entry = parts.topics.entry(topic);
            let live = entry.or_insert_with(|| Arc::new(LiveTopic::new(topic, parts.clock.now())));
            live.reserve();
            Arc::clone(&live)
        };
        let begun = live.begun.get_or_try_init(|| self.begin(&live)).await;
        let follower = begun.is_ok().then_some((mailbox, slot, part));
        let following = live.settle_join(follower, parts.clock.now());
        begun.map(|()| following.expect("a follower was given"))
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
            BusEvent::Room(room, event) => self.take_event(room, event),
            BusEvent::Lost => {
                let hub = self.clone();
                drop(
                    self.parts
                        .drain
                        .spawn("hub-heads", async move { hub.check_heads().await }),
                );
            }
        }
    }

    /// Lets go of topics that nobody follows any more, and of old entries.
    pub async fn sweep(&self) {
        let now = self.parts.clock.now();
        let mut idle = Vec::new();
        for live in &self.parts.topics {
            live.ring().forget_older(now, RING_AGE);
            let since = live.idle_since();
            if since.is_some_and(|since| now.saturating_duration_since(since) >= LINGER) {
                idle.push(live.topic());
            }
        }
        for topic in idle {
            let _gate = self.gate(topic).lock().await;
            let still = |_: &Topic, live: &Arc<LiveTopic>| live.idle_since().is_some();
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

    fn gate(&self, topic: Topic) -> &Gate<()> {
        let owner = match topic {
            Topic::Room(room) => room.get(),
            Topic::Inbox(member) => member.get(),
        };
        &self.parts.gates[owner as usize % GATES]
    }

    /// Hears the bus, then asks for the head: what is stored later will be heard.
    async fn begin(&self, live: &Arc<LiveTopic>) -> Result<(), StoreError> {
        let topic = live.topic();
        let _gate = self.gate(topic).lock().await;
        match timeout(CONFIRM_MAX, self.parts.bus.subscribe(topic)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%topic, "following {topic} without the bus: {error}"),
            Err(_) => tracing::warn!(%topic, "following {topic} without the bus: no answer"),
        }
        let head = self.parts.store.head(topic, View::Quorum).await?;
        let now = self.parts.clock.now();
        live.change(|ring| ring.begin(head, now));
        self.fill_if_missing(live);
        Ok(())
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
            live.post_all(|| Letter::Left { room, member });
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

    /// Reads what is missing, in a task of its own, at most one per topic.
    fn fill_if_missing(&self, live: &Arc<LiveTopic>) {
        if live.ring().missing().is_none() || !live.start_filling() {
            return;
        }
        let (hub, live) = (self.clone(), Arc::clone(live));
        drop(self.parts.drain.spawn("hub-fill", async move {
            hub.fill(&live).await;
        }));
    }

    async fn fill(&self, live: &Arc<LiveTopic>) {
        loop {
            let missing = live.ring().missing();
            let Some((head, last)) = missing else {
                live.stop_filling();
                // Something may have come between the look and the stop.
                if live.ring().missing().is_some() && live.start_filling() {
                    continue;
                }
                return;
            };
            match self.read_whole(live.topic(), head, last).await {
                Ok((entries, last)) => {
                    self.parts.metrics.gaps_filled.inc();
                    let now = self.parts.clock.now();
                    live.change(|ring| ring.fill(&entries, last, now));
                }
                Err(_) if self.parts.drain.hard().is_cancelled() => return live.stop_filling(),
                Err(_) => sleep(FILL_PAUSE).await,
            }
        }
    }

    /// A page of what lies after `head`, up to `last` at most; asked again when something is missing.
    async fn read_whole(
        &self,
        topic: Topic,
        head: Seq,
        last: Seq,
    ) -> Result<(Vec<Arc<Entry>>, Seq), StoreError> {
        let first = head.next().unwrap_or(Seq::MAX);
        let page_end = first
            .get()
            .saturating_add(READ_ENTRIES_MAX - 1)
            .min(last.get());
        let last = Seq::try_from(u64::from(page_end)).unwrap_or(last);
        let wanted = (page_end - head.get()) as usize;
        let mut entries = self
            .parts
            .store
            .read(topic, first, last, View::Quorum)
            .await?;
        if entries.len() < wanted {
            entries = self
                .parts
                .store
                .read(topic, first, last, View::Settled)
                .await?;
        }
        if matches!(topic, Topic::Room(_)) && entries.len() < wanted {
            return Err(StoreError::Unavailable(format!(
                "{topic} lacks entries up to {last}"
            )));
        }
        Ok((entries, last))
    }

    /// Something may have been missed: asks the store for the head of every topic here.
    async fn check_heads(&self) {
        let topics: Vec<_> = self
            .parts
            .topics
            .iter()
            .map(|live| Arc::clone(&live))
            .collect();
        for live in topics {
            match self.parts.store.head(live.topic(), View::Quorum).await {
                Ok(head) => {
                    live.ring().hear_of(head);
                    self.fill_if_missing(&live);
                }
                Err(error) => tracing::warn!("head of {} unknown: {error}", live.topic()),
            }
        }
    }
}
