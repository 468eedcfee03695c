//! Puts a node together: the one place that names concrete adapters.

mod tasks;

use std::sync::Arc;

use axum::Router;
use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::drain::Drain;
use stomp::{Limits, SessionConfig};
use tokio::sync::mpsc;

use crate::append::{Appender, AppenderParts};
use crate::auth::{Authenticator, OpenError};
use crate::bus::local::LocalBus;
use crate::bus::{Bus, BusEvent};
use crate::config::{BusUrl, Config, StoreUrl};
use crate::connection::{ConnectionConfig, Connections, Looks, Orders, OrdersParts, Services};
use crate::health::Health;
use crate::http::{self, HttpState, RequestIds};
use crate::hub::Hub;
use crate::members::{Members, MembersParts};
use crate::metrics::Metrics;
use crate::rooms::{Rooms, RoomsParts};
use crate::store::embedded::EmbeddedStore;
use crate::store::{MemberStore, MessageStore, RoomStore, StoreError};
use crate::transport::websocket::{self, Upgrades};

pub use crate::transport::listener::{listen, serve};

/// What other nodes said and was not yet taken in.
const BUS_EVENTS_MAX: usize = 65_536;

/// Why a node could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[source] StoreError),
    /// The keys.
    #[error("the keys for checking tokens cannot be had")]
    Keys(#[source] OpenError),
}

/// A chat node, ready to be served.
#[derive(Debug)]
pub struct Node {
    /// What connections use.
    pub services: Arc<Services>,
    /// What operators and other nodes want done.
    pub orders: Arc<Orders>,
    rooms: Arc<dyn RoomStore>,
    /// What has to be closed at the end, if the node opened it.
    store: Option<Arc<EmbeddedStore>>,
    http: HttpState,
}

/// What a node stands on. Nodes of one site share the store and the bus.
#[derive(Debug)]
pub struct Adapters {
    /// The logs.
    pub messages: Arc<dyn MessageStore>,
    /// The rooms.
    pub rooms: Arc<dyn RoomStore>,
    /// The members.
    pub members: Arc<dyn MemberStore>,
    /// The way to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// What they say.
    pub heard: mpsc::Receiver<BusEvent>,
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
        let StoreUrl::File(folder) = &config.store;
        let store = EmbeddedStore::open(folder, config.limits.sync);
        let store = Arc::new(store.map_err(BuildError::Store)?);
        let BusUrl::Local = config.bus;
        let (bus, heard) = LocalBus::new().attach(BUS_EVENTS_MAX);
        let adapters = Adapters {
            messages: Arc::clone(&store) as Arc<dyn MessageStore>,
            rooms: Arc::clone(&store) as Arc<dyn RoomStore>,
            members: Arc::clone(&store) as Arc<dyn MemberStore>,
            bus: Arc::new(bus),
            heard,
        };
        let mut node = Self::assemble(config, adapters, clock, drain).await?;
        node.store = Some(store);
        Ok(node)
    }

    /// Puts a node together on what is open already, and starts its own tasks in `drain`. Whoever
    /// opened it closes it.
    ///
    /// # Errors
    /// [`BuildError::Keys`].
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
        let parts = Parts {
            messages: adapters.messages,
            rooms: Arc::clone(&adapters.rooms),
            members: adapters.members,
            bus: adapters.bus,
            auth: Arc::new(auth),
            clock,
            drain,
        };
        let (services, orders, looks) = parts.services(config);
        let (services, orders) = (Arc::new(services), Arc::new(orders));
        let health = Arc::new(Health::new());
        tasks::start(&services, (&orders, looks), &health, adapters.heard);
        let http = HttpState {
            rooms: Arc::clone(&services.rooms),
            members: Arc::clone(&services.members),
            connections: Arc::clone(&services.connections),
            orders: Arc::clone(&orders),
            hub: services.hub.clone(),
            auth: Arc::clone(&services.auth),
            metrics: Arc::clone(&services.metrics),
            allowed_origins: config.allowed_origins.clone().into(),
            health,
            clock: Arc::clone(&services.clock),
            request_ids: Arc::new(RequestIds::new(rand::random())),
        };
        Ok(Self {
            services,
            orders,
            rooms: adapters.rooms,
            store: None,
            http,
        })
    }

    /// Where rooms are kept; for those who set a node up.
    #[must_use]
    pub fn rooms_store(&self) -> Arc<dyn RoomStore> {
        Arc::clone(&self.rooms)
    }

    /// What clients use: the WebSocket and REST.
    pub fn public_router(&self) -> Router {
        let services = Arc::clone(&self.services);
        let allowed_origins = Arc::clone(&self.http.allowed_origins);
        let upgrades = Upgrades {
            services,
            allowed_origins,
        };
        http::public_router(self.http.clone()).merge(websocket::router(upgrades))
    }

    /// What the market and operators use; never public.
    pub fn admin_router(&self) -> Router {
        let internal = http::internal_router(self.http.clone());
        internal.merge(http::admin_router(self.http.clone()).reset_fallback())
    }

    /// Everything is served: balancers may send clients here.
    pub fn set_started(&self) {
        self.http.health.set_started();
    }

    /// Writes out what the store still has to write. Call it last.
    ///
    /// # Errors
    /// What was not on the disk yet could not be written.
    pub fn close(self) -> Result<(), StoreError> {
        let Self {
            services,
            orders,
            rooms,
            store,
            http,
        } = self;
        drop((services, orders, rooms, http));
        // If somebody still has it, its Drop does the same.
        match store.map(Arc::try_unwrap) {
            Some(Ok(store)) => store.close(),
            Some(Err(_)) | None => Ok(()),
        }
    }
}

