//! Rooms for tests.

use chat_server::store::{Role, Room, RoomHead, RoomMember};
use shared::ids::{MemberId, RoomId, Seq};

use super::make::millis;

pub(crate) fn room_of(id: RoomId, members: &[(MemberId, Role)]) -> Room {
    let members = members.iter().map(|(member_id, role)| RoomMember {
        member_id: *member_id,
        role: *role,
        name: format!("member {member_id}"),
        image_url: None,
    });
    Room {
        room_id: id,
        members: members.collect(),
        product: None,
        opaque: false,
        created_at: millis(1_000),
    }
}

pub(crate) fn room_head(room: RoomId, at: Seq, text: &str) -> RoomHead {
    RoomHead {
        room,
        seq: at,
        text: text.to_owned(),
        at: millis(2_000),
    }
}
