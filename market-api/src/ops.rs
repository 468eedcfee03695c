//! Metrics and health checks, for operators, load balancers and supervisors.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use shared::web::{Health, guarded};
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::chats;
use crate::db::Db;
use crate::http::{BODY_BYTES_MAX, internal_document};
use crate::metrics::{Metrics, PaymentMetrics};
use crate::outbox;
use crate::payments::{self, GatewayState, GatewayStatus, PaymentBacklog};
use crate::relay::{RelayState, RelayStatus};
use crate::reports;

/// Deadline of the database check. Load balancers give up after a second or two.
const DATABASE_ANSWER_MAX: Duration = Duration::from_millis(500);

/// The content type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The services behind the operational routes.
#[derive(Clone, Debug)]
pub struct Ops {
    /// The metrics shown at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// The liveness, readiness and startup state.
    pub health: Arc<Health>,
    /// The database; `/readyz` reports whether it responds, but stays ready without it.
    pub db: Db,
    /// What the relay of domain events does; shown by `/readyz`, which stays ready.
    pub relay: RelayStatus,
    /// Whether the payment gateway answers; shown by `/readyz`, which stays ready.
    pub gateway: GatewayStatus,
}

/// The operational routes. Never public. Without access log: load balancers call them every second.
pub fn admin_router(operation: Ops) -> Router {
    let (routes, _) = admin_routes().split_for_parts();
    guarded(routes, BODY_BYTES_MAX).with_state(operation)
}

/// The OpenAPI document of [`admin_router`].
#[must_use]
pub fn admin_document() -> OpenApi {
    admin_routes().into_openapi()
}

fn admin_routes() -> OpenApiRouter<Ops> {
    OpenApiRouter::with_openapi(internal_document())
        .routes(routes!(metrics))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(started))
}

/// The metrics. Those that come from the database keep their last values while it does not respond.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OK. Prometheus text format.", body = String)),
)]
async fn metrics(State(state): State<Ops>) -> ([(http::HeaderName, &'static str); 1], String) {
    state.db.show_connections();
    let asked = timeout(DATABASE_ANSWER_MAX, outbox::backlog(&state.db)).await;
    if let Ok(Ok(backlog)) = asked {
        state.metrics.outbox_pending.set(backlog.pending);
        state.metrics.outbox_oldest.set(backlog.oldest_seconds);
        state.metrics.outbox_dead.set(backlog.dead);
    }
    let asked = timeout(DATABASE_ANSWER_MAX, payments::backlog(&state.db)).await;
    if let Ok(Ok(backlog)) = asked {
        show_payments(&state.metrics.payments, &backlog);
    }
    let asked = timeout(DATABASE_ANSWER_MAX, payments::differences(&state.db)).await;
    if let Ok(Ok(differences)) = asked {
        for (kind, count) in differences {
            let gauge = &state.metrics.gateway.differences;
            gauge.with_label_values(&[kind]).set(count);
        }
    }
    let asked = timeout(DATABASE_ANSWER_MAX, chats::outdated(&state.db)).await;
    if let Ok(Ok(rooms)) = asked {
        state.metrics.chat_outdated.set(rooms);
    }
    let asked = timeout(DATABASE_ANSWER_MAX, reports::open(&state.db)).await;
    if let Ok(Ok(open)) = asked {
        state.metrics.reports.open.set(open);
    }
    ([(CONTENT_TYPE, METRICS_TYPE)], state.metrics.render())
}

fn show_payments(metrics: &PaymentMetrics, backlog: &PaymentBacklog) {
    for (kind, count) in [
        ("charge", backlog.charges),
        ("waiting", backlog.waiting),
        ("refund", backlog.refunds),
    ] {
        metrics.open.with_label_values(&[kind]).set(count);
    }
    metrics.oldest.set(backlog.oldest_seconds);
    metrics.needs_attention.set(backlog.needs_attention);
    metrics.suspense.set(backlog.suspense);
}

/// The liveness state.
#[derive(Debug, Serialize, ToSchema)]
struct Live {
    /// Always true: a process that is not alive does not respond.
    live: bool,
}

/// Liveness probe: a process without a response should be restarted.
#[utoipa::path(
    get, path = "/livez", tag = "operation",
    responses((status = 200, description = "OK. The process is alive.", body = Live)),
)]
async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// The readiness state.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Whether this node accepts clients.
    ready: bool,
    /// Whether it is draining before a stop.
    draining: bool,
    /// Why it is not ready, as texts for operators.
    reasons: Vec<String>,
    /// The state of the database. All nodes share it, so it does not make this one unready.
    database: DatabaseState,
    /// The relay of domain events to the chat server. All nodes share its trouble, too.
    relay: RelayState,
    /// The payment gateway, as this node last saw it.
    gateway: GatewayState,
}

/// The state of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DatabaseState {
    /// It responds.
    Ok,
    /// It does not respond in time.
    Unavailable,
}

/// Readiness probe: whether a balancer should send clients.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, description = "OK. Ready.", body = Ready),
        (status = 503, description = "Not ready: starting, stopping, or the database file takes no \
            writes.",
            body = Ready),
    ),
)]
async fn ready(State(state): State<Ops>) -> (StatusCode, Json<Ready>) {
    let asked = timeout(DATABASE_ANSWER_MAX, ask(&state.db)).await;
    let database = match asked {
        Ok(true) => DatabaseState::Ok,
        Ok(false) | Err(_) => DatabaseState::Unavailable,
    };
    let draining = state.health.is_draining();
    let starting = (!state.health.is_started()).then(|| "it is starting".to_owned());
    let stopping = draining.then(|| "it is stopping".to_owned());
    let fault = state.db.fault().map(|why| format!("database: {why}"));
    let reasons: Vec<_> = starting.into_iter().chain(stopping).chain(fault).collect();
    let ready = reasons.is_empty();
    let body = Ready {
        ready,
        draining,
        reasons,
        database,
        relay: state.relay.get(),
        gateway: state.gateway.get(),
    };
    (status(ready), Json(body))
}

async fn ask(db: &Db) -> bool {
    let Ok(mut connection) = db.read().await else {
        return false;
    };
    let asked = sqlx::query("select 1").fetch_one(&mut *connection).await;
    asked.is_ok()
}

/// The startup state.
#[derive(Debug, Serialize, ToSchema)]
struct Started {
    /// Whether the start is complete.
    started: bool,
}

/// Startup probe: whether the start is complete.
#[utoipa::path(
    get, path = "/startupz", tag = "operation",
    responses(
        (status = 200, description = "OK. Started.", body = Started),
        (status = 503, description = "Not started yet.", body = Started),
    ),
)]
async fn started(State(state): State<Ops>) -> (StatusCode, Json<Started>) {
    let started = state.health.is_started();
    (status(started), Json(Started { started }))
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
