//! `/api/chat-room`: the member's rooms, and the members of a room.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro names the parameters by a path"
)]

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{ItemId, MemberId, ProductId, RoomId};
use shared::web::{
    ApiError, Envelope, ErrorBody, ErrorCode, InPath, InQuery, Page, PageInfo, PageSize, cursor,
    parameter, success,
};
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::extract::Caller;
use crate::members::Profile;
use crate::rooms::{ListCursor, ListedRoom, RoomFilter};
use crate::store::{ItemType, Role, RoomMember};

/// The parameters of the list, as text; checked by the handler.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Rows of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 2)]
    size: Option<String>,
    /// `nextCursorId` of the page before. 0: the first page.
    #[param(value_type = Option<u32>)]
    cursor_id: Option<String>,
    /// Which of the member's rooms: all, as a buyer, as a seller.
    #[param(value_type = Option<ReadOption>, default = "ALL")]
    chat_room_read_option: Option<String>,
    /// `lastMessageAt` of the page's last row. Optional; makes the next page exact even if that
    /// room gets a message meanwhile and another server answers.
    #[param(value_type = Option<String>, example = "2025-08-07T12:34:56.789")]
    last_message_at: Option<String>,
}

/// Which rooms to list.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "UPPERCASE")]
enum ReadOption {
    /// All.
    All,
    /// Rooms about a product that interests the member.
    Buyer,
    /// Rooms about the member's own product.
    Seller,
}

impl FromStr for ReadOption {
    type Err = ErrorCode;

    fn from_str(text: &str) -> Result<Self, ErrorCode> {
        match text {
            "ALL" => Ok(Self::All),
            "BUYER" => Ok(Self::Buyer),
            "SELLER" => Ok(Self::Seller),
            _ => Err(ErrorCode::InvalidParameter),
        }
    }
}

impl From<ReadOption> for RoomFilter {
    fn from(option: ReadOption) -> Self {
        match option {
            ReadOption::All => Self::All,
            ReadOption::Buyer => Self::Buyer,
            ReadOption::Seller => Self::Seller,
        }
    }
}

/// A room in the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomRow {
    /// The room.
    #[schema(value_type = u32)]
    chat_room_id: RoomId,
    /// When it was made, in Korean time.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    /// When its newest message was sent, or when it was made.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    last_message_at: LocalDateTime,
    /// Its newest message; empty if that was taken back, missing if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<String>,
    /// Messages not read; 100 means 100 or more.
    #[schema(maximum = 100)]
    unread_count: u32,
    /// The other member, where there is one other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    sender_id: Option<MemberId>,
    /// The member's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_name: Option<String>,
    /// The member's picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_profile_image_url: Option<String>,
    /// What the room is about; missing in groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    product_id: Option<ProductId>,
    /// What the product sells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    item_id: Option<ItemId>,
    /// Of which kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    item_type: Option<ItemType>,
    /// Opening hours, for Wi-Fi and hotspots.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    /// See `startTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
}

/// What members are called now.
struct Profiles(HashMap<MemberId, Arc<Profile>>);

impl Profiles {
    /// One look-up for all of them. Without an answer the names that the rooms store are shown.
    async fn of(state: &HttpState, members: &[MemberId]) -> Self {
        let profiles = state.members.profiles(members).await;
        Self(profiles.unwrap_or_default())
    }

    /// Name and picture, as the market has reported them, else as the room stores them.
    fn shown(&self, member: &RoomMember) -> (String, Option<String>) {
        let RoomMember {
            name, image_url, ..
        } = member;
        match self.0.get(&member.member_id) {
            Some(profile) => (profile.name.clone(), profile.image_url.clone()),
            None => (name.clone(), image_url.clone()),
        }
    }
}

