//! Stored state of rooms: members, the offer of a room, memberships, newest messages.

use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::ids::{ItemId, MemberId, ProductId, RoomId, Seq};

use crate::log::{Entry, Kind};

/// Members of a room at most. A room is one record that every node caches whole.
pub const MEMBERS_MAX: usize = 1_000;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// Its id.
    pub room_id: RoomId,
    /// Its members; at most [`MEMBERS_MAX`], each once.
    pub members: Vec<RoomMember>,
    /// The offer that the room is about; `None` for groups.
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

    /// The other member, where there is one other.
    #[must_use]
    pub fn counterpart(&self, member: MemberId) -> Option<&RoomMember> {
        let others = self.members.iter();
        let mut others = others.filter(|other| other.member_id != member);
        others.next().filter(|_| others.next().is_none())
    }
}

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomMember {
    /// The member's id.
    pub member_id: MemberId,
    /// The member's role.
    pub role: Role,
    /// The name shown to others.
    pub name: String,
    /// The picture shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
}

/// The role of a member in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Interested in the product.
    Buyer,
    /// Offers the product.
    Seller,
    /// A group's member.
    Member,
}

/// The offer that a room is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// The offer.
    pub product_id: ProductId,
    /// The item for sale.
    pub item_id: ItemId,
    /// The kind of item.
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
    /// The member's read mark.
    pub last_read: Seq,
}

/// A room's newest message, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// The room.
    pub room: RoomId,
    /// The message's position.
    pub seq: Seq,
    /// Its text; empty for entries without one.
    pub text: String,
    /// When it was sent.
    pub at: UnixMillis,
}

impl RoomHead {
    /// An entry as lists show it; without a text if it was deleted or has none.
    #[must_use]
    pub fn of(room: RoomId, entry: &Entry) -> Self {
        let text = if entry.draft.kind == Kind::Chat && !entry.deleted {
            String::from_utf8_lossy(&entry.draft.body).into_owned()
        } else {
            String::new()
        };
        Self {
            room,
            seq: entry.seq,
            text,
            at: entry.draft.sent_at,
        }
    }
}
