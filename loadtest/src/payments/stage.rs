//! The market's payments in this process: its database, a gateway and a payout provider on loopback, and one clock
//! that the run moves.
//!
//! The real client of the gateway talks HTTP to the stand-in, and the gateway's webhooks come over HTTP to the market's
//! own route. Only time-outs of connections are real time.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use fakes::payout::FakePayout;
use fakes::toss::FakeToss;
use http::StatusCode;
use market_api::app::payments::{open_gateway_within, open_payouts};
use market_api::config::PaymentSettings;
use market_api::db::Db;
use market_api::gateway::toss::TossTimes;
use market_api::metrics::Metrics;
use market_api::payments::{Payments, PaymentsParts, WebhookPath, routes};
use serde_json::Value;
use shared::clock::{Clock, ManualClock, UnixMillis};
use shared::config::Secret;
use shared::drain::Drain;
use shared::ids::MemberId;

use super::PaymentsError;
use super::database::Database;
use super::records::Arrival;
use crate::fault::FaultError;
use crate::market::ground::new_members;

/// 2026-11-15 12:00:00 in Seoul: in the middle of a month.
const START_MS: i64 = 1_794_711_600_000;

pub(crate) const TOSS_SECRET: &str = "test_sk_loadtest";
pub(crate) const PAYOUT_KEY: &str = "loadtest-payout-key";
pub(crate) const HOOK_SECRET: &str = "loadtest-hook-secret";

/// The gateway answers within milliseconds, unless a fault delays it.
const TIMES: TossTimes = TossTimes {
    connect: Duration::from_secs(2),
    answer: Duration::from_millis(800),
};

/// The bank takes this time for a payout.
const PAYS_AFTER: Duration = Duration::from_secs(10 * 60);

/// Bound of a webhook's body.
const HOOK_BYTES_MAX: usize = 64 << 10;

/// Rounds of the reconciler at one time: each takes up to 32 rows of a kind.
const ROUNDS_MAX: usize = 4_000;

/// Webhooks that arrived, in their order.
pub(crate) type Arrivals = Arc<Mutex<Vec<Arrival>>>;

/// Everything of a run.
pub(crate) struct Stage {
    pub(crate) db: Db,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) toss: Arc<FakeToss>,
    pub(crate) payout: Arc<FakePayout>,
    pub(crate) payments: Payments,
    /// Another instance on the same database: both reconcile.
    peer: Payments,
    pub(crate) members: Vec<MemberId>,
    arrivals: Arrivals,
    drain: Drain,
    database: Database,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

impl Stage {
    /// Opens the database, which is the run's own, and starts the stand-ins.
    pub(crate) async fn open(
        database: Database,
        run: &str,
        members: usize,
    ) -> Result<Self, PaymentsError> {
        let start = UnixMillis::try_from(START_MS).map_err(|_never| PaymentsError::Clock)?;
        let clock = Arc::new(ManualClock::new(start));
        let (metrics, drain) = (Arc::new(Metrics::new()), Drain::new());
        let url = database.url();
        let db = Db::open(&url, Arc::clone(&clock) as _, Arc::clone(&metrics), &drain).await?;
        let members = new_members(&db, run, members).await?;

        let toss = Arc::new(FakeToss::new(TOSS_SECRET, Arc::clone(&clock) as _));
        let payout =
            Arc::new(FakePayout::new(PAYOUT_KEY, Arc::clone(&clock) as _).pays_after(PAYS_AFTER));
        let at_toss = serve(&drain, Arc::clone(&toss).router()).await?;
        let at_payout = serve(&drain, Arc::clone(&payout).router()).await?;
        let settings = settings_of(at_toss, at_payout)?;
        let system = Arc::clone(&clock) as Arc<dyn Clock>;
        let parts = PaymentsParts {
            db: db.clone(),
            gateway: open_gateway_within(&settings, TIMES, &system, &metrics)?,
            payouts: open_payouts(&settings, &metrics)?,
            metrics,
            drain: drain.clone(),
        };
        let payments = Payments::new(parts.clone());
        let arrivals = Arrivals::default();
        let hook = hook_router(&payments, Arc::clone(&arrivals), Arc::clone(&clock));
        let at_hook = serve(&drain, hook).await?;
        toss.send_webhooks_to(&format!("http://{at_hook}/hooks/toss/{HOOK_SECRET}"))
            .map_err(|_reason| FaultError::Unfit("webhooks cannot be sent"))?;
        Ok(Self {
            db,
            clock,
            toss,
            payout,
            payments,
            peer: Payments::new(parts),
            members,
            arrivals,
            drain,
            database,
        })
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.unix_millis()
    }

