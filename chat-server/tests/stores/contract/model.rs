//! A store in plain maps, and a random walk that compares it with a real one after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::{Entry, Topic};
use chat_server::store::{
    AccountStatus, Append, READ_ENTRIES_MAX, ReadConsistency, Role, Room, RoomHead,
};
use proptest::prelude::*;
use shared::ids::{MemberId, RoomId, Seq};

use super::make::{batch, fresh_member, fresh_room, millis, seq};
use super::rooms::{room_head, room_of};
use super::store::Store;

/// Few, so that steps meet.
const TOPICS: usize = 3;
const ROOMS: usize = 3;
const MEMBERS: usize = 3;

/// A step; what it names is an index into the model's few topics, rooms and members.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Appends so many entries at so many positions off the head.
    Append {
        topic: usize,
        off: i32,
        count: u32,
    },
    Delete {
        topic: usize,
        at: u32,
    },
    Read {
        topic: usize,
        first: u32,
        last: u32,
    },
    /// The members that are in, with their roles.
    PutRoom {
        room: usize,
        members: [Option<u8>; MEMBERS],
    },
    MarkRead {
        member: usize,
        room: usize,
        at: u32,
    },
    NoteHead {
        room: usize,
        at: u32,
    },
    SetAccountStatus {
        member: usize,
        is_blocked: bool,
        at: u32,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near_head = prop_oneof![8 => Just(0), 1 => -3..4];
    let step = prop_oneof![
        6 => (0..TOPICS, near_head, 0_u32..65).prop_map(|(topic, off, count)| Step::Append { topic, off, count }),
        2 => (0..TOPICS, 0_u32..200).prop_map(|(topic, at)| Step::Delete { topic, at }),
        2 => (0..TOPICS, 0_u32..200, 0_u32..900)
            .prop_map(|(topic, first, last)| Step::Read { topic, first, last }),
        2 => (0..ROOMS, prop::array::uniform3(prop::option::of(0_u8..3)))
            .prop_map(|(room, members)| Step::PutRoom { room, members }),
        2 => (0..MEMBERS, 0..ROOMS, 0_u32..1000)
            .prop_map(|(member, room, at)| Step::MarkRead { member, room, at }),
        1 => (0..ROOMS, 1_u32..1000).prop_map(|(room, at)| Step::NoteHead { room, at }),
        1 => (0..MEMBERS, any::<bool>(), 0_u32..1000)
            .prop_map(|(member, is_blocked, at)| Step::SetAccountStatus { member, is_blocked, at }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a store should hold.
#[derive(Debug)]
pub(crate) struct Model {
    topics: [Topic; TOPICS],
    rooms: [RoomId; ROOMS],
    members: [MemberId; MEMBERS],
    logs: BTreeMap<Topic, Vec<Arc<Entry>>>,
    put: BTreeMap<RoomId, Room>,
    marks: BTreeMap<(MemberId, RoomId), Seq>,
    heads: BTreeMap<RoomId, RoomHead>,
    account_statuses: BTreeMap<MemberId, (u32, AccountStatus)>,
    next_uid: u128,
}

impl Model {
    /// An empty model of topics, rooms and members that no other test uses.
    pub(crate) fn fresh() -> Self {
        let inbox = Topic::Inbox(fresh_member());
        Self {
            topics: [Topic::Room(fresh_room()), Topic::Room(fresh_room()), inbox],
            rooms: [fresh_room(), fresh_room(), fresh_room()],
            members: [fresh_member(), fresh_member(), fresh_member()],
            logs: BTreeMap::new(),
            put: BTreeMap::new(),
            marks: BTreeMap::new(),
            heads: BTreeMap::new(),
            account_statuses: BTreeMap::new(),
            next_uid: 1,
        }
    }

    /// Takes the step in both and compares what they say.
    pub(crate) async fn step(&mut self, store: &dyn Store, step: &Step) {
        match *step {
            Step::Append { topic, off, count } => {
                self.append(store, self.topics[topic], off, count).await
            }
            Step::Delete { topic, at } => self.delete(store, self.topics[topic], at).await,
            Step::Read { topic, first, last } => {
                self.compare_read(store, self.topics[topic], first, last)
                    .await;
            }
            Step::PutRoom { room, members } => {
                self.put_room(store, self.rooms[room], members).await
            }
            Step::MarkRead { member, room, at } => {
                let (member, room, at) = (self.members[member], self.rooms[room], seq(at.into()));
                store.mark_read(member, room, at).await.unwrap();
                let mark = self.marks.entry((member, room)).or_insert(Seq::ZERO);
                *mark = at.max(*mark);
            }
            Step::NoteHead { room, at } => {
                let head = room_head(self.rooms[room], seq(at.into()), &at.to_string());
                store.note_head(head.clone()).await.unwrap();
                if store.heads_follow_logs() {
                    return; // these rooms have no log
                }
                let known = self.heads.entry(head.room).or_insert_with(|| head.clone());
                if head.seq > known.seq {
                    *known = head;
                }
            }
            Step::SetAccountStatus {
                member,
                is_blocked,
                at,
            } => {
                self.set_account_status(store, self.members[member], is_blocked, at)
                    .await
            }
        }
    }

    async fn append(&mut self, store: &dyn Store, topic: Topic, off: i32, count: u32) {
        let log = self.logs.entry(topic).or_default();
        let head = u32::try_from(log.len()).unwrap();
        let at = seq(head.saturating_add_signed(off).into());
        let entries = batch(at, count, self.next_uid);
        self.next_uid += u128::from(count);
        let expected = if at.get() == head {
            log.extend(entries.iter().cloned());
            Append::Applied
        } else {
            Append::Conflict(seq(head.into()))
        };
        assert_eq!(store.append(topic, at, entries).await.unwrap(), expected);
    }

    async fn delete(&mut self, store: &dyn Store, topic: Topic, at: u32) {
        store.delete(topic, seq(at.into())).await.unwrap();
        let log = self.logs.entry(topic).or_default();
        let index = usize::try_from(at).unwrap().wrapping_sub(1);
        if let Some(entry) = log.get_mut(index) {
            let entry = Arc::make_mut(entry);
            entry.deleted = true;
            entry.draft.body = Bytes::new();
        }
    }

    async fn put_room(&mut self, store: &dyn Store, id: RoomId, members: [Option<u8>; MEMBERS]) {
        let roles = [Role::Buyer, Role::Seller, Role::Member];
        let inside = members.iter().zip(self.members);
        let inside =
            inside.filter_map(|(role, id)| role.map(|role| (id, roles[usize::from(role)])));
        let room = room_of(id, &inside.collect::<Vec<_>>());
        store.put_room(&room).await.unwrap();
        self.put.insert(id, room);
    }

    async fn set_account_status(
        &mut self,
        store: &dyn Store,
        of: MemberId,
        is_blocked: bool,
        at: u32,
    ) {
        let known = self.account_statuses.get(&of).copied();
        let mut status = if is_blocked {
            AccountStatus::Blocked
        } else {
            AccountStatus::Good
        };
        // Of two at the same time either may win; here they say the same.
        if let Some((_, same)) = known.filter(|(since, _)| *since == at) {
            status = same;
        }
        store
            .set_account_status(of, status, millis(at.into()))
            .await
            .unwrap();
        if known.is_none_or(|(since, _)| at > since) {
            self.account_statuses.insert(of, (at, status));
        }
    }

    async fn compare_read(&self, store: &dyn Store, topic: Topic, first: u32, last: u32) {
        let empty = Vec::new();
        let log = self.logs.get(&topic).unwrap_or(&empty);
        let within = log.iter().filter(|e| (first..=last).contains(&e.seq.get()));
        let expected: Vec<_> = within.take(READ_ENTRIES_MAX as usize).cloned().collect();
        let range = (seq(first.into()), seq(last.into()));
        let found = store
            .read(topic, range.0, range.1, ReadConsistency::Quorum)
            .await
            .unwrap();
        // From position 0 the limit counts a position where nothing is; one entry less may come.
        let is_short = first == 0 && found.len() + 1 == READ_ENTRIES_MAX as usize;
        assert_eq!(
            found,
            expected[..expected.len() - usize::from(is_short)],
            "{first}..={last}"
        );
    }

    /// Compares everything.
    pub(crate) async fn compare(&self, store: &dyn Store) {
        for topic in self.topics {
            let count = self.logs.get(&topic).map_or(0, Vec::len);
            let head = store.head(topic, ReadConsistency::Serial).await.unwrap();
            assert_eq!(head.get() as usize, count);
            for first in (1..=head.get()).step_by(READ_ENTRIES_MAX as usize) {
                self.compare_read(store, topic, first, head.get()).await;
            }
        }
        for room in self.rooms {
            assert_eq!(
                store.room(room).await.unwrap().as_ref(),
                self.put.get(&room)
            );
        }
        let mut heads = store.heads(&self.rooms).await.unwrap();
        heads.sort_by_key(|head| head.room);
        assert_eq!(heads, self.heads.values().cloned().collect::<Vec<_>>());
        for member in self.members {
            self.compare_member(store, member).await;
        }
    }

    async fn compare_member(&self, store: &dyn Store, member: MemberId) {
        let mark = |room| {
            self.marks
                .get(&(member, room))
                .copied()
                .unwrap_or(Seq::ZERO)
        };
        let rooms = self
            .put
            .values()
            .filter_map(|room| Some((room.room_id, room.member(member)?.role)));
        let expected: BTreeSet<_> = rooms
            .map(|(room, role)| (room, format!("{role:?}"), mark(room)))
            .collect();
        let memberships = store.memberships(member).await.unwrap();
        let found: BTreeSet<_> = memberships
            .iter()
            .map(|m| (m.room, format!("{:?}", m.role), m.last_read))
            .collect();
        assert_eq!(found.len(), memberships.len(), "a room is there twice");
        assert_eq!(found, expected);
        let status = self
            .account_statuses
            .get(&member)
            .map(|(_, status)| *status);
        let expected = status.unwrap_or_default();
        assert_eq!(store.status(member).await.unwrap(), expected);
        for room in self.rooms {
            assert_eq!(store.last_read(member, room).await.unwrap(), mark(room));
        }
    }
}
