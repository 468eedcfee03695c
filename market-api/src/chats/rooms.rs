//! Seam to the chat server: the room to create, and the errors of creating it.
//!
//! Two implementations: [`super::client`] calls the chat server's internal API; a program that embeds both
//! servers provides its own.

use std::fmt;

use async_trait::async_trait;
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId, RoomId};

use crate::products::Kind;

/// A room about a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRoom {
    /// The room's id, allocated by the market.
    pub id: RoomId,
    /// The product it is about.
    pub product: ProductId,
    /// The product's kind; the item id on the wire equals the product id.
    pub kind: Kind,
    /// Opening hours of a spot, from and until; `None` for mobile data.
    pub hours: Option<(LocalDateTime, LocalDateTime)>,
    /// The member who opened the room.
    pub buyer: Participant,
    /// The seller of the product.
    pub seller: Participant,
}

/// A member of a room, as displayed to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The member's id.
    pub member: MemberId,
    /// The name displayed.
    pub name: String,
    /// URL of the profile picture, if there is one.
    pub image_url: Option<String>,
}

/// Why a room was not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutRoomError {
    /// The chat server is unreachable or failing. Safe to retry.
    #[error("the chat server is away: {0}")]
    Away(String),
    /// Another conversation uses the id.
    #[error("the room's id is another conversation's")]
    Taken,
    /// The chat server rejects the request: a defect, or two servers that do not belong together.
    #[error("the chat server refused: {0}")]
    Refused(String),
}

/// Creates rooms in the chat server.
///
/// Contract: `put` creates the room with this id, or updates it to what is passed. Idempotent. If another
/// conversation uses the id, that one stays unchanged: [`PutRoomError::Taken`]. The caller sets the deadline.
#[async_trait]
pub trait ChatRooms: Send + Sync + fmt::Debug {
    /// Creates or updates a room; see [`ChatRooms`].
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError>;
}
