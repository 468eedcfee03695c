//! Lock order of a transaction, asserted in debug builds.
//!
//! Two transactions that lock the same rows in opposite orders deadlock. One order for all of them makes
//! that impossible, and an assertion finds a violation with one transaction, where a deadlock needs two at
//! the right moment.
//!
//! ```text
//! idempotency key < charge (ascending) < refund (ascending) < report < review (ascending) < rating of a member
//!     < offers (ascending) < own wallet < own month < members (ascending) < chat room number
//!     < token families (ascending) < outbox numbers (ascending)
//! ```
//!
//! Not in the order: a row that only this transaction can see (one it has inserted), and a row that is the only
//! one its transaction locks: login attempts, uploads, scheduled jobs.
//!
//! What this module does not do: lock. `locking!` and the owners of the tables lock, and note each lock here
//! first.

use std::fmt;

use shared::claims::FamilyId;
use shared::clock::Month;
use shared::event::Aggregate;
use shared::ids::{MemberId, ProductId, ReportId, ReviewId};

/// A row that a transaction locks. The order of the variants, and of the ids in one, is the lock order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// The row of the request's `Idempotency-Key`, at most one.
    IdempotencyKey,
    /// A charge, by its row's id; in ascending order.
    Charge(u64),
    /// A refund, by its row's id; in ascending order.
    Refund(u64),
    /// A report that is decided, at most one.
    Report(ReportId),
    /// A review; in ascending order.
    Review(ReviewId),
    /// A member's rating and the rate that the member's offers show, at most one. No row: an offer that is made
    /// meanwhile has none yet.
    Rating(MemberId),
    /// An offer; in ascending order.
    Offer(ProductId),
    /// Offers that the locking statement finds, in ascending order. Their ids are unknown before it runs, so no
    /// other offer is locked after them.
    FoundOffers,
    /// The wallet of the member who pays, refunds or registers an offer, at most one.
    Wallet(MemberId),
    /// The same member's row of the month, at most one.
    Month(MemberId, Month),
    /// A member; in ascending order.
    Member(MemberId),
    /// The counter of chat room ids.
    ChatRoomNumber,
    /// A session's token family; in ascending order.
    TokenFamily(FamilyId),
    /// Token families that the locking statement finds, as [`Self::FoundOffers`].
    FoundTokenFamilies,
    /// The counter of an aggregate's events; in ascending order of their names.
    OutboxNumber(Aggregate),
}

impl Lock {
    /// True if a transaction takes at most one lock of this kind.
    const fn is_single(&self) -> bool {
        match self {
            Self::IdempotencyKey
            | Self::Report(_)
            | Self::Rating(_)
            | Self::FoundOffers
            | Self::Wallet(_)
            | Self::Month(..)
            | Self::ChatRoomNumber
            | Self::FoundTokenFamilies => true,
            Self::Charge(_)
            | Self::Refund(_)
            | Self::Review(_)
            | Self::Offer(_)
            | Self::Member(_)
            | Self::TokenFamily(_)
            | Self::OutboxNumber(_) => false,
        }
    }

    /// True if a second statement may find other rows than the first.
    const fn is_found(&self) -> bool {
        matches!(self, Self::FoundOffers | Self::FoundTokenFamilies)
    }

    fn is_of_one_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdempotencyKey => f.write_str("the idempotency key"),
            Self::Charge(id) => write!(f, "charge {id}"),
            Self::Refund(id) => write!(f, "refund {id}"),
            Self::Report(id) => write!(f, "report {id}"),
            Self::Review(id) => write!(f, "review {id}"),
            Self::Rating(member) => write!(f, "the rating of member {member}"),
            Self::Offer(id) => write!(f, "offer {id}"),
            Self::FoundOffers => f.write_str("the offers found"),
            Self::Wallet(member) => write!(f, "the wallet of member {member}"),
            Self::Month(member, month) => write!(f, "month {} of member {member}", month.get()),
            Self::Member(member) => write!(f, "member {member}"),
            Self::ChatRoomNumber => f.write_str("the chat room number"),
            Self::TokenFamily(family) => write!(f, "token family {}", family.as_str()),
            Self::FoundTokenFamilies => f.write_str("the token families found"),
            Self::OutboxNumber(aggregate) => write!(f, "the outbox number of {aggregate}"),
        }
    }
}

