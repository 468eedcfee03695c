//! Separations of a member: the members with whom no message can be exchanged, as one of the two has
//! blocked the other.
//!
//! Both members have a record of each block. A block has a direction, so of two blocks of one pair each
//! ends on its own. They are read for members who write, type, or come online, never at a login.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use shared::clock::UnixMillis;
use shared::ids::MemberId;

use super::{MemberError, Members, stamp};
use crate::aged_cache::Dated;
use crate::bus::Control;
use crate::metrics::ControlKind;
use crate::store::{NewRecord, RECORD_RANKS, RECORDS_MAX, Record};

/// Prefix of the keys; the other member and the member's side follow.
const PREFIX: &str = "separated:";

/// A member has blocked another, or has undone that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separation {
    /// Who blocked.
    pub blocker: MemberId,
    /// Who was blocked.
    pub blocked: MemberId,
    /// Whether the block exists.
    pub exists: bool,
    /// Since when.
    pub at: UnixMillis,
    /// Decides between changes of the same millisecond: the greater one is the later one.
    pub number: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Separations {
    others: HashSet<MemberId>,
    /// Whether `others` has all of them.
    is_complete: bool,
}

impl Separations {
    fn of(records: &[Record]) -> Self {
        let others = records.iter().filter_map(|record| other(&record.key));
        Self {
            others: others.collect(),
            is_complete: records.len() < RECORDS_MAX,
        }
    }
}

/// The side of a block that a record's owner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Blocker,
    Blocked,
}

fn key(other: MemberId, side: Side) -> Box<str> {
    let side = match side {
        Side::Blocker => "blocker",
        Side::Blocked => "blocked",
    };
    format!("{PREFIX}{other}:{side}").into()
}

/// The other member that a key names.
fn other(key: &str) -> Option<MemberId> {
    let (other, _side) = key.strip_prefix(PREFIX)?.split_once(':')?;
    other.parse().ok()
}

impl Members {
    /// Stores a block or its end for both members and publishes that to all nodes. Of two changes of
    /// one block the later one counts, whatever their order here; a repetition changes nothing.
    ///
    /// Two changes of the same millisecond keep the order of their numbers, as long as these do not lie
    /// on different sides of a multiple of [`RECORD_RANKS`].
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn separate(&self, change: Separation) -> Result<(), MemberError> {
        let Separation {
            blocker, blocked, ..
        } = change;
        if blocker == blocked {
            return Ok(());
        }
        let sides = [
            (blocker, key(blocked, Side::Blocker)),
            (blocked, key(blocker, Side::Blocked)),
        ];
        for (member, key) in sides {
            let value = if change.exists { "{}" } else { "" };
            let rank = change.number % u64::from(RECORD_RANKS);
            let record = NewRecord {
                key,
                value: Bytes::from_static(value.as_bytes()),
                stamp: stamp(change.at),
                rank: u16::try_from(rank).unwrap_or(0),
                time_to_live: None,
            };
            let put = self.parts.records.put_record(member, record).await;
            put.map_err(|error| self.unavailable("put_record", &error))?;
            self.separations.forget(member).await;
            let control = Control::SeparationsChanged { member_id: member };
            self.publish(ControlKind::SeparationsChanged, control);
        }
        Ok(())
    }

    /// Whether one of the two has blocked the other, by what was read within the last
    /// [`CACHE_AGE_MAX`](super::CACHE_AGE_MAX).
    ///
    /// # Errors
    /// [`MemberError::Unavailable`].
    pub async fn are_separated(
        &self,
        member: MemberId,
        other: MemberId,
    ) -> Result<bool, MemberError> {
        let separated = self.are_separated_dated(member, other).await?;
        Ok(separated.value)
    }

    /// The same, and until when that may be kept, while the [`generation`](Members::generation) is the
    /// one from before the call.
    pub(crate) async fn are_separated_dated(
        &self,
        member: MemberId,
        other: MemberId,
    ) -> Result<Dated<bool>, MemberError> {
        let Dated { value, ends_at } = self.known_separations(member).await?;
        let kept = |value| Dated { value, ends_at };
        let Some(all) = value else {
            return Ok(kept(false));
        };
        if all.others.contains(&other) || all.is_complete {
            return Ok(kept(all.others.contains(&other)));
        }
        let both_sides = format!("{PREFIX}{other}:");
        let found = self.parts.records.records(member, &both_sides).await;
        let found = found.map_err(|error| self.unavailable("records", &error))?;
        Ok(Dated {
            value: !found.is_empty(),
            ends_at: None,
        })
    }

    /// Whether the member is separated from anybody, like [`Members::are_separated`].
    ///
    /// # Errors
    /// [`MemberError::Unavailable`].
    pub async fn has_separations(&self, member: MemberId) -> Result<bool, MemberError> {
        Ok(self.known_separations(member).await?.value.is_some())
    }

    /// Invalidates the member's cached separations: they have changed.
    pub async fn forget_separations(&self, member: MemberId) {
        self.separations.forget(member).await;
    }

    /// `None`: the member is separated from nobody, as nearly all are.
    async fn known_separations(
        &self,
        member: MemberId,
    ) -> Result<Dated<Option<Arc<Separations>>>, MemberError> {
        let read = || self.read_separations(member);
        self.separations.get_dated(member, read).await
    }

    async fn read_separations(
        &self,
        member: MemberId,
    ) -> Result<Option<Arc<Separations>>, MemberError> {
        let records = self.parts.records.records(member, PREFIX).await;
        let records = records.map_err(|error| self.unavailable("records", &error))?;
        Ok((!records.is_empty()).then(|| Arc::new(Separations::of(&records))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RECORD_KEY_BYTES_MAX;

    #[test]
    fn keys_name_the_other_member_and_fit_into_a_record() {
        let last = MemberId::try_from(u64::from(u32::MAX >> 1)).unwrap();
        for side in [Side::Blocker, Side::Blocked] {
            let key = key(last, side);
            assert_eq!(other(&key), Some(last));
            assert!(key.len() <= RECORD_KEY_BYTES_MAX);
        }
        assert_ne!(key(last, Side::Blocker), key(last, Side::Blocked));
        for damaged in [
            "separated:",
            "separated:x:blocker",
            "separated:7",
            "session:7:x",
        ] {
            assert_eq!(other(damaged), None, "{damaged}");
        }
    }
}
