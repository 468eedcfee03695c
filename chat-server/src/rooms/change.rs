//! Creation of rooms and changes of their members.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::RngExt as _;
use shared::ids::{MemberId, RoomId};

use super::{GATES, RoomError, Rooms};
use crate::bus::Control;
use crate::log::RoomEvent;
use crate::metrics::ControlKind;
use crate::store::room::MEMBERS_MAX;
use crate::store::{Product, Role, Room, RoomMember, StoreError};

/// A name fits into a column of the market's members.
const NAME_CHARS_MAX: usize = 100;

/// What browsers and servers take without trouble.
const URL_BYTES_MAX: usize = 2_048;

/// A time of day or a date-time.
const HOURS_BYTES_MAX: usize = 32;

/// Random ids tried for a new room. A billion ids, so even the second is hardly ever needed.
const ID_TRIES_MAX: u32 = 8;

/// Rooms of a closed account that are changed at a time.
const RENAMED_AT_ONCE: usize = 8;

/// What a room is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSpec {
    /// Who is in it.
    pub members: Vec<RoomMember>,
    /// What it is about: a buyer and a seller talk. `None` for groups.
    pub product: Option<Product>,
    /// Whether bodies that are not chat messages are taken.
    pub opaque: bool,
}

/// Why there cannot be such a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoom {
    /// None, or more than [`MEMBERS_MAX`].
    #[error("a room has 1 to {MEMBERS_MAX} members")]
    MemberCount,
    /// Somebody is in it twice.
    #[error("member {0} is in it twice")]
    Twice(MemberId),
    /// Roles and product do not fit.
    #[error("a room about a product has one BUYER and one SELLER, any other only MEMBERs")]
    Roles,
    /// A text is empty, too long, or has control characters.
    #[error("a name, image or time is empty, too long or has control characters")]
    Text,
}

/// Why a room was not made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// There cannot be such a room.
    #[error(transparent)]
    Invalid(#[from] InvalidRoom),
    /// The room is there and about something else, or between others.
    #[error("room {0} is about something else or between others")]
    Taken(RoomId),
    /// The store does not answer now. A retry is harmless.
    #[error("rooms cannot be changed now")]
    Unavailable,
}

impl RoomSpec {
    fn check(&self) -> Result<(), InvalidRoom> {
        if !(1..=MEMBERS_MAX).contains(&self.members.len()) {
            return Err(InvalidRoom::MemberCount);
        }
        let mut seen = HashSet::with_capacity(self.members.len());
        for member in &self.members {
            if !seen.insert(member.member_id) {
                return Err(InvalidRoom::Twice(member.member_id));
            }
            let name_fits = (1..=NAME_CHARS_MAX).contains(&member.name.chars().count());
            if !name_fits || has_control(&member.name) || !fits(&member.image_url, URL_BYTES_MAX) {
                return Err(InvalidRoom::Text);
            }
        }
        let count = |role| self.members.iter().filter(|one| one.role == role).count();
        let expected = match &self.product {
            Some(_) => (1, 1, 0),
            None => (0, 0, self.members.len()),
        };
        if (count(Role::Buyer), count(Role::Seller), count(Role::Member)) != expected {
            return Err(InvalidRoom::Roles);
        }
        let hours_fit = self.product.as_ref().is_none_or(|product| {
            fits(&product.start_time, HOURS_BYTES_MAX) && fits(&product.end_time, HOURS_BYTES_MAX)
        });
        if hours_fit {
            Ok(())
        } else {
            Err(InvalidRoom::Text)
        }
    }
}

