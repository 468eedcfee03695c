//! Redis bus: pub/sub between nodes, on one server, behind Sentinels or on a cluster.
//!
//! ```text
//! publish    outbox ─► sender ─► Redis          (sender.rs)
//! receive    Redis ─► client's channel ─► receive loop ─► events ─► the node   (receive_loop.rs)
//! subscribe  subscriptions ─► session: SUBSCRIBE, confirm        (session.rs; one plan at a time)
//! ```
//! A session is a pair of connections, one for commands and one for subscriptions. At the first
//! failure of either (closed, a time-out, a probe that is not received) it ends as a whole and a
//! new one begins: connect, subscribe everything wanted, confirm, be up, and only then queue
//! [`BusEvent::Lost`]. The client library's own reconnection is off, so there is one way to recover
//! and not two: the library repeats commands on a connection that lacks their predecessors, keeps a
//! frozen node of a cluster, and does not report what it dropped.
//!
//! Only `link` and `pubsub` name the client library, fred. The bus stores nothing and orders nothing;
//! the store does.

mod events;
mod link;
mod message;
mod names;
mod outbox;
mod probe;
mod pubsub;
mod receive_loop;
mod sender;
mod session;
mod status;
mod subscriptions;
mod topology;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::drain::{Drain, Task};
use shared::ids::{RoomId, Seq};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::events::Events;
use self::names::Names;
use self::outbox::{Item, Outbox};
use self::probe::Probes;
use self::status::Status;
use self::subscriptions::{SubscribeState, Subscriptions};
use super::event_sink::EventSink;
use super::{Bus, BusError, BusEvent, BusState, Control};
use crate::log::{Entry, RoomEvent, Topic};
use crate::metrics::{BusDirection, Metrics};

pub use names::is_prefix;
pub use shared::redis::{BadRedisUrl, RedisKind, RedisUrl};

/// Head keys read by one command: its answer stays below 10 KB.
const HEADS_MAX: usize = 500;

/// Time-outs, intervals and the backlog of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisTuning {
    /// For a connection, with its login.
    pub connect_max: Duration,
    /// For the answer to any command.
    pub command_max: Duration,
    /// For the answer to a request about a turn: later it is of no use.
    pub turn_max: Duration,
    /// From one probe to the next.
    pub probe_every: Duration,
    /// For a probe to be received; then the session ends.
    pub probe_max: Duration,
    /// The longest pause between two attempts to connect. The first is a fortieth.
    pub retry_max: Duration,
    /// How often a cluster's slots are read, besides when a node redirects a command.
    pub topology_every: Duration,
    /// Messages that the client library buffers. It drops more than these, oldest first, and a
    /// [`BusEvent::Lost`] follows. The buffer takes 42 MB at the default.
    pub backlog_max: usize,
}

impl Default for RedisTuning {
    fn default() -> Self {
        Self {
            connect_max: Duration::from_secs(3),
            command_max: Duration::from_secs(4),
            turn_max: Duration::from_millis(250),
            probe_every: Duration::from_secs(2),
            probe_max: Duration::from_secs(5),
            retry_max: Duration::from_secs(2),
            topology_every: Duration::from_secs(10),
            backlog_max: 65_536,
        }
    }
}

/// Dependencies and configuration of a [`RedisBus`].
#[derive(Debug)]
pub struct RedisParts {
    /// The address of Redis.
    pub url: RedisUrl,
    /// File of certificates (PEM) that sign those of its servers; the system's without.
    pub ca: Option<PathBuf>,
    /// Prefix of all names in Redis: nodes with the same one form a bus. See
    /// [`is_prefix`].
    pub prefix: String,
    /// Time-outs and bounds.
    pub tuning: RedisTuning,
    /// Clock for time-outs and measurements.
    pub clock: Arc<dyn Clock>,
    /// Counters of the bus.
    pub metrics: Arc<Metrics>,
    /// For the node's number and the pauses between attempts.
    pub random: StdRng,
}

/// A node on the bus. Dropping it ends its tasks and its receiver.
pub struct RedisBus {
    shared: Arc<Shared>,
    sender: Mutex<Option<Task<()>>>,
}

/// The parts of a bus that its tasks share. Each keeps its state to itself; this has no methods.
struct Shared {
    node: u64,
    names: Names,
    tuning: RedisTuning,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Of this bus alone: its tasks outlive those of the server, whose last messages they send.
    drain: Drain,
    subscriptions: Subscriptions,
    outbox: Outbox,
    events: Events,
    status: Status,
    probes: Probes,
}

