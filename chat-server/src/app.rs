//! Composition of a node: builds its parts from the settings. The only module that names concrete
//! adapters.

mod parts;
mod push;
mod serving;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::web::{Log, RequestIds};
use tokio::sync::mpsc;

use crate::auth::{Authenticator, OpenError};
use crate::bus::local::LocalBus;
use crate::bus::redis::{RedisBus, RedisParts, RedisTuning, RedisUrl};
use crate::bus::{Bus, BusError, BusEvent};
use crate::config::{BusUrl, Config, ScyllaFlags, StopTimes, StoreUrl};
use crate::connection::{NodeControl, Services};
use crate::events::{Events, EventsParts};
use crate::health::Health;
use crate::http::HttpState;
use crate::metrics::Metrics;
use crate::presence::local::{LocalPresence, LocalPresenceParts};
use crate::presence::redis::{PresenceTuning, RedisPresence, RedisPresenceParts};
use crate::presence::{GRACE, Presence, PresenceChange, PresenceError};
use crate::push::{Push, PushServices, PushSetupError};
use crate::store::embedded::{EmbeddedStore, NodeContext};
use crate::store::scylla::ScyllaStore;
use crate::store::{MemberStore, MessageStore, RecordStore, RoomStore, StoreError};
use parts::Parts;

pub use shared::web::{listen, serve};

/// Capacity of the node's queue of bus events.
const BUS_EVENTS_MAX: usize = 65_536;

/// Time-out for leaving the bus. Other nodes read entries not sent by then from the store.
const BUS_CLOSE_MAX: Duration = Duration::from_secs(2);