    /// Moves the time on, delivers the webhooks that are due, and lets the reconciler do all that is due. The time
    /// stands still meanwhile, so that a query reaches the gateway at the time at which it became due.
    pub(crate) async fn step(&self, by: Duration) -> Result<(), PaymentsError> {
        self.clock.advance(by);
        self.toss.run_webhooks().await;
        self.settle().await
    }

    /// Lets the reconciler do what is due now.
    pub(crate) async fn settle(&self) -> Result<(), PaymentsError> {
        for _ in 0..ROUNDS_MAX {
            let both = async { tokio::join!(self.payments.run_due(), self.peer.run_due()) };
            let (one, other) = Box::pin(both).await;
            if one? + other? == 0 {
                return Ok(());
            }
        }
        Err(PaymentsError::NeverIdle)
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        let arrivals = self.arrivals.lock();
        arrivals.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the servers and removes the database.
    pub(crate) async fn close(self) -> Result<(), PaymentsError> {
        self.drain.begin();
        self.db.close().await;
        self.drain.hard().cancel();
        self.database.remove().await
    }
}

/// Serves a router on loopback until the drain's hard token.
pub(crate) async fn serve(drain: &Drain, router: Router) -> Result<SocketAddr, PaymentsError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| FaultError::File("127.0.0.1:0".into(), error))?;
    let address = listener.local_addr();
    let address = address.map_err(|error| FaultError::File("127.0.0.1:0".into(), error))?;
    let hard = drain.hard().clone();
    drop(drain.spawn("stand-in", async move {
        let serving = axum::serve(listener, router).into_future();
        hard.run_until_cancelled(serving).await
    }));
    Ok(address)
}

/// Settings as the market has them.
fn settings_of(
    at_toss: SocketAddr,
    at_payout: SocketAddr,
) -> Result<PaymentSettings, PaymentsError> {
    Ok(PaymentSettings {
        toss_url: url_of(at_toss)?,
        toss_secret_key: Some(Secret::new(TOSS_SECRET.to_owned())),
        payout_url: Some(url_of(at_payout)?),
        payout_key: Some(Secret::new(PAYOUT_KEY.to_owned())),
        ..PaymentSettings::default()
    })
}

fn url_of(at: SocketAddr) -> Result<reqwest::Url, PaymentsError> {
    let url = reqwest::Url::parse(&format!("http://{at}"));
    url.map_err(|_never| FaultError::Unfit("an address is no URL").into())
}

/// The market's own route, and a note of each webhook that arrives.
fn hook_router(payments: &Payments, arrivals: Arrivals, clock: Arc<ManualClock>) -> Router {
    let path = WebhookPath(Secret::new(HOOK_SECRET.to_owned()));
    let routes = Router::from(routes(payments.clone(), Some(path), None));
    routes.layer(from_fn(move |request, next| {
        let (arrivals, clock) = (Arc::clone(&arrivals), Arc::clone(&clock));
        async move { note(&arrivals, clock.unix_millis(), request, next).await }
    }))
}

async fn note(arrivals: &Arrivals, at: UnixMillis, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, HOOK_BYTES_MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let seen: Value = serde_json::from_slice(&body).unwrap_or_default();
    let order = seen["data"]["orderId"].as_str();
    let order = order.or_else(|| seen["orderId"].as_str());
    let order = order.unwrap_or_default().to_owned();
    let answer = next.run(Request::from_parts(head, Body::from(body))).await;
    if answer.status().is_success() {
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.push(Arrival {
            order,
            at: at.get(),
        });
    }
    answer
}

/// A new folder of this run.
pub(crate) fn folder_of(base: &Path, run: &str) -> Result<std::path::PathBuf, FaultError> {
    let folder = base.join(run);
    let made = std::fs::create_dir_all(&folder);
    made.map_err(|error| FaultError::File(folder.clone(), error))?;
    Ok(folder)
}