impl RedisBus {
    /// Joins the bus as a node that can have `capacity` events waiting, and one `Lost`.
    ///
    /// Returns when it is up, or when Redis did not accept it within a connection's time-out: then
    /// it is away, and retries.
    ///
    /// # Errors
    /// The settings cannot be used: no certificates to check an encrypted connection with.
    pub async fn open(
        parts: RedisParts,
        capacity: usize,
    ) -> Result<(Self, mpsc::Receiver<BusEvent>), BusError> {
        let RedisParts {
            url,
            ca,
            prefix,
            tuning,
            clock,
            metrics,
            mut random,
        } = parts;
        let settings = link::settings(&url, ca.as_deref(), tuning)?;
        let node = random.random();
        let (sink, events) = EventSink::new(capacity);
        let shared = Arc::new(Shared {
            node,
            names: Names::new(prefix, node),
            tuning,
            clock,
            drain: Drain::new(),
            subscriptions: Subscriptions::default(),
            outbox: Outbox::new(node),
            events: Events::new(sink, Arc::clone(&metrics)),
            status: Status::new(Arc::clone(&metrics)),
            probes: Probes::new(node, tuning, Arc::clone(&metrics)),
            metrics,
        });
        let mut state = shared.status.states();
        let hard = shared.drain.hard();
        let sender = Box::pin(sender::run(Arc::clone(&shared)));
        let sender = hard.clone().run_until_cancelled_owned(sender);
        let sender = shared.drain.spawn("redis-send", async move {
            sender.await;
        });
        let sessions = Box::pin(session::run(Arc::clone(&shared), settings, random));
        let sessions = hard.run_until_cancelled_owned(sessions);
        drop(shared.drain.spawn("redis-sessions", sessions));
        let up = state.wait_for(|state| *state == BusState::Up);
        if timeout(tuning.connect_max, up).await.is_err() {
            tracing::warn!("the bus at {url} is away; starting without it");
        }
        let bus = Self {
            shared,
            sender: Mutex::new(Some(sender)),
        };
        Ok((bus, events))
    }

    /// Every change between up and away.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<BusState> {
        self.shared.status.states()
    }

    fn enqueue(&self, item: Item) {
        if self.shared.outbox.push(item) {
            self.shared.metrics.bus_owed.inc();
        }
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn subscribe(&self, topic: Topic) -> Result<(), BusError> {
        let away = || BusError("away".to_owned());
        match self.shared.subscriptions.subscribe(topic) {
            SubscribeState::Heard => Ok(()),
            SubscribeState::Away => Err(away()),
            SubscribeState::Soon(confirmed) => {
                match timeout(self.shared.tuning.command_max, confirmed).await {
                    Ok(confirmed) => confirmed.ok().ok_or_else(away),
                    Err(_) => Err(BusError("not confirmed in time".to_owned())),
                }
            }
        }
    }

    async fn unsubscribe(&self, topic: Topic) {
        self.shared.subscriptions.unsubscribe(topic);
    }

    fn publish(&self, topic: Topic, entries: Arc<[Arc<Entry>]>) {
        if let Some((head, message)) = message::entries(self.shared.node, &entries) {
            self.enqueue(Item::Grown {
                topic,
                head,
                message,
            });
        }
    }

    fn publish_event(&self, room: RoomId, event: RoomEvent) {
        let message = message::event(self.shared.node, event);
        self.enqueue(Item::Beside(Topic::Room(room), message));
    }

    fn publish_control(&self, control: Control) {
        let message = message::control(self.shared.node, control);
        self.enqueue(Item::Control(message));
    }

    fn note_head(&self, topic: Topic, head: Seq) {
        self.enqueue(Item::Noted(topic, head));
    }

    async fn heads(&self, topics: &[Topic]) -> Result<Vec<Option<Seq>>, BusError> {
        let connection = self.shared.status.connection()?;
        let mut heads = Vec::with_capacity(topics.len());
        for some in topics.chunks(HEADS_MAX) {
            let keys = some.iter().map(|topic| self.shared.names.head_key(*topic));
            let found = connection.values(keys.collect()).await;
            let found = found.map_err(|error| BusError(error.to_string()))?;
            // A value that is no position was not noted by a node: no hint.
            heads.extend(
                found
                    .iter()
                    .map(|text| text.as_deref()?.parse::<Seq>().ok()),
            );
        }
        Ok(heads)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn take_turn(&self, topic: Topic, time: Duration) -> bool {
        let Ok(connection) = self.shared.status.connection() else {
            return true;
        };
        let names = &self.shared.names;
        let taken = connection.take_turn(names.turn_key(topic), names.node_id(), time);
        match timeout(self.shared.tuning.turn_max, taken).await {
            Ok(Ok(is_taken)) => is_taken,
            Ok(Err(_)) | Err(_) => true,
        }
    }

    async fn end_turn(&self, topic: Topic) {
        let Ok(connection) = self.shared.status.connection() else {
            return;
        };
        let names = &self.shared.names;
        let ended = connection.end_turn(names.turn_key(topic), names.node_id());
        // Otherwise it expires.
        drop(timeout(self.shared.tuning.turn_max, ended).await);
    }

    fn state(&self) -> BusState {
        self.shared.status.state()
    }

    async fn close(&self, time_max: Duration) {
        let started = self.shared.clock.now();
        self.shared.outbox.close();
        let sender = self
            .sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(sender) = sender
            && timeout(time_max, sender).await.is_err()
        {
            tracing::warn!(
                "the outbox was not empty after {time_max:?}: other nodes read the rest from the store"
            );
        }
        let left =
            time_max.saturating_sub(self.shared.clock.now().saturating_duration_since(started));
        if let Err(still) = self.shared.drain.wait(left).await {
            tracing::warn!("tasks of the bus did not end: {still}");
        }
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.shared.drain.hard().cancel();
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus")
            .field("names", &self.shared.names)
            .field("state", &self.shared.status.state())
            .finish_non_exhaustive()
    }
}
