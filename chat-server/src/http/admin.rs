//! Routes for operators: connections, topics, members. On the admin port, without a token.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::ids::MemberId;
use shared::web::{ApiError, ErrorBody, ErrorCode, InPath, InQuery, parameter};
use utoipa::ToSchema;

use super::HttpState;
use super::extract::Operator;
use crate::connection::SlowConnection;
use crate::hub::{BehindTopic, RingSize};
use crate::members::StatusChange;
use crate::store::AccountStatus;

/// Rows of a list by default.
const ROWS: usize = 20;

/// Rows of a list at most.
const ROWS_MAX: usize = 100;

/// How long a list is to be.
#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    limit: Option<String>,
}

impl Limit {
    fn rows(&self) -> Result<usize, ErrorCode> {
        match parameter::<usize>(self.limit.as_deref())? {
            None => Ok(ROWS),
            Some(rows) if (1..=ROWS_MAX).contains(&rows) => Ok(rows),
            Some(_) => Err(ErrorCode::InvalidParameter),
        }
    }
}

/// Connections that were closed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Disconnected {
    /// How many of the member's connections this node has closed. Other nodes are notified.
    closed: usize,
}

/// Closes a member's connections on all nodes. They may come back at once.
#[utoipa::path(
    post, path = "/admin/members/{id}/disconnect", tag = "operation",
    params(("id" = u32, Path, description = "The member")),
    responses(
        (status = 200, description = "OK. Closed on this node; the other nodes follow.",
            body = Disconnected),
        (status = 400, description = "Invalid member id (1006).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
    ),
)]
pub(super) async fn disconnect(
    State(state): State<HttpState>,
    _: Operator,
    InPath(member): InPath<MemberId>,
) -> Json<Disconnected> {
    let closed = state.node_control.disconnect(member);
    Json(Disconnected { closed })
}

/// A member's account status.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberAccountStatus {
    /// The member.
    #[schema(value_type = u32)]
    member_id: MemberId,
    /// Whether they are blocked now. Of two changes the one with the later time counts, by the
    /// clocks of the nodes that took the requests.
    blocked: bool,
    /// How many of the member's connections this node has closed. Other nodes are notified.
    closed: usize,
}

/// Shuts a member out: what is open is closed with 4403, here at once, and on every node within a
/// minute at the latest.
#[utoipa::path(
    post, path = "/admin/members/{id}/block", tag = "operation",
    params(("id" = u32, Path, description = "The member")),
    responses(
        (status = 200, description = "OK. The state that holds now.", body = MemberAccountStatus),
        (status = 400, description = "Invalid member id (1006).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store is unavailable (8007).", body = ErrorBody),
    ),
)]
pub(super) async fn block(
    State(state): State<HttpState>,
    _: Operator,
    InPath(member): InPath<MemberId>,
) -> Result<Json<MemberAccountStatus>, ApiError> {
    set_account_status(&state, member, AccountStatus::Blocked).await
}

/// Lets a member in again, on every node within a minute at the latest.
#[utoipa::path(
    post, path = "/admin/members/{id}/unblock", tag = "operation",
    params(("id" = u32, Path, description = "The member")),
    responses(
        (status = 200, description = "OK. The state that holds now.", body = MemberAccountStatus),
        (status = 400, description = "Invalid member id (1006).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store is unavailable (8007).", body = ErrorBody),
    ),
)]
pub(super) async fn unblock(
    State(state): State<HttpState>,
    _: Operator,
    InPath(member): InPath<MemberId>,
) -> Result<Json<MemberAccountStatus>, ApiError> {
    set_account_status(&state, member, AccountStatus::Good).await
}

async fn set_account_status(
    state: &HttpState,
    member_id: MemberId,
    status: AccountStatus,
) -> Result<Json<MemberAccountStatus>, ApiError> {
    let set = state.node_control.set_account_status(member_id, status);
    let StatusChange { status, closed } = set.await?;
    Ok(Json(MemberAccountStatus {
        member_id,
        blocked: status == AccountStatus::Blocked,
        closed,
    }))
}

/// The connections of this node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectionsReport {
    /// WebSockets that are open.
    connections: usize,
    /// Those that have logged in, by version of STOMP.
    by_version: Versions,
    /// All, by what carries them.
    by_transport: Transports,
    /// Those that have logged in, by how.
    by_login: Logins,
    /// Their subscriptions together.
    subscriptions: u64,
    /// For how long the oldest has been open.
    oldest_age_ms: u64,
    /// Those that have not taken everything, by bytes that wait, then by lag; greatest first.
    slowest: Vec<SlowRow>,
}

/// Connections by version of STOMP.
#[derive(Debug, Serialize, ToSchema)]
struct Versions {
    #[serde(rename = "1.0")]
    v1_0: usize,
    #[serde(rename = "1.1")]
    v1_1: usize,
    #[serde(rename = "1.2")]
    v1_2: usize,
}