impl Rooms {
    /// Creates the room, or updates it to the specification: names, pictures, opening hours and the
    /// members of a group may change. Idempotent.
    ///
    /// A node serializes its changes of one room. When two nodes apply different changes at the
    /// same time, one of the two remains. The market sends a room's changes one after the other.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put(&self, id: RoomId, spec: RoomSpec) -> Result<Arc<Room>, PutError> {
        spec.check()?;
        let _gate = self.gates[id.get() as usize % GATES].lock().await;
        let before = self.stored(id).await?;
        if before.as_ref().is_some_and(|room| !may_become(room, &spec)) {
            return Err(PutError::Taken(id));
        }
        let created_at = before
            .as_ref()
            .map_or_else(|| self.clock.unix_millis(), |room| room.created_at);
        let room = Arc::new(Room {
            room_id: id,
            members: spec.members,
            product: spec.product,
            opaque: spec.opaque,
            created_at,
        });
        // Also when the stored room equals the specification: the memberships are separate writes,
        // some of which may be missing after the loss of a node or of an answer.
        if let Err(error) = self.store.put_room(&room).await {
            self.errors.note("put_room", &error);
            if before.as_ref() != Some(&*room) {
                self.tell_of_change(id).await; // it may have changed all the same
            }
            return Err(PutError::Unavailable);
        }
        self.cache.put(&room, self.clock.now()).await;
        if let Some(before) = before.filter(|before| *before != *room) {
            // Invalidate the other nodes' caches first: with a stale copy they would accept a new
            // subscription of a removed member.
            self.publish_change(id);
            self.tell_changes(&before, &room);
        }
        Ok(room)
    }

    async fn tell_of_change(&self, id: RoomId) {
        self.forget(id).await;
        self.publish_change(id);
    }

    fn publish_change(&self, id: RoomId) {
        self.metrics.control_sent.count(ControlKind::RoomChanged);
        let changed = Control::RoomChanged { room_id: id };
        self.bus.publish_control(changed);
    }

    /// Makes a room under a new id.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn create(&self, spec: RoomSpec) -> Result<Arc<Room>, PutError> {
        spec.check()?;
        for _ in 0..ID_TRIES_MAX {
            let id = self.random_id();
            if self.stored(id).await?.is_none() {
                return self.put(id, spec).await;
            }
        }
        tracing::error!("no free room id in {ID_TRIES_MAX} tries");
        Err(PutError::Unavailable)
    }

    /// Replaces the member's name in all their rooms, and removes the picture. Idempotent: a room that
    /// has the name already is read, not written.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`]: some rooms may be changed. Again is harmless.
    pub async fn rename(&self, member: MemberId, name: &str) -> Result<(), RoomError> {
        let memberships = self.store.memberships(member).await;
        let memberships =
            memberships.map_err(|error| self.errors.unavailable("memberships", &error))?;
        stream::iter(memberships)
            .map(async |membership| {
                let renamed = self.rename_in(membership.room, member, name).await;
                renamed.map_err(|error| self.errors.unavailable("put_room", &error))
            })
            .buffer_unordered(RENAMED_AT_ONCE)
            .try_collect()
            .await
    }

    async fn rename_in(&self, id: RoomId, member: MemberId, name: &str) -> Result<(), StoreError> {
        let _gate = self.gates[id.get() as usize % GATES].lock().await;
        let Some(mut room) = self.store.room(id).await? else {
            return Ok(());
        };
        if !rename_in(&mut room, member, name) {
            return Ok(());
        }
        let put = self.store.put_room(&room).await;
        if put.is_ok() {
            self.cache.put(&Arc::new(room), self.clock.now()).await;
            self.publish_change(id);
        } else {
            self.tell_of_change(id).await; // it may have changed all the same
        }
        put
    }

    /// Past the cache: what is compared with must not be old.
    async fn stored(&self, id: RoomId) -> Result<Option<Room>, PutError> {
        self.store.room(id).await.map_err(|error| {
            self.errors.note("room", &error);
            PutError::Unavailable
        })
    }

    fn random_id(&self) -> RoomId {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let first = u64::from(RoomId::FIRST_ALLOCATED_BY_CHAT.get());
        let id = random.random_range(first..2 * first);
        RoomId::try_from(id).expect("ids end at 2^31, twice the first")
    }

    fn tell_changes(&self, before: &Room, after: &Room) {
        let ids = |room: &Room| -> HashSet<MemberId> {
            room.members.iter().map(|member| member.member_id).collect()
        };
        let (old, new) = (ids(before), ids(after));
        for &member_id in new.difference(&old) {
            let joined = RoomEvent::Joined { member_id };
            self.hub.publish_event(after.room_id, joined);
        }
        for &member_id in old.difference(&new) {
            let left = RoomEvent::Left { member_id };
            self.hub.publish_event(after.room_id, left);
        }
    }
}

