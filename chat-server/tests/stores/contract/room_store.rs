//! The contract of `RoomStore`.

use std::sync::Arc;

use chat_server::log::Topic;
use chat_server::store::{Append, Role, RoomHead};
use shared::ids::{MemberId, Seq};
use tokio::task::JoinSet;

use super::make::{entry, fresh_member, fresh_room, member, seq};
use super::rooms::{room_head, room_of};
use super::store::Store;

pub(crate) async fn unknown_room_is_none(store: Arc<dyn Store>) {
    assert_eq!(store.room(fresh_room()).await.unwrap(), None);
    assert_eq!(store.memberships(fresh_member()).await.unwrap(), []);
    assert_eq!(
        store.last_read(fresh_member(), fresh_room()).await.unwrap(),
        Seq::ZERO
    );
}

pub(crate) async fn room_is_replaced_whole(store: Arc<dyn Store>) {
    let id = fresh_room();
    let (buyer, seller) = (fresh_member(), fresh_member());
    let mut room = room_of(id, &[(buyer, Role::Buyer), (seller, Role::Seller)]);
    room.opaque = true;
    store.put_room(&room).await.unwrap();
    assert_eq!(store.room(id).await.unwrap().as_ref(), Some(&room));
    let other = room_of(id, &[(seller, Role::Member)]);
    store.put_room(&other).await.unwrap();
    assert_eq!(store.room(id).await.unwrap(), Some(other));
}

pub(crate) async fn largest_room_fits(store: Arc<dyn Store>) {
    let id = fresh_room();
    let first = u64::from(fresh_member().get()).min((1 << 31) - 2_000);
    let most = chat_server::store::room::MEMBERS_MAX as u64;
    let members: Vec<_> = (first..first + most)
        .map(|id| (member(id), Role::Member))
        .collect();
    let room = room_of(id, &members);
    store.put_room(&room).await.unwrap();
    assert_eq!(store.room(id).await.unwrap().as_ref(), Some(&room));
    for at in [first, first + most - 1] {
        assert_eq!(rooms_of(&*store, member(at)).await, [(id, Role::Member, 0)]);
    }
    store.put_room(&room_of(id, &[])).await.unwrap();
    assert_eq!(rooms_of(&*store, member(first)).await, []);
}

async fn rooms_of(store: &dyn Store, of: MemberId) -> Vec<(shared::ids::RoomId, Role, u32)> {
    let memberships = store.memberships(of).await.unwrap();
    let mut rooms: Vec<_> = memberships
        .iter()
        .map(|m| (m.room, m.role, m.last_read.get()))
        .collect();
    rooms.sort_by_key(|(room, ..)| *room);
    rooms
}

pub(crate) async fn memberships_follow_the_room(store: Arc<dyn Store>) {
    let (first, second) = (fresh_room(), fresh_room());
    let (one, two) = (fresh_member(), fresh_member());
    store
        .put_room(&room_of(first, &[(one, Role::Buyer), (two, Role::Seller)]))
        .await
        .unwrap();
    store
        .put_room(&room_of(second, &[(one, Role::Member)]))
        .await
        .unwrap();
    let mut both = vec![(first, Role::Buyer, 0), (second, Role::Member, 0)];
    both.sort_by_key(|(room, ..)| *room);
    assert_eq!(rooms_of(&*store, one).await, both);
    assert_eq!(rooms_of(&*store, two).await, [(first, Role::Seller, 0)]);

    // One leaves, the other's role changes.
    store
        .put_room(&room_of(first, &[(two, Role::Member)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, one).await, [(second, Role::Member, 0)]);
    assert_eq!(rooms_of(&*store, two).await, [(first, Role::Member, 0)]);

    // And comes back.
    store
        .put_room(&room_of(first, &[(one, Role::Seller), (two, Role::Member)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, one).await.len(), 2);
}

pub(crate) async fn memberships_of_members_do_not_mix(store: Arc<dyn Store>) {
    let middle = u64::from(fresh_member().get()).clamp(300, (1 << 31) - 300);
    let id = fresh_room();
    store
        .put_room(&room_of(id, &[(member(middle), Role::Buyer)]))
        .await
        .unwrap();
    for other in [middle - 256, middle - 1, middle + 1, middle + 256] {
        assert_eq!(rooms_of(&*store, member(other)).await, []);
    }
}

pub(crate) async fn who_left_keeps_the_read_mark(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    store
        .put_room(&room_of(id, &[(who, Role::Buyer)]))
        .await
        .unwrap();
    store.mark_read(who, id, seq(9)).await.unwrap();
    store.put_room(&room_of(id, &[])).await.unwrap();
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(9));
    store
        .put_room(&room_of(id, &[(who, Role::Buyer)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, who).await, [(id, Role::Buyer, 9)]);
    store.mark_read(who, id, seq(8)).await.unwrap();
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(9));
}

pub(crate) async fn rooms_put_at_once_leave_one_of_them(store: Arc<dyn Store>) {
    let id = fresh_room();
    let members: Vec<MemberId> = (0..6).map(|_| fresh_member()).collect();
    let mut tasks = JoinSet::new();
    for who in members.clone() {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store
                .put_room(&room_of(id, &[(who, Role::Member)]))
                .await
                .unwrap()
        });
    }
    tasks.join_all().await;
    // Whichever came last: it is there whole. Put once more, it is alone for certain.
    let left = store.room(id).await.unwrap().unwrap();
    assert_eq!(left.members.len(), 1);
    assert!(store.put_room(&left).await.is_ok());
    assert_eq!(rooms_of(&*store, left.members[0].member_id).await.len(), 1);
}

