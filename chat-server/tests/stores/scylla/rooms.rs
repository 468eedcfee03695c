//! Rooms that several nodes put at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_server::store::scylla::ScyllaStore;
use chat_server::store::{Role, Room, RoomMember, RoomStore};
use shared::ids::{MemberId, RoomId};
use tokio::task::JoinSet;

use super::{connect, settings};
use crate::contract::make::{fresh_member, fresh_room, millis};

fn room_of(room_id: RoomId, members: &[MemberId]) -> Room {
    let members = members.iter().map(|member_id| RoomMember {
        member_id: *member_id,
        role: Role::Member,
        name: String::new(),
        image_url: None,
    });
    Room {
        room_id,
        members: members.collect(),
        product: None,
        opaque: false,
        created_at: millis(1_000),
    }
}

pub(crate) async fn is_shown(store: &ScyllaStore, member: MemberId, room: RoomId) -> bool {
    let memberships = store.memberships(member).await.unwrap();
    memberships.iter().any(|membership| membership.room == room)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memberships_follow_the_room_that_stays() {
    let (one, two) = (connect(&settings()).await, connect(&settings()).await);
    for round in 0..20 {
        let id = fresh_room();
        let all: Vec<MemberId> = (0..6).map(|_| fresh_member()).collect();
        let before = room_of(id, &all[..2]);
        one.put_room(&before).await.unwrap();
        let mut putting = JoinSet::new();
        for (store, members) in [(&one, &all[1..4]), (&two, &all[3..6]), (&two, &all[..1])] {
            let (store, room) = (Arc::clone(store), room_of(id, members));
            putting.spawn(async move { store.put_room(&room).await.unwrap() });
        }
        putting.join_all().await;
        let left = one.room(id).await.unwrap().unwrap();
        let inside: BTreeSet<_> = left.members.iter().map(|member| member.member_id).collect();
        for member in all {
            let shown = is_shown(&two, member, id).await;
            assert_eq!(
                shown,
                inside.contains(&member),
                "round {round}: {member} in {left:?}"
            );
        }
    }
}