/// Why a node could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[source] StoreError),
    /// The bus.
    #[error("the bus cannot be joined")]
    Bus(#[source] BusError),
    /// The registry of presence.
    #[error("the presence registry cannot be joined")]
    Presence(#[source] PresenceError),
    /// The keys.
    #[error("the keys for checking tokens cannot be had")]
    Keys(#[source] OpenError),
    /// The push services.
    #[error("push notifications cannot be set up")]
    Push(#[source] PushSetupError),
}

/// A chat node, ready to be served.
#[derive(Debug)]
pub struct Node {
    /// Shared services of the connections.
    pub services: Arc<Services>,
    /// Carries out control messages of operators and other nodes.
    pub node_control: Arc<NodeControl>,
    /// Push notifications, and what members want of them.
    pub push: Push,
    bus: Arc<dyn Bus>,
    presence: Arc<dyn Presence>,
    stores: Stores,
    http: HttpState,
    stop_times: StopTimes,
}

/// Adapters of a node. Nodes of one site share the store and the bus.
#[derive(Debug)]
pub struct Adapters {
    /// The stores.
    pub stores: Stores,
    /// The bus to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Events of the bus.
    pub heard: mpsc::Receiver<BusEvent>,
    /// The registry of members that are online.
    pub presence: Arc<dyn Presence>,
    /// Members that came online or went offline.
    pub presence_changes: mpsc::Receiver<PresenceChange>,
    /// Metrics of the adapters and the node.
    pub metrics: Arc<Metrics>,
    /// Readiness, to which the adapters report faults.
    pub health: Arc<Health>,
}

impl Node {
    /// Opens what the settings name and starts the node's own tasks in `drain`.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        config: &Config,
        clock: Arc<dyn Clock>,
        drain: Drain,
    ) -> Result<Self, BuildError> {
        let context = NodeContext {
            drain: drain.clone(),
            ..NodeContext::default()
        };
        let metrics = Arc::clone(&context.metrics);
        let health = Arc::clone(&context.health);
        let stores = Stores::open(config, &clock, context).await;
        let stores = stores.map_err(BuildError::Store)?;
        let (bus, heard, presence, presence_changes) = match &config.bus {
            BusUrl::Local => join_local(&clock, &drain, &metrics),
            BusUrl::Redis(url) => join_redis(url, config, &clock, &metrics).await?,
        };
        let adapters = Adapters {
            stores,
            bus,
            heard,
            presence,
            presence_changes,
            metrics,
            health,
        };
        Self::assemble(config, adapters, clock, drain).await
    }

    /// Puts a node together on what is open already, and starts its own tasks in `drain`.
    ///
    /// # Errors
    /// [`BuildError::Keys`], [`BuildError::Push`].
    pub async fn assemble(
        config: &Config,
        adapters: Adapters,
        clock: Arc<dyn Clock>,
        drain: Drain,
    ) -> Result<Self, BuildError> {
        let auth = Authenticator::open(
            config.jwks.clone(),
            config.token_scope(),
            Arc::clone(&clock),
        );
        let auth = auth.await.map_err(BuildError::Keys)?;
        let push_services = PushServices::open(&config.push, &clock).map_err(BuildError::Push)?;
        let (pusher, offers) = push::pusher(&push_services, &adapters.metrics);
        let parts = Parts {
            stores: &adapters.stores,
            bus: Arc::clone(&adapters.bus),
            presence: Arc::clone(&adapters.presence),
            pusher: pusher.clone(),
            auth: Arc::new(auth),
            clock,
            drain,
            metrics: adapters.metrics,
        };
        let (services, node_control, checks) = parts.services(config);
        let (services, node_control) = (Arc::new(services), Arc::new(node_control));
        let health = adapters.health;
        let records = &adapters.stores.records;
        let push = push::start(&services, records, push_services, (pusher, offers), config);
        let events = (adapters.heard, adapters.presence_changes);
        tasks::start(&services, &node_control, checks, &health, events);
        let http = HttpState {
            rooms: Arc::clone(&services.rooms),
            members: Arc::clone(&services.members),
            presence: Arc::clone(&services.presence),
            inboxes: Arc::clone(&services.inboxes),
            events: Arc::new(Events::new(EventsParts {
                members: Arc::clone(&services.members),
                rooms: Arc::clone(&services.rooms),
                inboxes: Arc::clone(&services.inboxes),
                preferences: Arc::clone(&push.preferences),
                targets: Arc::clone(&push.targets),
                pusher: push.pusher.clone(),
                clock: Arc::clone(&services.clock),
                metrics: Arc::clone(&services.metrics),
            })),
            push: push.clone(),
            connections: Arc::clone(&services.connections),
            node_control: Arc::clone(&node_control),
            hub: services.hub.clone(),
            auth: Arc::clone(&services.auth),
            metrics: Arc::clone(&services.metrics),
            allowed_origins: config.allowed_origins.clone().into(),
            health,
            log: Log {
                clock: Arc::clone(&services.clock),
                request_ids: Arc::new(RequestIds::new(rand::random())),
            },
        };
        Ok(Self {
            services,
            node_control,
            push,
            bus: adapters.bus,
            presence: adapters.presence,
            stores: adapters.stores,
            http,
            stop_times: config.stop.clone(),
        })
    }

    /// The store of rooms, for set-up code.
    #[must_use]
    pub fn rooms_store(&self) -> Arc<dyn RoomStore> {
        Arc::clone(&self.stores.rooms)
    }

    /// The receiver of the market's events, for programs that embed both servers.
    #[must_use]
    pub fn events(&self) -> Arc<Events> {
        Arc::clone(&self.http.events)
    }

    /// Everything is served: balancers may send clients here.
    pub fn set_started(&self) {
        self.http.health.set_started();
    }

    /// Publishes the rest of the outbox, and leaves the bus and the registry of presence. To be called after all tasks have ended.
    pub async fn leave_bus(&self) {
        tokio::join!(
            self.bus.close(BUS_CLOSE_MAX),
            self.presence.close(BUS_CLOSE_MAX)
        );
    }

    /// Writes out what the store still has to write. Call it last.
    ///
    /// # Errors
    /// What was not on the disk yet could not be written.
    pub fn close(self) -> Result<(), StoreError> {
        let Self {
            services,
            node_control,
            push,
            bus,
            presence,
            stores,
            http,
            stop_times: _,
        } = self;
        // They have the store, too.
        drop((services, node_control, push, bus, presence, http));
        stores.close()
    }
}

/// Begins a new epoch in a store that was put back from a backup and that no node has open. Returns
/// the epoch.
///
/// # Errors
/// There is no store, or it cannot be opened or written.
pub async fn begin_epoch(
    store: &StoreUrl,
    scylla: &ScyllaFlags,
    clock: Arc<dyn Clock>,
) -> Result<u64, StoreError> {
    match store {
        StoreUrl::File(folder) => EmbeddedStore::begin_epoch(folder),
        StoreUrl::Scylla(address) => {
            let settings = scylla.settings(address);
            let metrics = Arc::new(Metrics::new());
            let store = ScyllaStore::connect_existing(&settings, clock, metrics).await?;
            store.begin_epoch().await
        }
    }
}

/// What keeps everything: four views of one store.
#[derive(Debug)]
pub struct Stores {
    /// The logs.
    pub messages: Arc<dyn MessageStore>,
    /// The rooms.
    pub rooms: Arc<dyn RoomStore>,
    /// The members.
    pub members: Arc<dyn MemberStore>,
    /// Their records.
    pub records: Arc<dyn RecordStore>,
    /// The one that has something to write out at the end.
    embedded: Option<Arc<EmbeddedStore>>,
}

impl Stores {
    async fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        context: NodeContext,
    ) -> Result<Self, StoreError> {
        match &config.store {
            StoreUrl::File(folder) => {
                let store = EmbeddedStore::open_in(folder, config.limits.sync, context)?;
                let store = Arc::new(store);
                let mut stores = Self::of(&store);
                stores.embedded = Some(store);
                Ok(stores)
            }
            StoreUrl::Scylla(address) => {
                let settings = config.scylla.settings(address);
                let (clock, metrics) = (Arc::clone(clock), context.metrics);
                let store = ScyllaStore::connect(&settings, clock, metrics).await?;
                Ok(Self::of(&Arc::new(store)))
            }
        }
    }

    /// The traits of one store, which its owner closes.
    #[must_use]
    pub fn of<S>(store: &Arc<S>) -> Self
    where
        S: MessageStore + RoomStore + MemberStore + RecordStore + 'static,
    {
        Self {
            messages: Arc::clone(store) as Arc<dyn MessageStore>,
            rooms: Arc::clone(store) as Arc<dyn RoomStore>,
            members: Arc::clone(store) as Arc<dyn MemberStore>,
            records: Arc::clone(store) as Arc<dyn RecordStore>,
            embedded: None,
        }
    }

    fn close(self) -> Result<(), StoreError> {
        let Self {
            messages,
            rooms,
            members,
            records,
            embedded,
        } = self;
        drop((messages, rooms, members, records));
        match embedded.map(Arc::try_unwrap) {
            Some(Ok(store)) => store.close(),
            // It is still in use, and its Drop does the same; the others have nothing to write out:
            // an acknowledged write is stored.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

/// The bus and the registry of presence, each with what it receives.
type Joined = (
    Arc<dyn Bus>,
    mpsc::Receiver<BusEvent>,
    Arc<dyn Presence>,
    mpsc::Receiver<PresenceChange>,
);

fn join_local(clock: &Arc<dyn Clock>, drain: &Drain, metrics: &Arc<Metrics>) -> Joined {
    let (bus, heard) = LocalBus::new().attach(BUS_EVENTS_MAX);
    let (presence, changes) = LocalPresence::new().attach(LocalPresenceParts {
        grace: GRACE,
        clock: Arc::clone(clock),
        drain: drain.clone(),
        metrics: Arc::clone(metrics),
    });
    (Arc::new(bus), heard, Arc::new(presence), changes)
}

async fn join_redis(
    url: &RedisUrl,
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Joined, BuildError> {
    let bus = RedisParts {
        url: url.clone(),
        ca: config.redis.bus_ca.clone(),
        prefix: config.redis.bus_prefix.clone(),
        tuning: RedisTuning::default(),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
        random: StdRng::from_rng(&mut rand::rng()),
    };
    let presence = RedisPresenceParts {
        url: url.clone(),
        ca: bus.ca.clone(),
        prefix: bus.prefix.clone(),
        tuning: PresenceTuning::default(),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
        random: StdRng::from_rng(&mut rand::rng()),
    };
    let bus = RedisBus::open(bus, BUS_EVENTS_MAX).await;
    let (bus, heard) = bus.map_err(BuildError::Bus)?;
    let presence = RedisPresence::open(presence).await;
    let (presence, changes) = presence.map_err(BuildError::Presence)?;
    Ok((Arc::new(bus), heard, Arc::new(presence), changes))
}
