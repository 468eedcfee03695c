//! Demo data of the chat: members, rooms and their conversations.
//!
//! The rooms are created at the first start in the same way as through the internal API. Later
//! starts leave existing rooms unchanged, also those that were edited.

pub(crate) mod talk;

use chat_server::connection::Services;
use chat_server::rooms::{PutError, RoomError, RoomSpec};
use chat_server::store::{ItemType, Product, Role, RoomMember};
use serde::Serialize;
use shared::claims::Role as MemberRole;
use shared::ids::{ItemId, MemberId, ProductId, RoomId};

use talk::TalkError;

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

/// The administrator's name.
pub(crate) const ADMINISTRATOR: &str = "운영자";

/// Buyer and product of the demo rooms 1 and 2.
pub(crate) const ASKED: [(u64, u64); 2] = [(1, 1), (3, 2)];

/// A member that every visitor may log in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DemoMember {
    /// The member's id.
    pub(crate) member_id: MemberId,
    /// The member's public name.
    pub(crate) name: &'static str,
    /// The member's role.
    pub(crate) role: MemberRole,
}

/// The demo data could not be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The room could not be looked up.
    #[error("demo rooms cannot be read")]
    Read(#[from] RoomError),
    /// The room cannot be stored.
    #[error("demo rooms cannot be made")]
    Put(#[from] PutError),
    /// The conversation cannot be stored.
    #[error(transparent)]
    Talk(#[from] TalkError),
}

/// All demo members, by their ids.
pub(crate) fn members() -> impl Iterator<Item = DemoMember> {
    (1_u64..).zip(NAMES).map(|(id, name)| DemoMember {
        member_id: MemberId::try_from(id).expect("1 to 8 are member ids"),
        name,
        role: MemberRole::Member,
    })
}

/// The administrator, who is in no demo room. The market chooses the id.
pub(crate) fn administrator(member_id: MemberId) -> DemoMember {
    DemoMember {
        member_id,
        name: ADMINISTRATOR,
        role: MemberRole::Admin,
    }
}

/// The name of a member, demo or not.
pub(crate) fn name(member: MemberId) -> String {
    let demo = members().find(|one| one.member_id == member);
    demo.map_or_else(|| format!("회원 {member}"), |one| one.name.to_owned())
}

/// Creates missing rooms and fills those without messages.
pub(crate) async fn set_up(services: &Services) -> Result<(), DemoError> {
    let rooms = &services.rooms;
    for (id, spec) in specs() {
        let members: Vec<_> = spec.members.iter().map(|one| one.member_id).collect();
        match rooms.access(id, members[0]).await {
            Err(RoomError::Unknown(_)) => {
                rooms.put(id, spec).await?;
            }
            Ok(_) => {}
            // The members were changed: the room no longer belongs to the demo.
            Err(RoomError::NotParticipant(_)) => continue,
            Err(error @ RoomError::Unavailable) => return Err(error.into()),
        }
        let lines = match id {
            id if id == room(1) => talk::MOBILE_DATA,
            id if id == room(2) => talk::WIFI,
            _ => talk::GROUP,
        };
        talk::fill(services, id, &members, lines).await?;
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
    let of = |&(id, role): &(u64, Role)| RoomMember {
        member_id: member(id),
        role,
        name: name(member(id)),
        image_url: None,
    };
    RoomSpec {
        members: members.iter().map(of).collect(),
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

fn member(id: u64) -> MemberId {
    MemberId::try_from(id).expect("demo members have member ids")
}

fn room(id: u64) -> RoomId {
    RoomId::try_from(id).expect("a small number is a room id")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chat_server::app::Node;
    use chat_server::config::Config;
    use shared::clock::SystemClock;
    use shared::config::parse;
    use shared::drain::Drain;

    use super::*;
    use crate::keys::DevKey;

    async fn node() -> (Node, tempfile::TempDir) {
        let data = tempfile::tempdir().unwrap();
        let jwks = DevKey::open(data.path()).unwrap().publish().unwrap();
        let store = format!("file:{}", data.path().join("chat").display());
        let jwks = format!("file:{}", jwks.display());
        let args = ["chat-server", "--store", &store, "--jwks", &jwks];
        let config: Config = parse(args).unwrap();
        let node = Node::build(&config, Arc::new(SystemClock), Drain::new());
        (node.await.unwrap(), data)
    }

    #[tokio::test]
    async fn what_was_changed_stays_changed() {
        let (node, _data) = node().await;
        let (services, rooms) = (&node.services, &node.services.rooms);
        set_up(services).await.unwrap();
        let first = rooms.access(room(1), member(1)).await.unwrap();
        assert_eq!(first.member(member(1)).unwrap().role, Role::Buyer);
        assert_eq!(first.member(member(2)).unwrap().role, Role::Seller);

        // All demo members leave the group, and another member takes it over.
        let stranger = spec(&[(99, Role::Member)], None);
        let group = RoomId::FIRST_ALLOCATED_BY_CHAT;
        rooms.put(group, stranger).await.unwrap();
        set_up(services).await.unwrap();
        let again = rooms.access(room(1), member(1)).await.unwrap();
        assert_eq!(again, first);
        let refused = rooms.access(group, member(1)).await;
        assert_eq!(refused, Err(RoomError::NotParticipant(group)));
    }

    #[tokio::test]
    async fn messages_are_written_once_and_only_the_last_is_unread() {
        let (node, _data) = node().await;
        let services = &node.services;
        for _ in 0..2 {
            set_up(services).await.unwrap();
            for (id, spec) in specs() {
                check_talk(services, id, &spec.members).await;
            }
        }
    }

    /// Five messages, read by everybody but for the last, which its sender alone has read.
    async fn check_talk(services: &Services, id: RoomId, members: &[RoomMember]) {
        let reader = members[0].member_id;
        let page = services.rooms.history(id, reader, None, 50).await.unwrap();
        assert_eq!(page.entries.len(), 5, "room {id}");
        let last = page.entries[0].draft.sender;
        for one in members {
            let expected = if last == Some(one.member_id) { 5 } else { 4 };
            let read = services.rooms.last_read(one.member_id, id).await.unwrap();
            assert_eq!(read.get(), expected, "{} in room {id}", one.member_id);
        }
    }

    #[tokio::test]
    async fn a_room_that_was_made_but_not_filled_is_filled_by_the_next_start() {
        let (node, _data) = node().await;
        let services = &node.services;
        for (id, spec) in specs() {
            services.rooms.put(id, spec).await.unwrap();
        }
        set_up(services).await.unwrap();
        let page = services.rooms.history(room(2), member(3), None, 50).await;
        assert_eq!(page.unwrap().entries.len(), talk::WIFI.len());
    }

    #[test]
    fn members_have_names() {
        let names: Vec<_> = members()
            .map(|one| (one.member_id.get(), one.name))
            .collect();
        assert_eq!(names.len(), 8);
        assert_eq!((names[0], names[7]), ((1, "김바다"), (8, "윤채원")));
        assert_eq!(name(MemberId::try_from(9_u64).unwrap()), "회원 9");
    }
}