pub(crate) async fn read_mark_only_moves_forward(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    store
        .put_room(&room_of(id, &[(who, Role::Buyer)]))
        .await
        .unwrap();
    for (mark, expected) in [
        (5, 5),
        (3, 5),
        (5, 5),
        (0, 5),
        (300, 300),
        (299, 300),
        (65_536, 65_536),
    ] {
        store.mark_read(who, id, seq(mark)).await.unwrap();
        assert_eq!(store.last_read(who, id).await.unwrap(), seq(expected));
        let read = u32::try_from(expected).unwrap();
        assert_eq!(rooms_of(&*store, who).await, [(id, Role::Buyer, read)]);
    }
}

pub(crate) async fn read_marks_at_once_leave_the_greatest(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    let mut tasks = JoinSet::new();
    for nth in 0..64_u64 {
        let store = Arc::clone(&store);
        // Each number once, in no order.
        let mark = seq(nth * 37 % 64 + 1);
        tasks.spawn(async move { store.mark_read(who, id, mark).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(64));
}

pub(crate) async fn read_mark_needs_no_membership(store: Arc<dyn Store>) {
    let (id, who) = (fresh_room(), fresh_member());
    store.mark_read(who, id, seq(4)).await.unwrap();
    assert_eq!(store.last_read(who, id).await.unwrap(), seq(4));
    assert_eq!(
        rooms_of(&*store, who).await,
        [],
        "a mark makes nobody a member"
    );
    store
        .put_room(&room_of(id, &[(who, Role::Seller)]))
        .await
        .unwrap();
    assert_eq!(rooms_of(&*store, who).await, [(id, Role::Seller, 4)]);
}

/// Fills the log of the head's room, so that its newest entry is this.
async fn say(store: &dyn Store, head: &RoomHead) {
    for at in 1..=head.seq.get() {
        let mut entry = entry(seq(at.into()), at.into());
        entry.draft.body = head.text.clone().into();
        entry.draft.sent_at = head.at;
        let before = seq(u64::from(at) - 1);
        let append = store.append(Topic::Room(head.room), before, vec![Arc::new(entry)]);
        assert_eq!(append.await.unwrap(), Append::Applied);
    }
}

pub(crate) async fn room_heads_are_given_for_rooms_that_have_one(store: Arc<dyn Store>) {
    let (first, second, silent) = (fresh_room(), fresh_room(), fresh_room());
    assert_eq!(store.heads(&[]).await.unwrap(), []);
    assert_eq!(store.heads(&[silent]).await.unwrap(), []);
    let (one, two) = (
        room_head(first, seq(3), "안녕"),
        room_head(second, seq(1), ""),
    );
    for head in [&one, &two] {
        if store.heads_follow_logs() {
            say(&*store, head).await;
        } else {
            store.note_head(head.clone()).await.unwrap();
        }
    }
    let mut heads = store.heads(&[first, silent, second]).await.unwrap();
    heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
    assert_eq!(heads, [one, two]);
}

pub(crate) async fn newer_room_head_wins_in_any_order(store: Arc<dyn Store>) {
    let id = fresh_room();
    if store.heads_follow_logs() {
        let noted = room_head(id, seq(2), "not in the log");
        store.note_head(noted).await.unwrap();
        assert_eq!(store.heads(&[id]).await.unwrap(), []);
        return;
    }
    for (at, expected) in [(2, 2), (1, 2), (3, 3), (2, 3)] {
        let text = format!("text {at}");
        store
            .note_head(room_head(id, seq(at), &text))
            .await
            .unwrap();
        let heads = store.heads(&[id]).await.unwrap();
        assert_eq!(
            heads,
            [room_head(id, seq(expected), &format!("text {expected}"))]
        );
    }
    let mut tasks = JoinSet::new();
    for nth in 0..64_u64 {
        let store = Arc::clone(&store);
        let head = room_head(id, seq(nth * 37 % 64 + 4), "many");
        tasks.spawn(async move { store.note_head(head).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(
        store.heads(&[id]).await.unwrap(),
        [room_head(id, seq(67), "many")]
    );
}
