//! Composition root: builds a market from its settings. The only module that names concrete adapters.

mod chat_server;
mod error;
mod parts;
pub mod payments;
mod routes;
mod work;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use reqwest::Url;
use shared::clock::Clock;
use shared::drain::{Drain, on_stop_signals};
use shared::ids::MemberId;
use shared::web::{ApiError, Health, Log, RequestIds};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::auth::{Auth, KeyRing, REREAD_EVERY, Tokens};
use crate::blocks::Blocks;
use crate::cache::ListCache;
use crate::chats::Chats;
use crate::config::Config;
use crate::db::Db;
use crate::http::{self, HttpStack, Limits, Rate};
use crate::images::Images;
use crate::images::local::LocalImages;
use crate::login::{LoginParts, Logins};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::ops::{self, Ops};
use crate::payments::{Payments, WebhookPath};
use crate::products::Products;
use crate::relay::{EventReceiver, Relay, RelayParts, RelayStatus};
use crate::reports::Reports;
use crate::reviews::Reviews;
use crate::trades::Trades;

pub use chat_server::ChatServer;
pub use error::BuildError;
use parts::{open_auth, open_cache, open_images, open_keys, open_payments, open_reports};
pub use shared::web::{listen, serve};

/// A market that is ready to be served.
#[derive(Debug)]
pub struct Market {
    http_stack: HttpStack,
    operation: Ops,
    auth: Auth,
    images: Images,
    local_images: Option<Arc<LocalImages>>,
    members: Members,
    blocks: Blocks,
    logins: Logins,
    products: Products,
    trades: Trades,
    reviews: Reviews,
    chats: Chats,
    reports: Reports,
    payments: Payments,
    webhook: Option<WebhookPath>,
    pay_page: Option<Url>,
}

impl Market {
    /// Opens the adapters that the settings name and spawns the background tasks in `drain`.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        config: &Config,
        clock: Arc<dyn Clock>,
        drain: &Drain,
    ) -> Result<Self, BuildError> {
        let keys = open_keys(config, &clock)?;
        let url = &config.chat.chat_url;
        let chat = ChatServer::over_http(url, Arc::clone(&keys), Arc::clone(&clock))?;
        Self::assemble(config, keys, chat, clock, drain).await
    }

    /// As [`Self::build`], for one process with the chat server, which is called directly.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build_beside(
        config: &Config,
        chat: ChatServer,
        clock: Arc<dyn Clock>,
        drain: &Drain,
    ) -> Result<Self, BuildError> {
        let keys = open_keys(config, &clock)?;
        Self::assemble(config, keys, chat, clock, drain).await
    }

    async fn assemble(
        config: &Config,
        keys: Arc<KeyRing>,
        chat: ChatServer,
        clock: Arc<dyn Clock>,
        drain: &Drain,
    ) -> Result<Self, BuildError> {
        let metrics = Arc::new(Metrics::new());
        let db = Db::open(&config.db, Arc::clone(&clock), Arc::clone(&metrics), drain).await?;
        let auth = open_auth(config, &db, &keys, &clock, &metrics);
        let (store, local_images) = open_images(config, &clock)?;
        let images = Images::new(store, db.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        let cache = ListCache::new(open_cache(config)?, Arc::clone(&metrics), drain.clone());
        cache.follow(db.clone(), drain);
        let members = Members::new(db.clone(), cache.clone());
        let blocks = Blocks::new(db.clone(), cache.clone(), drain.clone());
        let logins = Logins::new(LoginParts {
            db: db.clone(),
            members: members.clone(),
            auth: auth.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            settings: config.logins(),
            drain: drain.clone(),
        })?;
        let trades = Trades::new(db.clone(), cache.clone(), config.fees());
        let reports = open_reports(config, &db, &members, &cache, chat.messages, &metrics);
        let reviews = Reviews::new(db.clone(), cache.clone());
        let products = Products::new(
            db.clone(),
            cache,
            Arc::clone(&clock),
            drain.clone(),
            Arc::clone(&metrics),
        );
        let answer_max = config.chat.chat_answer_time;
        let chats = Chats::new(db.clone(), chat.rooms, Arc::clone(&metrics), answer_max);
        let payments = open_payments(config, &db, &clock, &metrics, drain)?;
        let health = Arc::new(Health::new());
        let parts = work::Parts {
            products: &products,
            images: &images,
            chats: &chats,
            payments: &payments,
        };
        work::start(&db, parts, &metrics, drain).await?;
        let relay = start_relay(config, &db, chat.events, &clock, &metrics, drain);
        start_tasks(keys, &health, drain);
        Ok(Self {
            http_stack: http_stack(config, &metrics, &clock),
            operation: Ops {
                metrics,
                health,
                db,
                relay,
                gateway: payments.gateway_status(),
            },
            auth,
            images,
            local_images,
            members,
            blocks,
            logins,
            products,
            trades,
            reviews,
            chats,
            reports,
            payments,
            webhook: config.payments.toss_webhook_secret.clone().map(WebhookPath),
            pay_page: config.payments.pay_page_url.clone(),
        })
    }

    /// The public routes, for clients.
    pub fn public_router(&self) -> Router {
        let router = http::public_router(&self.http_stack, self.routes());
        match &self.local_images {
            Some(images) => {
                let (origins, log) = (&self.http_stack.allowed_origins, &self.http_stack.log);
                let images = Arc::clone(images).router(origins, log.clone());
                router.merge(images.reset_fallback())
            }
            None => router,
        }
    }

    /// The OpenAPI document of the public routes.
    #[must_use]
    pub fn document(&self) -> utoipa::openapi::OpenApi {
        http::document(self.routes())
    }

    /// The routes for operators and load balancers; never exposed to the public.
    pub fn admin_router(&self) -> Router {
        ops::admin_router(self.operation.clone())
    }

    /// Marks the node as ready: load balancers may route clients to it.
    pub fn set_started(&self) {
        self.operation.health.set_started();
    }

    /// Stops in two steps, so that load balancers stop routing to the node before it stops answering. The
    /// first signal makes readiness fail while the node serves on for `lame_duck`, or until a second
    /// signal. Then the drain begins; a third signal makes it hard.
    ///
    /// # Errors
    /// The operating system refuses the handlers.
    pub fn stop_on_signals(&self, drain: &Drain, lame_duck: Duration) -> io::Result<()> {
        let (health, drain) = (Arc::clone(&self.operation.health), drain.clone());
        on_stop_signals(move || {
            if health.is_draining() {
                return drain.stop();
            }
            health.set_draining();
            tracing::info!("no longer ready; serving on for {lame_duck:?}");
            let (soft, later) = (drain.soft(), drain.clone());
            drop(drain.spawn("lame-duck", async move {
                soft.run_until_cancelled(sleep(lame_duck)).await;
                later.begin();
            }));
        })
    }

    /// The member accounts, for programs that embed a market.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The offers, for programs that embed a market.
    #[must_use]
    pub fn products(&self) -> &Products {
        &self.products
    }

    /// The purchases, for programs that embed a market.
    #[must_use]
    pub fn trades(&self) -> &Trades {
        &self.trades
    }

    /// The chats about offers, for programs that embed a market.
    #[must_use]
    pub fn chats(&self) -> &Chats {
        &self.chats
    }

    /// Logs a member in without a provider, for a program that has authenticated the member itself.
    ///
    /// # Errors
    /// No such member, a blocked one, or the database's.
    pub async fn log_in(&self, member: MemberId) -> Result<Tokens, ApiError> {
        let role = self.members.role(member).await?;
        Ok(self.auth.issue(member, role).await?)
    }

    /// The payments, for programs that embed a market.
    #[must_use]
    pub fn payments(&self) -> &Payments {
        &self.payments
    }

    /// The signing keys, for programs that rotate them by hand.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        self.auth.keys()
    }

    /// The database, for programs that embed a market.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.operation.db
    }
}

