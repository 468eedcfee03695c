//! What is kept about rooms.

use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::ids::{ItemId, MemberId, ProductId, RoomId, Seq};

/// Members of a room at most. A room is one record that every node caches whole.
pub const MEMBERS_MAX: usize = 1_000;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// Its id.
    pub room_id: RoomId,
    /// Who is in it; at most [`MEMBERS_MAX`], each once.
    pub members: Vec<RoomMember>,
    /// What it is about; `None` for groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Whether bodies that are not chat messages are taken and delivered byte for byte.
    #[serde(default)]
    pub opaque: bool,
    /// When it was made.
    pub created_at: UnixMillis,
}

impl Room {
    /// The member's entry in the room, if they are in it.
    #[must_use]
    pub fn member(&self, member: MemberId) -> Option<&RoomMember> {
        self.members
            .iter()
            .find(|candidate| candidate.member_id == member)
    }
}

/// A member as a room knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomMember {
    /// Who.
    pub member_id: MemberId,
    /// In what role.
    pub role: Role,
    /// The name shown to others.
    pub name: String,
    /// The picture shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
}

/// Why somebody is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Asked about a product.
    Buyer,
    /// Offers the product.
    Seller,
    /// A group's member.
    Member,
}

/// What a room is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// The offer.
    pub product_id: ProductId,
    /// What is offered.
    pub item_id: ItemId,
    /// Of which kind.
    pub item_type: ItemType,
    /// Opening hours as the market writes them, for Wi-Fi and hotspots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// See `start_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
}

/// The kinds of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ItemType {
    /// Mobile data.
    MobileData,
    /// Time on a Wi-Fi.
    Wifi,
    /// Time on a hotspot.
    Hotspot,
}

/// A member's side of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The room.
    pub room: RoomId,
    /// The member's role in it.
    pub role: Role,
    /// How far they have read.
    pub last_read: Seq,
}

/// A room's newest message, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// The room.
    pub room: RoomId,
    /// The message's position.
    pub seq: Seq,
    /// Its text; empty for what has none.
    pub text: String,
    /// When it was sent.
    pub at: UnixMillis,
}
