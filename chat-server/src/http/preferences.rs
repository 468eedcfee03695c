//! What members want to be notified of, and muted rooms.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::RoomId;
use shared::web::{ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InPath, done, success};
use utoipa::ToSchema;

use super::HttpState;
use super::extract::Caller;
use crate::push::{Channel, Mute, Preferences};

/// The longest mute: a year.
const MINUTES_MAX: u64 = 525_600;

/// The preferences that change; those that are missing stay.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PreferencesBody {
    /// Messages of rooms.
    chat: Option<Channel>,
    /// Trades, products, cash, reviews, reports.
    trade: Option<Channel>,
    /// Advertising.
    marketing: Option<Channel>,
}

/// Preferences and muted rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreferencesRow {
    /// What the caller wants of each class.
    #[serde(flatten)]
    preferences: Preferences,
    /// Muted rooms.
    mutes: Vec<MuteRow>,
}

/// A muted room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MuteRow {
    /// The room.
    #[schema(value_type = u32)]
    chat_room_id: RoomId,
    /// When the mute ends, in Korean time.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    until: LocalDateTime,
}

impl From<Mute> for MuteRow {
    fn from(mute: Mute) -> Self {
        Self {
            chat_room_id: mute.room,
            until: LocalDateTime::from_unix(mute.until),
        }
    }
}

/// How long a room is muted.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MuteBody {
    /// In minutes, up to a year.
    #[schema(minimum = 1, maximum = 525_600)]
    minutes: u64,
}

/// What the caller wants to be notified of, and the caller's muted rooms.
#[utoipa::path(
    get, path = "/api/notifications/preferences", tag = "notifications",
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<PreferencesRow>),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The member is blocked (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn get(
    State(state): State<HttpState>,
    Caller(caller): Caller,
) -> Result<Json<Envelope<PreferencesRow>>, ApiError> {
    let own = &state.push.preferences;
    let preferences = own.of_now(caller.member).await?;
    let mutes = own.mutes(caller.member).await?;
    Ok(success(PreferencesRow {
        preferences,
        mutes: mutes.into_iter().map(MuteRow::from).collect(),
    }))
}

/// Changes what the caller wants to be notified of. Other servers follow within a minute.
#[utoipa::path(
    put, path = "/api/notifications/preferences", tag = "notifications",
    request_body = PreferencesBody,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Done),
        (status = 400, description = "Invalid value (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn put(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InBody(body): InBody<PreferencesBody>,
) -> Result<Json<Done>, ApiError> {
    let own = &state.push.preferences;
    let now = own.of_now(caller.member).await?;
    let changed = Preferences {
        chat: body.chat.unwrap_or(now.chat),
        trade: body.trade.unwrap_or(now.trade),
        marketing: body.marketing.unwrap_or(now.marketing),
    };
    own.set(caller.member, changed).await?;
    Ok(done())
}

/// No push of this room's messages for a time. They arrive as before.
#[utoipa::path(
    post, path = "/api/chat-room/{id}/mute", tag = "notifications", request_body = MuteBody,
    params(("id" = u32, Path, description = "The room")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. It replaces a mute of the room.", body = Envelope<MuteRow>),
        (status = 400, description = "Invalid room id or minutes (1006), no such room (8001), not a member of it (8002).",
            body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn mute(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(room): InPath<RoomId>,
    InBody(body): InBody<MuteBody>,
) -> Result<Json<Envelope<MuteRow>>, ApiError> {
    if !(1..=MINUTES_MAX).contains(&body.minutes) {
        return Err(ErrorCode::InvalidParameter.into());
    }
    let member = caller.member;
    state.rooms.access(room, member).await?;
    let time = Duration::from_secs(body.minutes * 60);
    let until = state.push.preferences.mute(member, room, time).await?;
    Ok(success(Mute { room, until }.into()))
}

/// Ends the mute of a room.
#[utoipa::path(
    delete, path = "/api/chat-room/{id}/mute", tag = "notifications",
    params(("id" = u32, Path, description = "The room")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK, also if the room was not muted.", body = Done),
        (status = 400, description = "Invalid room id (1006), no such room (8001), not a member of it (8002).",
            body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn unmute(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(room): InPath<RoomId>,
) -> Result<Json<Done>, ApiError> {
    state.rooms.access(room, caller.member).await?;
    state.push.preferences.unmute(caller.member, room).await?;
    Ok(done())
}
