//! Demo members and their rooms.
//!
//! The rooms are made as the internal API makes them, at the first start. Later starts leave what
//! is there alone, also where somebody has changed it.

use chat_server::rooms::{PutError, RoomError, RoomSpec, Rooms};
use chat_server::store::{ItemType, Product, Role, RoomMember};
use serde::Serialize;
use shared::ids::{ItemId, MemberId, ProductId, RoomId};

/// The names of members 1 to 8.
const NAMES: [&str; 8] = [
    "김바다",
    "이하늘",
    "박도윤",
    "최서연",
    "정지호",
    "한유나",
    "오민준",
    "윤채원",
];

/// A member that anybody may log in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DemoMember {
    /// Who.
    pub(crate) member_id: MemberId,
    /// The name shown to others.
    pub(crate) name: &'static str,
}

/// The demo data could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// It is not known whether the room is there.
    #[error("demo rooms cannot be read")]
    Read(#[from] RoomError),
    /// The room cannot be written.
    #[error("demo rooms cannot be made")]
    Put(#[from] PutError),
}

/// All demo members, by their ids.
pub(crate) fn members() -> impl Iterator<Item = DemoMember> {
    (1_u64..).zip(NAMES).map(|(id, name)| DemoMember {
        member_id: MemberId::try_from(id).expect("1 to 8 are member ids"),
        name,
    })
}

/// The name of a member, demo or not.
pub(crate) fn name(member: MemberId) -> String {
    let demo = members().find(|one| one.member_id == member);
    demo.map_or_else(|| format!("회원 {member}"), |one| one.name.to_owned())
}

/// Makes the rooms that are not there yet.
pub(crate) async fn set_up(rooms: &Rooms) -> Result<(), DemoError> {
    for (id, spec) in specs() {
        let somebody = spec.members[0].member_id;
        match rooms.access(id, somebody).await {
            Err(RoomError::Unknown(_)) => {
                rooms.put(id, spec).await?;
            }
            // It is there, whoever is in it by now.
            Ok(_) | Err(RoomError::NotParticipant(_)) => {}
            Err(error @ RoomError::Unavailable) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Room 1: member 1 buys mobile data from member 2. Room 2: member 3 buys Wi-Fi from member 1. And
/// a group of all.
fn specs() -> [(RoomId, RoomSpec); 3] {
    use Role::{Buyer, Member, Seller};

    let mobile_data = product(1, ItemType::MobileData);
    let wifi = Product {
        start_time: Some("10:00:00".to_owned()),
        end_time: Some("22:00:00".to_owned()),
        ..product(2, ItemType::Wifi)
    };
    let all: Vec<_> = (1..=NAMES.len() as u64).map(|id| (id, Member)).collect();
    [
        (room(1), spec(&[(1, Buyer), (2, Seller)], Some(mobile_data))),
        (room(2), spec(&[(3, Buyer), (1, Seller)], Some(wifi))),
        (RoomId::FIRST_ALLOCATED_BY_CHAT, spec(&all, None)),
    ]
}

fn spec(members: &[(u64, Role)], product: Option<Product>) -> RoomSpec {
    let member = |&(id, role): &(u64, Role)| {
        let member_id = MemberId::try_from(id).expect("demo members have member ids");
        RoomMember {
            member_id,
            role,
            name: name(member_id),
            image_url: None,
        }
    };
    RoomSpec {
        members: members.iter().map(member).collect(),
        product,
        opaque: false,
    }
}

fn product(id: u64, item_type: ItemType) -> Product {
    Product {
        product_id: ProductId::try_from(id).expect("a small number is a product id"),
        item_id: ItemId::try_from(id).expect("a small number is an item id"),
        item_type,
        start_time: None,
        end_time: None,
    }
}

fn room(id: u64) -> RoomId {
    RoomId::try_from(id).expect("a small number is a room id")
}
