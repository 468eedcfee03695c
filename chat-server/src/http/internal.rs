//! `/internal`, with a service's token: the market opens rooms and reads the message of a report,
//! operators create groups.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro names the parameters by a path"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{ItemId, MemberId, MessageId, ProductId, RoomId};
use shared::web::{ApiError, Envelope, ErrorBody, InBody, InPath, InQuery, success};
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::extract::Service;
use crate::rooms::{RoomMessage, RoomSpec};
use crate::store::{ItemType, Product, Role, RoomMember};

/// What a room is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomBody {
    /// 1 to 1,000, each once. A product's room has one BUYER and one SELLER, others only MEMBERs.
    members: Vec<MemberBody>,
    /// What the room is about.
    product: Option<ProductBody>,
    /// Whether bodies that are not chat messages are taken.
    #[serde(default)]
    opaque: bool,
}

/// A member of a room.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberBody {
    /// The member.
    #[schema(value_type = u32)]
    member_id: MemberId,
    /// In what role.
    role: Role,
    /// The name shown to others, up to 100 characters.
    name: String,
    /// The picture shown to others.
    image_url: Option<String>,
}

/// A product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProductBody {
    /// The offer.
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// What is offered.
    #[schema(value_type = u32)]
    item_id: ItemId,
    /// Of which kind.
    item_type: ItemType,
    /// Opening hours, for Wi-Fi and hotspots.
    start_time: Option<String>,
    /// See `startTime`.
    end_time: Option<String>,
}

/// The room that is there now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomMade {
    /// Its id.
    #[schema(value_type = u32)]
    chat_room_id: RoomId,
}

impl From<RoomBody> for RoomSpec {
    fn from(body: RoomBody) -> Self {
        let members = body.members.into_iter().map(|member| RoomMember {
            member_id: member.member_id,
            role: member.role,
            name: member.name,
            image_url: member.image_url,
        });
        let product = body.product.map(|product| Product {
            product_id: product.product_id,
            item_id: product.item_id,
            item_type: product.item_type,
            start_time: product.start_time,
            end_time: product.end_time,
        });
        Self {
            members: members.collect(),
            product,
            opaque: body.opaque,
        }
    }
}

/// Makes a room under this id, or brings it up to date. Again is as good as once.
#[utoipa::path(
    put, path = "/internal/rooms/{id}", tag = "rooms", request_body = RoomBody,
    params(("id" = u32, Path, description = "The room")),
    security(("service" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<RoomMade>),
        (status = 400, description = "Invalid room (1006).", body = ErrorBody),
        (status = 401, description = "No token (2014), or not a valid service token (2007).", body = ErrorBody),
        (status = 409, description = "The id is used for another conversation (8010).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn put_room(
    State(state): State<HttpState>,
    _: Service,
    InPath(id): InPath<RoomId>,
    InBody(body): InBody<RoomBody>,
) -> Result<Json<Envelope<RoomMade>>, ApiError> {
    let room = state.rooms.put(id, body.into()).await?;
    Ok(success(RoomMade {
        chat_room_id: room.room_id,
    }))
}

/// Makes a room under a new id.
#[utoipa::path(
    post, path = "/internal/rooms", tag = "rooms", request_body = RoomBody,
    security(("service" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<RoomMade>),
        (status = 400, description = "Invalid room (1006).", body = ErrorBody),
        (status = 401, description = "No token (2014), or not a valid service token (2007).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn create_room(
    State(state): State<HttpState>,
    _: Service,
    InBody(body): InBody<RoomBody>,
) -> Result<Json<Envelope<RoomMade>>, ApiError> {
    let room = state.rooms.create(body.into()).await?;
    Ok(success(RoomMade {
        chat_room_id: room.room_id,
    }))
}

/// The parameters of the message.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct MessageQuery {
    /// A member of the message's room: the one who reports it.
    #[param(value_type = u32)]
    member_id: MemberId,
}

/// A message of a room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageRow {
    /// The message.
    #[schema(value_type = u64)]
    chat_message_id: MessageId,
    /// Its room.
    #[schema(value_type = u32)]
    chat_room_id: RoomId,
    /// The sender; null for messages of the system.
    #[schema(value_type = Option<u32>)]
    sender_id: Option<MemberId>,
    /// Its text; null once the sender has deleted it.
    message: Option<String>,
    /// When it was sent, in Korean time.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    /// Whether the sender has deleted it.
    deleted: bool,
}

impl From<RoomMessage> for MessageRow {
    fn from(message: RoomMessage) -> Self {
        Self {
            chat_message_id: message.id,
            chat_room_id: message.room,
            sender_id: message.sender,
            deleted: message.text.is_none(),
            message: message.text,
            created_at: LocalDateTime::from_unix(message.sent_at),
        }
    }
}

/// A message, as a member of its room may read it.
#[utoipa::path(
    get, path = "/internal/chat-messages/{id}", tag = "messages",
    params(("id" = u64, Path, description = "The message"), MessageQuery),
    security(("service" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<MessageRow>),
        (status = 400, description = "Invalid parameter (1006), the member is not in its room (8002), no such \
            chat message (8004).", body = ErrorBody),
        (status = 401, description = "No token (2014), or not a valid service token (2007).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn message(
    State(state): State<HttpState>,
    _: Service,
    InPath(id): InPath<MessageId>,
    InQuery(query): InQuery<MessageQuery>,
) -> Result<Json<Envelope<MessageRow>>, ApiError> {
    let message = state.rooms.message(id, query.member_id).await?;
    Ok(success(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_read_as_both_servers_agreed() {
        let golden = include_str!("../../../shared/tests/golden/put_room.json");
        let body: RoomBody = serde_json::from_str(golden).unwrap();
        let spec = RoomSpec::from(body);
        let [buyer, seller] = &spec.members[..] else {
            panic!("{spec:?}")
        };
        assert_eq!((buyer.role, seller.role), (Role::Buyer, Role::Seller));
        assert_eq!(
            (buyer.name.as_str(), seller.image_url.as_ref()),
            ("김바다", None)
        );
        let product = spec.product.unwrap();
        assert_eq!((product.product_id.get(), product.item_id.get()), (12, 12));
        assert_eq!(product.item_type, ItemType::Wifi);
        assert_eq!(
            product.start_time.as_deref(),
            Some("2025-08-07T10:00:00.000")
        );
        assert!(!spec.opaque);
    }
}