/// The adapters of a node.
struct Parts {
    messages: Arc<dyn MessageStore>,
    rooms: Arc<dyn RoomStore>,
    members: Arc<dyn MemberStore>,
    bus: Arc<dyn Bus>,
    auth: Arc<Authenticator>,
    clock: Arc<dyn Clock>,
    drain: Drain,
}

impl Parts {
    fn services(self, config: &Config) -> (Services, Orders, Looks) {
        let Self {
            messages,
            rooms,
            members,
            bus,
            auth,
            clock,
            drain,
        } = self;
        let metrics = Arc::new(Metrics::new());
        let hub = Hub::new(
            Arc::clone(&messages),
            Arc::clone(&bus),
            Arc::clone(&clock),
            drain.clone(),
            Arc::clone(&metrics),
        );
        let own_hub = hub.clone();
        let appender = Appender::new(AppenderParts {
            store: Arc::clone(&messages),
            rooms: Arc::clone(&rooms),
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            drain: drain.clone(),
            metrics: Arc::clone(&metrics),
            stored: Box::new(move |topic, entries| own_hub.take_stored(topic, entries)),
        });
        let rooms = Rooms::new(RoomsParts {
            rooms,
            messages: Arc::clone(&messages),
            hub: hub.clone(),
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            random: StdRng::from_rng(&mut rand::rng()),
        });
        let members = Arc::new(Members::new(MembersParts {
            store: members,
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        }));
        let (rooms, connections) = (Arc::new(rooms), Arc::<Connections>::default());
        let (orders, looks) = Orders::new(OrdersParts {
            rooms: Arc::clone(&rooms),
            members: Arc::clone(&members),
            connections: Arc::clone(&connections),
            bus,
            metrics: Arc::clone(&metrics),
        });
        let services = Services {
            config: connection_config(config),
            session: Arc::new(session_config(config)),
            hub,
            appender: Arc::new(appender),
            rooms,
            members,
            auth,
            store: messages,
            clock,
            drain,
            metrics,
            connections,
        };
        (services, orders, looks)
    }
}

fn connection_config(config: &Config) -> ConnectionConfig {
    ConnectionConfig {
        connections_max: config.limits.connections_max,
        message_chars_max: config.limits.message_chars_max,
        send_time_limit: config.limits.send_time_limit,
        ping_interval: config.limits.ping_interval,
        sends_per_second: config.limits.sends_limit(),
        age_max: config.limits.connection_age_max,
        replay_unread: config.limits.replay_unread,
    }
}

fn session_config(config: &Config) -> SessionConfig {
    SessionConfig {
        after_login: Limits {
            frame_bytes_max: config.limits.frame_bytes_max,
            ..Limits::after_login()
        },
        heart_beat: config.limits.heart_beat,
        login_timeout: config.limits.login_timeout,
        ..SessionConfig::default()
    }
}