impl RoomRow {
    fn new(listed: ListedRoom, reader: MemberId, profiles: &Profiles) -> Self {
        let room = &listed.room;
        let other = room.counterpart(reader);
        let (sender_name, sender_image) = other.map(|other| profiles.shown(other)).unzip();
        let product = room.product.as_ref();
        Self {
            chat_room_id: room.room_id,
            created_at: LocalDateTime::from_unix(room.created_at),
            last_message_at: LocalDateTime::from_unix(listed.last_at),
            last_message: listed.last_text,
            unread_count: listed.unread,
            sender_id: other.map(|other| other.member_id),
            sender_name,
            sender_profile_image_url: sender_image.flatten(),
            product_id: product.map(|product| product.product_id),
            item_id: product.map(|product| product.item_id),
            item_type: product.map(|product| product.item_type),
            start_time: product.and_then(|product| product.start_time.clone()),
            end_time: product.and_then(|product| product.end_time.clone()),
        }
    }
}

/// The member's rooms, the one that spoke last first.
#[utoipa::path(
    get, path = "/api/chat-room", tag = "rooms", params(ListQuery),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<RoomRow>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The member is blocked (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Envelope<Page<RoomRow>>>, ApiError> {
    let size = PageSize::parse(query.size.as_deref(), PageSize::LIST)?;
    let option = parameter::<ReadOption>(query.chat_room_read_option.as_deref())?;
    let filter = option.map_or(RoomFilter::All, RoomFilter::from);
    let last_at = parameter::<LocalDateTime>(query.last_message_at.as_deref())?;
    let room = cursor(query.cursor_id.as_deref())?;
    let cursor = room.map(|room| ListCursor {
        room,
        last_at: last_at.map(LocalDateTime::to_unix),
    });
    let member = caller.member;
    let rows = usize::from(size.get());
    let page = state.rooms.list(member, filter, cursor, rows).await?;
    let next = page.next.map(|room| u64::from(room.get()));
    let rooms = page.rooms.iter();
    let others = rooms.filter_map(|listed| listed.room.counterpart(member));
    let others: Vec<MemberId> = others.map(|other| other.member_id).collect();
    let profiles = Profiles::of(&state, &others).await;
    let rows = page.rooms.into_iter();
    Ok(success(Page {
        data: rows
            .map(|listed| RoomRow::new(listed, member, &profiles))
            .collect(),
        page_info: PageInfo::new(next, size),
    }))
}

/// A member of a room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberRow {
    /// The member.
    #[schema(value_type = u32)]
    member_id: MemberId,
    /// The member's role.
    role: Role,
    /// The member's name.
    name: String,
    /// The member's picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_image_url: Option<String>,
    /// Whether the member is connected to the site now; missing while that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<bool>,
}

impl MemberRow {
    fn new(member: &RoomMember, online: Option<bool>, profiles: &Profiles) -> Self {
        let (name, profile_image_url) = profiles.shown(member);
        Self {
            member_id: member.member_id,
            role: member.role,
            name,
            profile_image_url,
            online,
        }
    }
}

/// Members of a room, and which of them are online.
#[utoipa::path(
    get, path = "/api/chat-room/{id}/members", tag = "rooms",
    params(("id" = u32, Path, description = "The room")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<Vec<MemberRow>>),
        (status = 400, description = "Invalid room id (1006), no such room (8001), not a member of it (8002).",
            body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The member is blocked (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn members(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InPath(room): InPath<RoomId>,
) -> Result<Json<Envelope<Vec<MemberRow>>>, ApiError> {
    let room = state.rooms.access(room, caller.member).await?;
    let members: Vec<_> = room.members.iter().map(|one| one.member_id).collect();
    let is_hidden = match room.counterpart(caller.member) {
        Some(other) => {
            let members = &state.members;
            members
                .are_separated(caller.member, other.member_id)
                .await?
        }
        None => false,
    };
    // Without an answer the members are shown all the same.
    let online = match is_hidden {
        true => None,
        false => state.presence.online(&members).await.ok(),
    };
    let online_at = |at: usize| online.as_ref().and_then(|all| all.get(at).copied());
    let profiles = Profiles::of(&state, &members).await;
    let rows = room.members.iter().enumerate();
    let rows = rows.map(|(at, member)| MemberRow::new(member, online_at(at), &profiles));
    Ok(success(rows.collect()))
}