/// The access to a locked row that other transactions still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// They may lock it in this mode, too (`for share`).
    Shared,
    /// They may only reference it (`for no key update`, or an update).
    Exclusive,
}

/// What one attempt of a transaction has locked; a new attempt begins with none. Empty in release builds.
#[derive(Debug, Default)]
pub(super) struct HeldLocks {
    /// In ascending order.
    held: Vec<(Lock, LockMode)>,
}

impl HeldLocks {
    /// Notes a lock; an error says why it breaks the order.
    pub(super) fn note(&mut self, lock: Lock, mode: LockMode) -> Result<(), String> {
        if let Some((_, held)) = self.held.iter().find(|(held, _)| *held == lock) {
            return match mode <= *held && !lock.is_found() {
                true => Ok(()),
                // Upgrade of a shared lock: two transactions that do so deadlock.
                false => Err(format!("{lock} is locked already, in another way")),
            };
        }
        if let Some((last, _)) = self.held.last() {
            if *last > lock {
                return Err(format!("{lock} is locked after {last}"));
            }
            if lock.is_single() && lock.is_of_one_kind(last) {
                return Err(format!("{lock} is locked beside {last}"));
            }
        }
        self.held.push((lock, mode));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(id: u64) -> Lock {
        Lock::Offer(ProductId::try_from(id).unwrap())
    }

    fn member(id: u64) -> MemberId {
        MemberId::try_from(id).unwrap()
    }

    fn month(of: u64) -> Lock {
        Lock::Month(member(of), Month::try_from(202_511).unwrap())
    }

    /// The first of these locks that breaks the order, taken one after the other.
    fn first_broken(locks: &[Lock]) -> Option<Lock> {
        let mut held = HeldLocks::default();
        let mut locks = locks.iter();
        locks
            .find(|lock| held.note((*lock).clone(), LockMode::Exclusive).is_err())
            .cloned()
    }

    #[test]
    fn every_kind_has_its_rank() {
        let all = [
            Lock::IdempotencyKey,
            Lock::Charge(1),
            Lock::Report(ReportId::try_from(1_u64).unwrap()),
            Lock::Review(ReviewId::try_from(1_u64).unwrap()),
            Lock::Rating(member(1)),
            offer(2),
            offer(3),
            Lock::Wallet(member(1)),
            month(1),
            Lock::Member(member(1)),
            Lock::Member(member(2)),
            Lock::ChatRoomNumber,
            Lock::TokenFamily("Zm9yIGEgZ29sZGVuIGZpbA".parse().unwrap()),
            Lock::FoundTokenFamilies,
            Lock::OutboxNumber(member(1).into()),
            Lock::OutboxNumber(ProductId::try_from(1_u64).unwrap().into()),
        ];
        assert_eq!(first_broken(&all), None);
        for pair in all.windows(2) {
            let [before, after] = pair else { continue };
            let turned = [after.clone(), before.clone()];
            assert_eq!(first_broken(&turned).as_ref(), Some(before));
        }
    }

    #[test]
    fn a_row_may_be_locked_again_but_not_more_strongly() {
        let again = [offer(2), Lock::Wallet(member(1)), offer(2)];
        assert_eq!(first_broken(&again), None);
        let mut held = HeldLocks::default();
        held.note(offer(2), LockMode::Shared).unwrap();
        held.note(offer(2), LockMode::Shared).unwrap();
        held.note(offer(2), LockMode::Exclusive).unwrap_err();
    }

    #[test]
    fn one_wallet_and_one_month_are_locked() {
        let (one, other) = (Lock::Wallet(member(1)), Lock::Wallet(member(2)));
        assert_eq!(first_broken(&[one, other.clone()]), Some(other));
        assert_eq!(first_broken(&[month(1), month(2)]), Some(month(2)));
    }

    #[test]
    fn no_offer_is_locked_after_those_that_were_found() {
        for after in [offer(9), Lock::FoundOffers] {
            let broken = first_broken(&[offer(1), Lock::FoundOffers, after.clone()]);
            assert_eq!(broken, Some(after));
        }
    }
}
