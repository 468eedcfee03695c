//! The seam to the chat server: what a room is to be, and why there is none.
//!
//! Two implementations: [`super::client`] calls the chat server's internal API; a program with both
//! servers inside brings its own.

use std::fmt;

use async_trait::async_trait;
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId, RoomId};

use crate::products::Kind;

/// A room about a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRoom {
    /// Its id, allocated by the market.
    pub id: RoomId,
    /// What it is about.
    pub product: ProductId,
    /// What the product sells; its item has the product's id.
    pub kind: Kind,
    /// Opening hours of a spot.
    pub hours: Option<(LocalDateTime, LocalDateTime)>,
    /// The member who asks.
    pub buyer: Participant,
    /// The member who offers.
    pub seller: Participant,
}

/// A member of a room, as the others see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Which member.
    pub member: MemberId,
    /// Their name.
    pub name: String,
    /// Their picture.
    pub image_url: Option<String>,
}

/// Why a room was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutRoomError {
    /// The chat server does not answer now, or cannot. The same again is harmless.
    #[error("the chat server is away: {0}")]
    Away(String),
    /// The id is another conversation's.
    #[error("the room's id is another conversation's")]
    Taken,
    /// It does not accept such a room. A defect, or two servers that do not belong together.
    #[error("the chat server refused: {0}")]
    Refused(String),
}

/// Makes rooms in the chat server.
///
/// Contract: `put` makes the room of this id, or brings it to what is asked for. The same again
/// changes nothing. An id of another conversation stays that conversation's: [`PutRoomError::Taken`].
/// The caller bounds the time.
#[async_trait]
pub trait ChatRooms: Send + Sync + fmt::Debug {
    /// See [`ChatRooms`].
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError>;
}
