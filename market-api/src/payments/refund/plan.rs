//! The next leg of a refund: a cancel of the member's newest charge that can be cancelled, or a payout.

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::money::Won;

use super::balance::{self, Availability};
use super::repo::{self, NewLeg};
use super::{Leg, LegName, RefundId, RefundInLegs, RefundState, settle};
use crate::cash::Bucket;
use crate::db::{Abort, Lock, Tx, locking};
use crate::payments::charge::ChargeId;

/// A charge that another refund's leg holds is looked at again after this time.
const BUSY: Duration = Duration::from_secs(60);

/// Another transaction was first: soon again.
const RACED: Duration = Duration::from_secs(1);

/// The refund to continue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) refund: RefundId,
    pub(super) lease: UnixMillis,
}

/// Where the next leg takes its money from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Charge(ChargeId),
    Payout(Bucket),
    /// Nowhere before this time.
    Later(UnixMillis),
}

/// Commits the next leg; `None` if there is nothing to send now.
pub(super) async fn plan_in(
    plan: &Plan,
    tx: &mut Tx<'_>,
) -> Result<Option<Leg>, Abort<std::convert::Infallible>> {
    let seen = repo::by_id(tx.connection(), plan.refund).await?;
    let Some(seen) = seen else { return Ok(None) };
    let source = source_of(tx, &seen).await?;
    if let Source::Charge(id) = source {
        let text = locking!(
            tx,
            [Lock::Charge(id.get().into())],
            "select id from charge where id = $1"
        );
        let row = sqlx::query(text).bind(i64::from(id));
        row.fetch_one(tx.connection()).await?;
    }
    let refund = repo::lock(tx, plan.refund).await?;
    // Another instance works on it, or a webhook made it due again.
    let is_ours = refund.refund.next_check_at == Some(plan.lease);
    if !is_ours || refund.refund.state == RefundState::Done || refund.in_flight().is_some() {
        return Ok(None);
    }
    match source {
        Source::Charge(id) => Ok(cancel(tx, plan, &refund, id).await?),
        Source::Payout(bucket) => Ok(payout(tx, &refund, bucket).await?),
        Source::Later(at) => {
            repo::set_next_check(tx, plan.refund, plan.lease, at).await?;
            Ok(None)
        }
    }
}

/// The charged part first. While all its charges are held, the earned part goes on.
async fn source_of(tx: &mut Tx<'_>, refund: &RefundInLegs) -> Result<Source, sqlx::Error> {
    let has_earned = refund.unplaced(Bucket::Earned)? > Won::ZERO;
    if refund.unplaced(Bucket::Charged)? == Won::ZERO {
        return Ok(Source::Payout(Bucket::Earned));
    }
    let now = tx.now();
    let charges = balance::candidates(tx, refund.refund.member, refund.refund.id).await?;
    let mut later = None;
    for charge in charges {
        match charge.availability(now)? {
            Availability::Free(_) => return Ok(Source::Charge(charge.id)),
            // Worth a second: the newest charge is the likeliest to be cancelled without trouble.
            Availability::Pausing(until) => return Ok(Source::Later(until)),
            Availability::Busy => later = Some(now.saturating_add(BUSY)),
            Availability::Empty => {}
        }
    }
    Ok(match later {
        Some(_) if has_earned => Source::Payout(Bucket::Earned),
        Some(at) => Source::Later(at),
        None => Source::Payout(Bucket::Charged),
    })
}

async fn cancel(
    tx: &mut Tx<'_>,
    plan: &Plan,
    refund: &RefundInLegs,
    charge: ChargeId,
) -> Result<Option<Leg>, sqlx::Error> {
    let (now, left) = (tx.now(), balance::by_id(tx.connection(), charge).await?);
    let open = refund.unplaced(Bucket::Charged)?;
    let Availability::Free(left) = left.availability(now)? else {
        let at = now.saturating_add(RACED);
        repo::set_next_check(tx, plan.refund, plan.lease, at).await?;
        return Ok(None);
    };
    let new = NewLeg {
        name: next_name(refund),
        bucket: Bucket::Charged,
        charge: Some(charge),
        amount: left.min(open),
        is_sent: true,
    };
    let leg = repo::insert_leg(tx, &new).await?;
    balance::reserve(tx, charge, &leg).await?;
    Ok(Some(leg))
}

/// A payout of all that is unplaced of a bucket. What the member owes since the refund was accepted is not paid out:
/// it goes back to the wallet and repays that.
async fn payout(
    tx: &mut Tx<'_>,
    refund: &RefundInLegs,
    bucket: Bucket,
) -> Result<Option<Leg>, sqlx::Error> {
    let open = refund.unplaced(bucket)?;
    let owed = repo::owed(tx, refund.refund.member).await?;
    let kept = open.min(owed);
    let new = NewLeg {
        name: next_name(refund),
        bucket,
        charge: None,
        amount: if kept > Won::ZERO { kept } else { open },
        is_sent: kept == Won::ZERO,
    };
    let leg = repo::insert_leg(tx, &new).await?;
    if kept > Won::ZERO {
        settle::refuse_payout_in(tx, &refund.refund, &leg, "MEMBER_OWES").await?;
        return Ok(None);
    }
    Ok(Some(leg))
}

fn next_name(refund: &RefundInLegs) -> LegName {
    LegName {
        refund: refund.refund.id,
        n: refund.next_number(),
    }
}
