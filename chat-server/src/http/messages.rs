//! Messages of a room: history, read marks, deletion.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro names the parameters by a path"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, MessageId, RoomId};
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, InPath, InQuery, PageInfo, PageSize, ReceiverPage, cursor,
    done, success,
};
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::extract::Caller;
use crate::log::{Entry, Kind, Topic};

/// The parameters of the history, as text; checked by the handler.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Messages of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 20)]
    size: Option<String>,
    /// Only messages before this one: `nextCursorId` of the page before. 0: the first page.
    #[param(value_type = Option<u64>)]
    cursor_id: Option<String>,
}

/// A message in the history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryRow {
    /// The message.
    #[schema(value_type = u64)]
    chat_message_id: MessageId,
    /// Its text; empty if it was taken back or is not text.
    message: String,
    /// When it was sent, in Korean time.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    /// Whether the caller is the sender.
    is_mine: bool,
    /// The sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    sender_id: Option<MemberId>,
    /// The sender's own name for it, if they gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<String>,
    /// The type of what is not a chat message.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Only there when it was taken back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

impl HistoryRow {
    fn new(id: MessageId, entry: &Entry, reader: MemberId) -> Self {
        let draft = &entry.draft;
        let text = if entry.deleted {
            ""
        } else {
            str::from_utf8(&draft.body).unwrap_or_default()
        };
        let content_type = draft.content_type.as_deref();
        Self {
            chat_message_id: id,
            message: text.to_owned(),
            created_at: LocalDateTime::from_unix(draft.sent_at),
            is_mine: draft.sender == Some(reader),
            sender_id: draft.sender,
            client_message_id: draft.client_message_id.as_deref().map(str::to_owned),
            content_type: content_type
                .filter(|_| draft.kind != Kind::Chat)
                .map(str::to_owned),
            deleted: entry.deleted,
        }
    }
}

/// History of a room, the newest message first.
#[utoipa::path(
    get, path = "/api/chat-room/{id}/history", tag = "messages",
    params(("id" = u32, Path, description = "The room"), HistoryQuery),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<ReceiverPage<HistoryRow>>),
        (status = 400, description = "Invalid parameter (1006), no such room (8001), not a member of it (8002).",
            body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The member is blocked (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn history(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(room): InPath<RoomId>,
    InQuery(query): InQuery<HistoryQuery>,
) -> Result<Json<Envelope<ReceiverPage<HistoryRow>>>, ApiError> {
    let size = PageSize::parse(query.size.as_deref(), PageSize::HISTORY)?;
    let before = cursor(query.cursor_id.as_deref())?;
    let member = caller.member;
    let entries = u32::from(size.get());
    let page = state.rooms.history(room, member, before, entries).await?;
    let row = |entry: &Entry| {
        let id = Topic::Room(room).message_id(entry.seq)?;
        Some(HistoryRow::new(id, entry, member))
    };
    Ok(success(ReceiverPage {
        data: page.entries.iter().filter_map(|entry| row(entry)).collect(),
        page_info: PageInfo::new(page.next.map(MessageId::get), size),
        member_id: member,
    }))
}

/// The member has read up to this message.
#[utoipa::path(
    post, path = "/api/chat-messages/{id}/read-status", tag = "messages",
    params(("id" = u64, Path, description = "The message")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. A message before the read mark changes nothing.", body = Done),
        (status = 400, description = "Invalid message id (1006), no such room (8001), not a member of it \
            (8002), no such message (8004).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn mark_read(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(message): InPath<MessageId>,
) -> Result<Json<Done>, ApiError> {
    state.rooms.mark_read(caller.member, message).await?;
    Ok(done())
}

/// Takes one's own message back, within five minutes.
#[utoipa::path(
    delete, path = "/api/chat-messages/{id}", tag = "messages",
    params(("id" = u64, Path, description = "The message")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The text is removed; repeating it changes nothing.", body = Done),
        (status = 400, description = "Invalid message id (1006), no such room (8001), not a member of it \
            (8002), no such message (8004).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Another member's message, older than five minutes, or a request of a \
            foreign page (1003); the member is blocked (2012).",
            body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(message): InPath<MessageId>,
) -> Result<Json<Done>, ApiError> {
    state.rooms.delete(caller.member, message).await?;
    Ok(done())
}
