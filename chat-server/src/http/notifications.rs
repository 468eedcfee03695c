//! A member's notifications: list, unread count, read mark, deletion.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro names the parameters by a path"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::clock::LocalDateTime;
use shared::ids::MessageId;
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InPath, InQuery, cursor, done, success,
};
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::extract::Caller;
use crate::inbox::{InboxError, LIST_MAX, ListedNotice};

/// The parameters of the list, as text; checked by the handler.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct NotificationsQuery {
    /// Notifications of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    size: Option<String>,
    /// Only notifications before this one: the last `id` of the page before. 0: the first page.
    #[param(value_type = Option<u64>)]
    cursor_id: Option<String>,
}

/// A notification.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationRow {
    /// Its id.
    #[schema(value_type = u64)]
    id: MessageId,
    /// The headline, in the language that the member had then.
    title: String,
    /// The sentence.
    body: String,
    /// When it was stored, in Korean time.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    /// The kind of event, such as `trade.completed`.
    kind: String,
    /// What a program needs of the event, such as `tradeId`.
    #[schema(value_type = Object)]
    data: Map<String, Value>,
    /// Whether it is at or before the read mark.
    read: bool,
}

impl From<ListedNotice> for NotificationRow {
    fn from(listed: ListedNotice) -> Self {
        Self {
            id: listed.id,
            title: listed.notice.title,
            body: listed.notice.body,
            created_at: LocalDateTime::from_unix(listed.at),
            kind: listed.notice.kind,
            data: listed.notice.data,
            read: listed.is_read,
        }
    }
}

/// Number of unread notifications.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnreadCount {
    /// At most 100, which means 100 or more.
    #[schema(maximum = 100)]
    unread_count: usize,
}

/// How far the member has read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadUpTo {
    /// The newest notification read.
    #[schema(value_type = u64)]
    up_to: MessageId,
}

impl From<InboxError> for ApiError {
    fn from(error: InboxError) -> Self {
        Self::from(match error {
            InboxError::Unknown(_) => ErrorCode::NotificationUnknown,
            InboxError::NotYours(_) => ErrorCode::Forbidden,
            InboxError::Unavailable => ErrorCode::ChatUnavailable,
        })
    }
}

/// The caller's notifications, the newest first.
#[utoipa::path(
    get, path = "/api/notifications", tag = "notifications", params(NotificationsQuery),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page; an empty one is the end.", body = Envelope<Vec<NotificationRow>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The cursor is another member's notification (1003); the member is blocked \
            (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InQuery(query): InQuery<NotificationsQuery>,
) -> Result<Json<Envelope<Vec<NotificationRow>>>, ApiError> {
    let size = match query.size.as_deref() {
        None => LIST_MAX,
        Some(text) => match text.parse() {
            Ok(0) | Err(_) => return Err(ErrorCode::InvalidParameter.into()),
            Ok(size) => size,
        },
    };
    let before = cursor(query.cursor_id.as_deref())?;
    let listed = state.inboxes.list(caller.member, before, size).await?;
    Ok(success(
        listed.into_iter().map(NotificationRow::from).collect(),
    ))
}

/// The number of the caller's unread notifications.
#[utoipa::path(
    get, path = "/api/notifications/unread-count", tag = "notifications",
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<UnreadCount>),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The member is blocked (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn unread_count(
    State(state): State<HttpState>,
    Caller(caller): Caller,
) -> Result<Json<Envelope<UnreadCount>>, ApiError> {
    let unread_count = state.inboxes.unread(caller.member).await?;
    Ok(success(UnreadCount { unread_count }))
}

/// The caller has read all notifications up to this one.
#[utoipa::path(
    post, path = "/api/notifications/read", tag = "notifications", request_body = ReadUpTo,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One before the read mark changes nothing.", body = Done),
        (status = 400, description = "Invalid id (1006), no such notification (9001).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Another member's notification, or a request of a foreign page (1003); the \
            member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn mark_read(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InBody(body): InBody<ReadUpTo>,
) -> Result<Json<Done>, ApiError> {
    state.inboxes.mark_read(caller.member, body.up_to).await?;
    Ok(done())
}

/// Deletes a notification of the caller's.
#[utoipa::path(
    delete, path = "/api/notifications/{id}", tag = "notifications",
    params(("id" = u64, Path, description = "The notification")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Done),
        (status = 400, description = "Invalid id (1006), no such notification (9001).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Another member's notification, or a request of a foreign page (1003); the \
            member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(id): InPath<MessageId>,
) -> Result<Json<Done>, ApiError> {
    state.inboxes.delete(caller.member, id).await?;
    Ok(done())
}