fn http_stack(config: &Config, metrics: &Arc<Metrics>, clock: &Arc<dyn Clock>) -> HttpStack {
    let limits = Limits::new(
        Rate::per_second(config.limits.address_rate),
        Rate::per_second(config.limits.member_rate),
        clock,
    );
    HttpStack {
        log: Log {
            clock: Arc::clone(clock),
            request_ids: Arc::new(RequestIds::new(rand::random())),
        },
        metrics: Arc::clone(metrics),
        limits: Arc::new(limits),
        allowed_origins: config.allowed_origins.clone().into(),
        trusted_hops: config.limits.trusted_hops,
    }
}

fn start_relay(
    config: &Config,
    db: &Db,
    receiver: Arc<dyn EventReceiver>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    drain: &Drain,
) -> RelayStatus {
    let relay = Relay::new(RelayParts {
        db: db.clone(),
        receiver,
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
        answer_max: config.chat.relay_answer_time,
        drain: drain.clone(),
    });
    let status = relay.status();
    relay.start();
    status
}

/// Spawns the tasks of the process itself. They end at the soft token.
fn start_tasks(keys: Arc<KeyRing>, health: &Arc<Health>, drain: &Drain) {
    let soft = drain.soft();
    drop(drain.spawn_vital("keys", async move {
        let mut due = interval(REREAD_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        due.tick().await; // the first tick is immediate, and the keys were just read
        while soft.run_until_cancelled(due.tick()).await.is_some() {
            let keys = Arc::clone(&keys);
            let read = tokio::task::spawn_blocking(move || keys.reread()).await;
            match read {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("keys not re-read, keeping the old: {error}"),
                Err(error) => tracing::error!("keys not re-read: {error}"),
            }
        }
    }));
    let (soft, health) = (drain.soft(), Arc::clone(health));
    drop(drain.spawn("health", async move {
        soft.cancelled().await;
        health.set_draining();
    }));
}
