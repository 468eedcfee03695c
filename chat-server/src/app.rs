//! Puts a node together: the one place that names concrete adapters.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::drain::Drain;
use stomp::{CloseCode, Limits, SessionConfig};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::append::{Appender, AppenderParts};
use crate::auth::{Authenticator, OpenError, REFRESH_PERIOD};
use crate::bus::local::LocalBus;
use crate::bus::redis::{RedisBus, RedisParts, RedisTuning, RedisUrl};
use crate::bus::{Bus, BusError, BusEvent};
use crate::config::{BusUrl, Config, StoreUrl};
use crate::connection::{ConnectionConfig, Connections, Services};
use crate::health::Health;
use crate::http::{self, HttpState, RequestIds};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::rooms::{Rooms, RoomsParts};
use crate::store::embedded::EmbeddedStore;
use crate::store::{MessageStore, RoomStore, StoreError};
use crate::transport::websocket::{self, Upgrades};

pub use crate::transport::listener::{listen, serve};

/// What other nodes said and was not yet taken in.
const BUS_EVENTS_MAX: usize = 65_536;

/// How often what is idle is let go of.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Why a node could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[source] StoreError),
    /// The bus.
    #[error("the bus cannot be joined")]
    Bus(#[source] BusError),
    /// The keys.
    #[error("the keys for checking tokens cannot be had")]
    Keys(#[source] OpenError),
}

/// A chat node, ready to be served.
#[derive(Debug)]
pub struct Node {
    /// What connections use.
    pub services: Arc<Services>,
    store: Arc<EmbeddedStore>,
    bus: Arc<dyn Bus>,
    http: HttpState,
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
        let metrics = Arc::new(Metrics::new());
        let (bus, heard) = match &config.bus {
            BusUrl::Local => {
                let (bus, heard) = LocalBus::new().attach(BUS_EVENTS_MAX);
                (Arc::new(bus) as Arc<dyn Bus>, heard)
            }
            BusUrl::Redis(url) => join_redis(url, config, &clock, &metrics).await?,
        };
        let auth = Authenticator::open(
            config.jwks.clone(),
            config.token_scope(),
            Arc::clone(&clock),
        );
        let auth = auth.await.map_err(BuildError::Keys)?;
        let parts = Parts {
            messages: Arc::clone(&store) as Arc<dyn MessageStore>,
            rooms: Arc::clone(&store) as Arc<dyn RoomStore>,
            bus: Arc::clone(&bus),
            auth: Arc::new(auth),
            clock,
            drain,
            metrics,
        };
        let services = Arc::new(parts.services(config));
        let health = Arc::new(Health::new());
        start_tasks(&services, &health, heard);
        let http = HttpState {
            rooms: Arc::clone(&services.rooms),
            auth: Arc::clone(&services.auth),
            metrics: Arc::clone(&services.metrics),
            allowed_origins: config.allowed_origins.clone().into(),
            health,
            clock: Arc::clone(&services.clock),
            request_ids: Arc::new(RequestIds::new(rand::random())),
        };
        Ok(Self {
            services,
            store,
            bus,
            http,
        })
    }

    /// Where rooms are kept; for those who set a node up.
    #[must_use]
    pub fn rooms_store(&self) -> Arc<dyn RoomStore> {
        Arc::clone(&self.store) as Arc<dyn RoomStore>
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

    /// Tells the other nodes what they were not told yet, for so long at most, and leaves the bus.
    /// Call it when nothing is published any more.
    pub async fn leave_bus(&self, time_max: Duration) {
        self.bus.close(time_max).await;
    }

    /// Writes out what the store still has to write. Call it last.
    ///
    /// # Errors
    /// What was not on the disk yet could not be written.
    pub fn close(self) -> Result<(), StoreError> {
        match Arc::try_unwrap(self.store) {
            Ok(store) => store.close(),
            // Somebody still has it; its Drop does the same.
            Err(_) => Ok(()),
        }
    }
}

/// The adapters of a node.
struct Parts {
    messages: Arc<dyn MessageStore>,
    rooms: Arc<dyn RoomStore>,
    bus: Arc<dyn Bus>,
    auth: Arc<Authenticator>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    metrics: Arc<Metrics>,
}

async fn join_redis(
    url: &RedisUrl,
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<dyn Bus>, mpsc::Receiver<BusEvent>), BuildError> {
    let parts = RedisParts {
        url: url.clone(),
        prefix: config.bus_prefix.clone(),
        tuning: RedisTuning::default(),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
        random: StdRng::from_rng(&mut rand::rng()),
    };
    let joined = RedisBus::open(parts, BUS_EVENTS_MAX).await;
    let (bus, heard) = joined.map_err(BuildError::Bus)?;
    Ok((Arc::new(bus), heard))
}

impl Parts {
    fn services(self, config: &Config) -> Services {
        let Self {
            messages,
            rooms,
            bus,
            auth,
            clock,
            drain,
            metrics,
        } = self;
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
            bus,
            clock: Arc::clone(&clock),
            drain: drain.clone(),
            metrics: Arc::clone(&metrics),
            stored: Box::new(move |topic, entries| own_hub.take_stored(topic, entries)),
        });
        let rooms = Rooms::new(RoomsParts {
            rooms,
            messages: Arc::clone(&messages),
            hub: hub.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            random: StdRng::from_rng(&mut rand::rng()),
        });
        Services {
            config: connection_config(config),
            session: Arc::new(session_config(config)),
            hub,
            appender: Arc::new(appender),
            rooms: Arc::new(rooms),
            auth,
            store: messages,
            clock,
            drain,
            metrics,
            connections: Connections::default(),
        }
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

/// The tasks of the node itself. They end at the soft token.
fn start_tasks(
    services: &Arc<Services>,
    health: &Arc<Health>,
    mut heard: mpsc::Receiver<BusEvent>,
) {
    let drain = &services.drain;
    let hub = services.hub.clone();
    let soft = drain.soft();
    drop(drain.spawn(
        "bus-events",
        soft.run_until_cancelled_owned(async move {
            while let Some(event) = heard.recv().await {
                hub.take_from_bus(event);
            }
        }),
    ));

    let sweeper = Arc::clone(services);
    drop(drain.spawn(
        "sweep",
        drain.soft().run_until_cancelled_owned(async move {
            let mut due = interval(SWEEP_EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                due.tick().await;
                sweeper.hub.sweep().await;
                sweeper.appender.sweep();
            }
        }),
    ));

    let auth = Arc::clone(&services.auth);
    drop(drain.spawn(
        "keys",
        drain.soft().run_until_cancelled_owned(async move {
            let mut due = interval(REFRESH_PERIOD);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            due.tick().await; // the first tick is at once, and the keys are fetched when needed
            loop {
                due.tick().await;
                auth.refresh().await;
            }
        }),
    ));

    let closing = Arc::clone(services);
    let health = Arc::clone(health);
    let soft = drain.soft();
    drop(drain.spawn("close-connections", async move {
        soft.cancelled().await;
        health.set_draining();
        closing.close_all(CloseCode(1012), "restart");
    }));
}
