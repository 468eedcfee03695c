//! Route of `POST /api/products/{id}/chat-room`: the only way to open a chat.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::ids::{ProductId, RoomId};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InPath, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Chats, OpenError};
use crate::auth::Caller;

/// The routes.
pub fn routes(chats: Chats) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(open)).with_state(chats)
}

/// A chat room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Opened {
    /// The id of the room: `/sub/{chatRoomId}` and `/pub/{chatRoomId}` on the chat server.
    #[schema(value_type = u32)]
    chat_room_id: RoomId,
}

/// Opens the chat room of the caller and the seller about this product; creates it at the first call.
#[utoipa::path(
    post, path = "/api/products/{id}/chat-room", tag = "products",
    params(("id" = u32, Path, description = "The product", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<Opened>),
        (status = 400, description = "No such product (3002), deleted, expired or of a blocked \
            seller (3003), the caller's own (8000), invalid product id (1006).", body = ErrorBody),
        (status = 503, description = "The chat server or the market is unavailable (1010) or busy \
            (5006).", body = ErrorBody),
    ),
)]
async fn open(
    State(chats): State<Chats>,
    caller: Caller,
    InPath(product): InPath<ProductId>,
) -> Result<Json<Envelope<Opened>>, ApiError> {
    let chat_room_id = chats.open(caller.member, product).await?;
    Ok(success(Opened { chat_room_id }))
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::ProductUnknown => ErrorCode::ProductUnknown.into(),
            OpenError::ProductUnavailable => ErrorCode::ProductUnavailable.into(),
            OpenError::OwnProduct => ErrorCode::ChatOwnProduct.into(),
            OpenError::BuyerBlocked => ErrorCode::MemberBlocked.into(),
            OpenError::ChatUnavailable => ErrorCode::Unavailable.into(),
            OpenError::Db(error) => error.into(),
        }
    }
}
