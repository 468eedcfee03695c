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
use crate::bus::{Bus, BusEvent};
use crate::config::{BusUrl, Config, StoreUrl};
use crate::connection::{ConnectionConfig, Connections, Services};
use crate::health::Health;
use crate::http::{self, HttpState, RequestIds};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::rooms::{Rooms, RoomsParts};
use crate::store::embedded::EmbeddedStore;
use crate::store::scylla::ScyllaStore;
use crate::store::{MemberStore, MessageStore, RoomStore, StoreError};
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
    /// The keys.
    #[error("the keys for checking tokens cannot be had")]
    Keys(#[source] OpenError),
}

/// A chat node, ready to be served.
#[derive(Debug)]
pub struct Node {
    /// What connections use.
    pub services: Arc<Services>,
    stores: Stores,
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
        let metrics = Arc::new(Metrics::new());
        let stores = Stores::open(config, &clock, &metrics).await;
        let stores = stores.map_err(BuildError::Store)?;
        let BusUrl::Local = config.bus;
        let (bus, heard) = LocalBus::new().attach(BUS_EVENTS_MAX);
        let auth = Authenticator::open(
            config.jwks.clone(),
            config.token_scope(),
            Arc::clone(&clock),
        );
        let auth = auth.await.map_err(BuildError::Keys)?;
        let parts = Parts {
            messages: Arc::clone(&stores.messages),
            rooms: Arc::clone(&stores.rooms),
            bus: Arc::new(bus),
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
            stores,
            http,
        })
    }

    /// Where rooms are kept; for those who set a node up.
    #[must_use]
    pub fn rooms_store(&self) -> Arc<dyn RoomStore> {
        Arc::clone(&self.stores.rooms)
    }

    /// What is known of members.
    #[must_use]
    pub fn members_store(&self) -> Arc<dyn MemberStore> {
        Arc::clone(&self.stores.members)
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
            stores,
            http,
        } = self;
        // They have the store, too.
        drop((services, http));
        stores.close()
    }
}

/// What keeps everything: three views of one store.
#[derive(Debug)]
struct Stores {
    messages: Arc<dyn MessageStore>,
    rooms: Arc<dyn RoomStore>,
    members: Arc<dyn MemberStore>,
    /// The one that has something to write out at the end.
    embedded: Option<Arc<EmbeddedStore>>,
}

impl Stores {
    async fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        match &config.store {
            StoreUrl::File(folder) => {
                let store = Arc::new(EmbeddedStore::open(folder, config.limits.sync)?);
                Ok(Self::of(&store, Some(Arc::clone(&store))))
            }
            StoreUrl::Scylla(address) => {
                let settings = config.scylla.settings(address);
                let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
                let store = ScyllaStore::connect(&settings, clock, metrics).await?;
                Ok(Self::of(&Arc::new(store), None))
            }
        }
    }

    fn of<S>(store: &Arc<S>, embedded: Option<Arc<EmbeddedStore>>) -> Self
    where
        S: MessageStore + RoomStore + MemberStore + 'static,
    {
        Self {
            messages: Arc::clone(store) as Arc<dyn MessageStore>,
            rooms: Arc::clone(store) as Arc<dyn RoomStore>,
            members: Arc::clone(store) as Arc<dyn MemberStore>,
            embedded,
        }
    }

    fn close(self) -> Result<(), StoreError> {
        let Self {
            messages,
            rooms,
            members,
            embedded,
        } = self;
        drop((messages, rooms, members));
        match embedded.map(Arc::try_unwrap) {
            Some(Ok(store)) => store.close(),
            // Somebody still has it; its Drop does the same.
            Some(Err(_)) => Ok(()),
            // The others have nothing to write out: what was answered is stored.
            None => Ok(()),
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
