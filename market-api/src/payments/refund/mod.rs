//! Refunds: cash that leaves a wallet, in legs: cancels of the member's charges at the gateway, and payouts.
//!
//! ```text
//! accept (tx: wallet ─► in transit) ─► legs, one after the other ─► DONE
//!   charged part: cancel of the newest charge ─ refused ─► next charge ─ none left ─► payout ─ refused ─► wallet
//!   earned part:  payout ─ refused ─► wallet
//! ```
//!
//! A leg is committed before it is sent, and keeps its idempotency key while its outcome is unknown. A cancel
//! counts as done when the gateway's view of the payment names it (`cancels`), whoever reads that view.

mod accept;
mod advance;
mod balance;
pub(super) mod cancels;
mod order;
mod plan;
mod repo;
mod settle;

use std::fmt;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;
use shared::web::{PageSize, Rows};

use super::charge::ChargeId;
use super::{Payments, below_of};
use crate::cash::Bucket;
use crate::db::row::{Column, TextColumn};
use crate::db::{DbError, WriteError, overflow};

use advance::Worker;
pub use order::{RefundAnswer, RefundError, RefundOrder, RefundSummary, RequestId};

impl Payments {
    /// Accepts a refund. The same request again gets the first answer.
    ///
    /// # Errors
    /// See [`RefundError`]. Nothing is stored.
    pub async fn refund(&self, order: RefundOrder) -> Result<RefundAnswer, RefundError> {
        if self.parts.gateway.is_none() || self.parts.payouts.is_none() {
            return Err(RefundError::NoGateway);
        }
        let accepted = self
            .parts
            .db
            .write(order, |order, tx| Box::pin(accept::accept_in(order, tx)));
        accepted.await.map_err(WriteError::into_domain)
    }

    /// A page of a member's refunds below an id, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn refunds(
        &self,
        member: MemberId,
        below: Option<u64>,
        size: PageSize,
    ) -> Result<Rows<RefundSummary>, DbError> {
        let mut connection = self.parts.db.read().await?;
        let rows = repo::page_of(&mut connection, member, below_of(below), size).await?;
        Ok(Rows::cut(rows, size))
    }

    /// Works on a refund that is due: sends its next leg, or finds out about the one in flight.
    pub(super) async fn advance_refund(
        &self,
        id: RefundId,
        lease: UnixMillis,
    ) -> Result<(), DbError> {
        match Worker::of(self, lease) {
            Some(worker) => worker.advance(id).await,
            None => Ok(()),
        }
    }
}

/// A refund's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefundId(u32);

impl RefundId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<RefundId> for i64 {
    fn from(id: RefundId) -> Self {
        Self::from(id.0)
    }
}

impl Column for RefundId {
    fn from_number(number: i64) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(number.try_into()?))
    }
}

/// The name of a leg outside: `refund-12-1` is the first leg of refund 12. The idempotency key and the reason of a
/// cancel, and the reference of a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LegName {
    refund: RefundId,
    n: u32,
}

impl LegName {
    /// The name that this text is, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let (refund, n) = text.strip_prefix("refund-")?.split_once('-')?;
        let name = Self {
            refund: RefundId(refund.parse().ok()?),
            n: n.parse().ok()?,
        };
        // Not `+1` or `01`.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for LegName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refund-{}-{}", self.refund.0, self.n)
    }
}

/// The state of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// A part of it is in transit.
    Open,
    /// All of it was given back or paid out, or came back to the wallet.
    Done,
}

impl RefundState {
    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Done => "DONE",
        }
    }
}

impl TextColumn for RefundState {
    fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Open, Self::Done];
        all.into_iter().find(|state| state.name() == text)
    }
}

/// What a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LegKind {
    /// A cancel of a charge.
    Cancel,
    /// A payout to the member's bank account.
    Payout,
}

impl LegKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "CANCEL",
            Self::Payout => "PAYOUT",
        }
    }
}

