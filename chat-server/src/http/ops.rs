//! Operations: metrics, health for balancers and supervisors, drain.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use shared::web::{ApiError, ErrorBody, ErrorCode};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::HttpState;
use crate::bus::BusState;
use crate::health::Health;
use crate::presence::PresenceState;
use crate::stopping::Stop;

/// How long the store may take to answer. Balancers give up after a second or two.
const STORE_ANSWER_MAX: Duration = Duration::from_millis(500);

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OK. Prometheus text format.", body = String)),
)]
pub(super) async fn metrics(
    State(state): State<HttpState>,
) -> ([(http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, METRICS_TYPE)], state.metrics.render())
}

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    /// Always true: what is not alive does not answer.
    live: bool,
}

/// Whether to leave the process alone.
#[utoipa::path(
    get, path = "/livez", tag = "operation",
    responses((status = 200, description = "OK. The process answers.", body = Live)),
)]
pub(super) async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// Whether to send clients here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// Whether this node wants clients.
    ready: bool,
    /// Whether it is about to stop.
    draining: bool,
    /// How far the stop has come: serving, lame-duck, notice, close, flush.
    state: &'static str,
    /// Why it is not ready, for people.
    reasons: Vec<String>,
    /// Whether the store answers. Where all nodes share it, that does not make this one unready.
    store: StoreState,
    /// Whether the bus carries anything. All nodes share it, too.
    bus: BusReport,
    /// Whether the registry of members that are online answers. All nodes share it, too.
    presence: PresenceReport,
}

/// Whether the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StoreState {
    /// It does.
    Ok,
    /// It does not, or not in time.
    Unavailable,
}

/// Whether the bus carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BusReport {
    /// It does, as far as is known.
    Ok,
    /// It does not: what other nodes store comes about two seconds later.
    Away,
}

/// Whether the registry of members that are online answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PresenceReport {
    /// It does, as far as is known.
    Ok,
    /// It does not: a node has its own connections only.
    Away,
}

/// Whether to send clients here.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, description = "OK. Ready.", body = Ready),
        (status = 503, description = "Not ready: starting, stopping, or a part has failed.", body = Ready),
    ),
)]
pub(super) async fn ready(State(state): State<HttpState>) -> (StatusCode, Json<Ready>) {
    let answer = timeout(STORE_ANSWER_MAX, state.rooms.check_store()).await;
    let store = match answer {
        Ok(Ok(())) => StoreState::Ok,
        Ok(Err(_)) | Err(_) => StoreState::Unavailable,
    };
    let bus = match state.hub.bus_state() {
        BusState::Up => BusReport::Ok,
        BusState::Away => BusReport::Away,
    };
    let presence = match state.presence.state() {
        PresenceState::Up => PresenceReport::Ok,
        PresenceState::Away => PresenceReport::Away,
    };
    let reasons = state.health.reasons();
    let ready = reasons.is_empty();
    let draining = state.health.is_draining();
    let body = Ready {
        ready,
        draining,
        state: state.health.phase().name(),
        reasons,
        store,
        bus,
        presence,
    };
    (status(ready), Json(body))
}

/// Whether the start is over.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Started {
    /// Whether everything is built and served.
    started: bool,
}

/// Whether the start is over.
#[utoipa::path(
    get, path = "/startupz", tag = "operation",
    responses(
        (status = 200, description = "OK. Started.", body = Started),
        (status = 503, description = "Not started yet.", body = Started),
    ),
)]
pub(super) async fn started(State(state): State<HttpState>) -> (StatusCode, Json<Started>) {
    let started = state.health.is_started();
    (status(started), Json(Started { started }))
}

/// What stopping works with.
#[derive(Clone, Debug)]
pub(super) struct StopState {
    pub(super) health: Arc<Health>,
    pub(super) stop: Stop,
}

/// The stop has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Draining {
    /// How far it has come: lame-duck, notice, close, flush; serving when it is just about to
    /// begin.
    state: &'static str,
}

/// Stops the node as SIGTERM does: the process ends when its clients have gone to other nodes.
/// Repeated requests change nothing.
#[utoipa::path(
    post, path = "/admin/drain", tag = "operation",
    responses(
        (status = 202, description = "The drain has begun, now or before.", body = Draining),
        (status = 403, description = "Request of a page (1003).", body = ErrorBody),
    ),
)]
pub(super) async fn drain(
    State(state): State<StopState>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Draining>), ApiError> {
    // Browsers send the origin of a request, programs do not: no page that an operator has open may
    // stop a node.
    if headers.contains_key(ORIGIN) {
        return Err(ErrorCode::Forbidden.into());
    }
    state.stop.begin();
    let draining = Draining {
        state: state.health.phase().name(),
    };
    Ok((StatusCode::ACCEPTED, Json(draining)))
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