/// Whether that changed anything.
fn rename_in(room: &mut Room, member: MemberId, name: &str) -> bool {
    let mut members = room.members.iter_mut();
    let Some(found) = members.find(|one| one.member_id == member) else {
        return false;
    };
    if found.name == name && found.image_url.is_none() {
        return false;
    }
    name.clone_into(&mut found.name);
    found.image_url = None;
    true
}

/// Whether the room is the conversation that the specification names: about the same product
/// between the same two members, or a group as before.
fn may_become(room: &Room, spec: &RoomSpec) -> bool {
    match (&room.product, &spec.product) {
        (None, None) => true,
        (Some(old), Some(new)) => {
            let same = |one: &RoomMember| {
                room.member(one.member_id)
                    .is_some_and(|known| known.role == one.role)
            };
            old.product_id == new.product_id && spec.members.iter().all(same)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn fits(text: &Option<String>, bytes_max: usize) -> bool {
    text.as_ref()
        .is_none_or(|text| (1..=bytes_max).contains(&text.len()) && !has_control(text))
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, role: Role) -> RoomMember {
        RoomMember {
            member_id: id.try_into().unwrap(),
            role,
            name: format!("member {id}"),
            image_url: None,
        }
    }

    fn product() -> Product {
        Product {
            product_id: 7_u64.try_into().unwrap(),
            item_id: 8_u64.try_into().unwrap(),
            item_type: crate::store::ItemType::Wifi,
            start_time: Some("10:00:00".to_owned()),
            end_time: None,
        }
    }

    /// A room of these members, about a product or not, is this.
    fn check(members: &[RoomMember], product: Option<Product>, expected: Result<(), InvalidRoom>) {
        let spec = RoomSpec {
            members: members.to_vec(),
            product,
            opaque: false,
        };
        assert_eq!(spec.check(), expected, "{spec:?}");
    }

    #[test]
    fn a_product_has_one_buyer_and_one_seller() {
        use Role::{Buyer, Member, Seller};
        let wrong = Err(InvalidRoom::Roles);
        check(
            &[member(1, Buyer), member(2, Seller)],
            Some(product()),
            Ok(()),
        );
        check(
            &[member(1, Buyer), member(2, Buyer)],
            Some(product()),
            wrong,
        );
        check(&[member(1, Seller)], Some(product()), wrong);
        let three = [member(1, Buyer), member(2, Seller), member(3, Member)];
        check(&three, Some(product()), wrong);
        check(&[member(1, Buyer), member(2, Seller)], None, wrong);
        check(&[member(1, Member)], None, Ok(()));
        check(
            &[member(1, Member), member(2, Member)],
            Some(product()),
            wrong,
        );
    }

    #[test]
    fn members_are_counted_and_stand_once() {
        let group =
            |count: u64| -> Vec<_> { (1..=count).map(|id| member(id, Role::Member)).collect() };
        check(&group(1_000), None, Ok(()));
        check(&group(1_001), None, Err(InvalidRoom::MemberCount));
        check(&[], None, Err(InvalidRoom::MemberCount));
        let one = member(1, Role::Member);
        let twice = Err(InvalidRoom::Twice(one.member_id));
        check(&[one.clone(), one], None, twice);
    }

    #[test]
    fn texts_are_bounded() {
        let named = |name: &str| RoomMember {
            name: name.to_owned(),
            ..member(1, Role::Member)
        };
        check(&[named(&"가".repeat(100))], None, Ok(()));
        for name in ["", &"가".repeat(101), "a\nb", "a\u{7f}"] {
            check(&[named(name)], None, Err(InvalidRoom::Text));
        }
        for image in ["", &"x".repeat(2_049)] {
            let pictured = RoomMember {
                image_url: Some(image.to_owned()),
                ..member(1, Role::Member)
            };
            check(&[pictured], None, Err(InvalidRoom::Text));
        }
        let long = Product {
            end_time: Some("x".repeat(33)),
            ..product()
        };
        let pair = [member(1, Role::Buyer), member(2, Role::Seller)];
        check(&pair, Some(long), Err(InvalidRoom::Text));
    }
}
