//! In-process adapters of the market's chat ports: call the chat server's rooms instead of its
//! internal API.

use std::sync::Arc;

use async_trait::async_trait;
use chat_server::rooms::{self, PutError, RoomSpec, Rooms};
use chat_server::store::{ItemType, Product, Role, RoomMember};
use market_api::chats::{ChatRoom, ChatRooms, Participant, PutRoomError};
use market_api::products::Kind;
use market_api::reports::{ChatMessage, ChatMessages, MessageError};
use shared::ids::{ItemId, MemberId, MessageId};

/// Adapter over the chat server's rooms.
#[derive(Debug)]
pub(crate) struct RoomsInside(pub(crate) Arc<Rooms>);

#[async_trait]
impl ChatRooms for RoomsInside {
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError> {
        let put = self.0.put(room.id, spec(room)?).await;
        put.map(drop).map_err(|error| match error {
            PutError::Unavailable => PutRoomError::Away(error.to_string()),
            PutError::Taken(_) => PutRoomError::Taken,
            PutError::Invalid(why) => PutRoomError::Refused(why.to_string()),
        })
    }
}

/// Adapter over the messages in the chat server's rooms.
#[derive(Debug)]
pub(crate) struct MessagesInside(pub(crate) Arc<Rooms>);

#[async_trait]
impl ChatMessages for MessagesInside {
    async fn message(&self, id: MessageId, reader: MemberId) -> Result<ChatMessage, MessageError> {
        let found = self.0.message(id, reader).await;
        let found = found.map_err(|error| match error {
            rooms::MessageError::Unknown(_) => MessageError::Unknown,
            rooms::MessageError::NotParticipant(_) => MessageError::NotParticipant,
            rooms::MessageError::Unavailable => MessageError::Away(error.to_string()),
        })?;
        Ok(ChatMessage {
            room: found.room,
            sender: found.sender,
            text: found.text,
        })
    }
}

fn spec(room: &ChatRoom) -> Result<RoomSpec, PutRoomError> {
    let member = |one: &Participant, role| RoomMember {
        member_id: one.member,
        role,
        name: one.name.clone(),
        image_url: one.image_url.clone(),
    };
    let item_id = ItemId::try_from(u64::from(room.product.get()));
    let (start, end) = room.hours.unzip();
    let product = Product {
        product_id: room.product,
        // A product and its item have one id.
        item_id: item_id.map_err(|error| PutRoomError::Refused(error.to_string()))?,
        item_type: match room.kind {
            Kind::MobileData => ItemType::MobileData,
            Kind::Wifi => ItemType::Wifi,
            Kind::Hotspot => ItemType::Hotspot,
        },
        start_time: start.map(|at| at.to_string()),
        end_time: end.map(|at| at.to_string()),
    };
    Ok(RoomSpec {
        members: vec![
            member(&room.buyer, Role::Buyer),
            member(&room.seller, Role::Seller),
        ],
        product: Some(product),
        opaque: false,
    })
}