/// Connections by what carries them.
#[derive(Debug, Serialize, ToSchema)]
struct Transports {
    websocket: usize,
}

/// Connections by how they logged in.
#[derive(Debug, Serialize, ToSchema)]
struct Logins {
    bearer: usize,
    cookie: usize,
}

/// A connection that has not taken everything.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SlowRow {
    /// Its number on this node; `session` of its CONNECTED.
    connection: u64,
    /// The member.
    #[schema(value_type = Option<u32>)]
    member_id: Option<MemberId>,
    /// For how long it has been open.
    age_ms: u64,
    /// Bytes that the socket has not taken.
    waiting_bytes: usize,
    /// Messages that its subscriptions have to pull, over all of them.
    lag: u64,
}

impl From<SlowConnection> for SlowRow {
    fn from(slow: SlowConnection) -> Self {
        Self {
            connection: slow.connection,
            member_id: slow.member,
            age_ms: millis(slow.age),
            waiting_bytes: slow.waiting_bytes,
            lag: slow.lag,
        }
    }
}

/// Connections of this node, and the slow ones among them.
#[utoipa::path(
    get, path = "/admin/connections", tag = "operation",
    params(("limit" = Option<u32>, Query, description = "Rows of the list, 1 to 100; 20 by default")),
    responses(
        (status = 200, description = "OK.",
            body = ConnectionsReport),
        (status = 400, description = "Invalid limit (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn connections(
    State(state): State<HttpState>,
    InQuery(limit): InQuery<Limit>,
) -> Result<Json<ConnectionsReport>, ApiError> {
    let rows = limit.rows()?;
    let lags = state.hub.survey(0).await.connections_behind;
    let lag_of = |connection: u64| lags.get(&connection).copied().unwrap_or(0);
    let survey = state
        .connections
        .survey(state.log.clock.now(), rows, lag_of);
    let [v1_0, v1_1, v1_2] = survey.by_version;
    Ok(Json(ConnectionsReport {
        connections: survey.connections,
        by_version: Versions { v1_0, v1_1, v1_2 },
        by_transport: Transports {
            websocket: survey.connections,
        },
        by_login: Logins {
            bearer: survey.by_bearer,
            cookie: survey.by_cookie,
        },
        subscriptions: survey.subscriptions,
        oldest_age_ms: millis(survey.oldest),
        slowest: survey.slowest.into_iter().map(SlowRow::from).collect(),
    }))
}

/// The topics that are followed on this node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopicsReport {
    /// How many.
    topics: usize,
    /// Subscriptions to their logs.
    followers: usize,
    /// Subscriptions to what happens beside them.
    listeners: usize,
    /// What all rings hold together.
    rings: RingReport,
    /// Subscriptions that have something to pull.
    behind: usize,
    /// The topics with the greatest lag, greatest first.
    slowest: Vec<TopicRow>,
}

/// What a ring has in memory.
#[derive(Debug, Serialize, ToSchema)]
struct RingReport {
    /// Messages for subscriptions to pull.
    entries: usize,
    /// About what they take.
    bytes: usize,
    /// Messages that wait for what is missing before them.
    held: usize,
}

/// A topic with a subscription that is behind its end.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TopicRow {
    /// `room:` or `inbox:` and an id.
    topic: String,
    /// Messages that the subscription furthest behind has to pull.
    lag_max: u32,
    /// Subscriptions that have something to pull.
    behind: usize,
    /// All subscriptions to the log.
    followers: usize,
    /// What its ring has in memory.
    ring: RingReport,
}

impl From<RingSize> for RingReport {
    fn from(size: RingSize) -> Self {
        Self {
            entries: size.entries,
            bytes: size.bytes,
            held: size.held,
        }
    }
}

impl From<BehindTopic> for TopicRow {
    fn from(behind: BehindTopic) -> Self {
        Self {
            topic: behind.topic.to_string(),
            lag_max: behind.lag_max,
            behind: behind.behind,
            followers: behind.followers,
            ring: behind.ring.into(),
        }
    }
}

/// Topics with subscribers on this node, and those with subscriptions behind.
#[utoipa::path(
    get, path = "/admin/topics", tag = "operation",
    params(("limit" = Option<u32>, Query, description = "Rows of the list, 1 to 100; 20 by default")),
    responses(
        (status = 200, description = "OK.", body = TopicsReport),
        (status = 400, description = "Invalid limit (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn topics(
    State(state): State<HttpState>,
    InQuery(limit): InQuery<Limit>,
) -> Result<Json<TopicsReport>, ApiError> {
    let survey = state.hub.survey(limit.rows()?).await;
    Ok(Json(TopicsReport {
        topics: survey.topics,
        followers: survey.followers,
        listeners: survey.listeners,
        rings: survey.rings.into(),
        behind: survey.behind,
        slowest: survey
            .topics_behind
            .into_iter()
            .map(TopicRow::from)
            .collect(),
    }))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