impl TextColumn for LegKind {
    fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Cancel, Self::Payout];
        all.into_iter().find(|kind| kind.name() == text)
    }
}

/// The state of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LegState {
    /// Committed; it is being sent, or its sender has ended.
    Ready,
    /// The last answer left the outcome unknown.
    Unknown,
    /// Given back, or paid out.
    Done,
    /// Refused for certain.
    Refused,
}

impl LegState {
    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unknown => "UNKNOWN",
            Self::Done => "DONE",
            Self::Refused => "REFUSED",
        }
    }

    const fn is_in_flight(self) -> bool {
        matches!(self, Self::Ready | Self::Unknown)
    }
}

impl TextColumn for LegState {
    fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Ready, Self::Unknown, Self::Done, Self::Refused];
        all.into_iter().find(|state| state.name() == text)
    }
}

/// The part of a wallet that a leg's money came from.
impl TextColumn for Bucket {
    fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Charged, Self::Earned];
        all.into_iter().find(|bucket| bucket_name(*bucket) == text)
    }
}

const fn bucket_name(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Charged => "CHARGED",
        Bucket::Earned => "EARNED",
    }
}

/// A refund as it is stored.
#[derive(Clone, Debug)]
struct Refund {
    id: RefundId,
    member: MemberId,
    amount: Won,
    /// Of what the member charged.
    charged: Won,
    /// Of what the member earned.
    earned: Won,
    returned_charged: Won,
    returned_earned: Won,
    /// The cash left when it was accepted.
    remain_cash: Won,
    state: RefundState,
    trade: TradeId,
    /// When the worker continues; the lease of the instance that works on it.
    next_check_at: Option<UnixMillis>,
}

/// A leg as it is stored.
#[derive(Clone, Debug)]
struct Leg {
    id: i64,
    name: LegName,
    kind: LegKind,
    bucket: Bucket,
    /// The charge that it cancels in part.
    charge: Option<ChargeId>,
    amount: Won,
    state: LegState,
    /// The last send.
    sent_at: UnixMillis,
    checks: u32,
    created_at: UnixMillis,
}

/// A refund with its legs.
#[derive(Clone, Debug)]
struct RefundInLegs {
    refund: Refund,
    legs: Vec<Leg>,
}

impl RefundInLegs {
    fn in_flight(&self) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.state.is_in_flight())
    }

    /// What of this bucket is in no leg and did not come back.
    fn unplaced(&self, bucket: Bucket) -> Result<Won, sqlx::Error> {
        let (taken, returned) = match bucket {
            Bucket::Charged => (self.refund.charged, self.refund.returned_charged),
            Bucket::Earned => (self.refund.earned, self.refund.returned_earned),
        };
        let placed = self
            .legs
            .iter()
            .filter(|leg| leg.bucket == bucket && leg.state != LegState::Refused);
        let placed = Won::checked_sum(placed.map(|leg| leg.amount)).ok_or_else(overflow)?;
        let left = taken.checked_sub(returned).ok_or_else(overflow)?;
        left.checked_sub(placed).ok_or_else(overflow)
    }

    /// The number of the next leg.
    fn next_number(&self) -> u32 {
        let last = self.legs.iter().map(|leg| leg.name.n).max();
        last.unwrap_or_default().saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legs_name_is_read_back_exactly() {
        let name = LegName {
            refund: RefundId(12),
            n: 3,
        };
        assert_eq!(name.to_string(), "refund-12-3");
        assert_eq!(LegName::parse("refund-12-3"), Some(name));
        for text in [
            "refund-12-3 ",
            " refund-12-3",
            "refund-12",
            "refund-012-3",
            "refund-12-+3",
            "refund-12-3-1",
            "Refund-12-3",
            "refund-4294967296-1",
            "",
        ] {
            assert_eq!(LegName::parse(text), None, "{text:?}");
        }
    }
}
