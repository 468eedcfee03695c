//! What the gateway gave back of a charge, applied to the books: legs of refunds, and cancels that are not ours
//! (an operator's at the gateway), which reverse the charge.
//!
//! Each cancel is booked once, by its transaction key, whatever reads the payment: the worker, a webhook's query, or
//! an answer that the gateway repeats.

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::event::{CashMoved, Event};
use shared::money::Won;

use super::{Leg, LegName, balance, repo, settle};
use crate::cash::{self, Account, JournalKind, Posting};
use crate::db::{Tx, defect, overflow};
use crate::gateway::{Cancel, CancelStatus};
use crate::outbox::NewEvent;
use crate::payments::charge::Charge;
use crate::trades;

/// A cancel that does not fit the books yet is looked at again after this time.
const DOES_NOT_FIT: Duration = Duration::from_secs(60);

/// The gateway has not enough left for a leg that it has not executed.
const BALANCE_GONE: &str = "BALANCE_GONE";

/// The gateway accepted a leg and gave it up later.
const ABORTED: &str = "ABORTED";

/// What [`apply_cancels_in`] leaves to its caller.
#[derive(Debug, Default)]
pub(in crate::payments) struct Applied {
    /// The next query, if something cannot be applied yet.
    pub(in crate::payments) retry_at: Option<UnixMillis>,
    /// Events to append: last in the lock order.
    pub(in crate::payments) events: Vec<NewEvent>,
}

/// Applies what the gateway gave back of a captured charge, in the charge's transaction: legs of refunds, and
/// reversals.
///
/// # Errors
/// The database's.
pub(in crate::payments) async fn apply_cancels_in(
    tx: &mut Tx<'_>,
    charge: &Charge,
    cancels: &[Cancel],
) -> Result<Applied, sqlx::Error> {
    let mut applied = Applied::default();
    if cancels.is_empty() {
        return Ok(applied);
    }
    let booked = balance::booked(tx, charge.id).await?;
    let is_new = |cancel: &&Cancel| cancel.is_done() && !booked.contains(&cancel.transaction_key);
    let mut new: Vec<&Cancel> = cancels.iter().filter(is_new).collect();
    if let Some(leg) = repo::leg_of_charge(tx, charge.id).await? {
        // The refund before the wallet, in the order of locks.
        match new.iter().position(|cancel| is_of(cancel, &leg)) {
            Some(at) => leg_done(tx, charge, &leg, new.remove(at)).await?,
            None => refuse_if_over(tx, charge, &leg, cancels).await?,
        }
    }
    for cancel in new {
        if cancel.amount < Won::new(1) {
            tracing::error!(
                charge = charge.id.get(),
                "a cancel of {} won",
                cancel.amount
            );
            continue;
        }
        let left = balance::by_id(tx.connection(), charge.id).await?.left()?;
        if left < cancel.amount {
            tracing::error!(
                charge = charge.id.get(),
                "a cancel of {} won where {left} are left",
                cancel.amount
            );
            balance::flag(tx, charge.id).await?;
            applied.retry_at = Some(tx.now().saturating_add(DOES_NOT_FIT));
            continue;
        }
        applied.events.extend(reverse(tx, charge, cancel).await?);
    }
    Ok(applied)
}

/// True if a cancel is the leg's. Another amount under its name is not.
fn is_of(cancel: &Cancel, leg: &Leg) -> bool {
    LegName::parse(&cancel.reason) == Some(leg.name) && cancel.amount == leg.amount
}

async fn leg_done(
    tx: &mut Tx<'_>,
    charge: &Charge,
    leg: &Leg,
    cancel: &Cancel,
) -> Result<(), sqlx::Error> {
    repo::lock(tx, leg.name.refund).await?;
    let booked = balance::book(tx, charge.id, Some(leg), cancel).await?;
    booked.ok_or_else(|| {
        let key = &cancel.transaction_key;
        defect(format!(
            "the gateway's transaction {key} is another charge's"
        ))
    })?;
    settle::done_in(tx, leg).await
}

/// Refuses a leg that the gateway will not execute any more.
async fn refuse_if_over(
    tx: &mut Tx<'_>,
    charge: &Charge,
    leg: &Leg,
    cancels: &[Cancel],
) -> Result<(), sqlx::Error> {
    let Some(code) = why_over(charge.amount, leg, cancels)? else {
        return Ok(());
    };
    repo::lock(tx, leg.name.refund).await?;
    settle::refuse_cancel_in(tx, leg, code).await
}

/// Why a leg in flight is over, if it is, by the payment as the gateway has it: its cancel was given up; or none has
/// its name, and less is left than the leg takes. Cancels are never undone, so that stays true, also if the leg is
/// still on its way.
fn why_over(
    captured: Won,
    leg: &Leg,
    cancels: &[Cancel],
) -> Result<Option<&'static str>, sqlx::Error> {
    let has_its_name = |cancel: &&Cancel| LegName::parse(&cancel.reason) == Some(leg.name);
    let mut own = cancels.iter().filter(has_its_name).peekable();
    if own.peek().is_some() {
        let is_given_up = own.all(|cancel| cancel.status == CancelStatus::Aborted);
        return Ok(is_given_up.then_some(ABORTED));
    }
    let done = cancels.iter().filter(|cancel| cancel.is_done());
    let with_it = Won::checked_sum(done.map(|cancel| cancel.amount).chain([leg.amount]));
    let with_it = with_it.ok_or_else(overflow)?;
    Ok((with_it > captured).then_some(BALANCE_GONE))
}

/// Takes a cancel that is not ours from the member's wallet.
async fn reverse(
    tx: &mut Tx<'_>,
    charge: &Charge,
    cancel: &Cancel,
) -> Result<Option<NewEvent>, sqlx::Error> {
    let Some(id) = balance::book(tx, charge.id, None, cancel).await? else {
        let key = &cancel.transaction_key;
        tracing::error!(
            charge = charge.id.get(),
            "transaction {key} is another payment's"
        );
        return Ok(None);
    };
    let (member, amount) = (charge.member, cancel.amount);
    let taken = cash::reverse_in(tx, member, amount).await?;
    balance::reverse(tx, charge.id, amount).await?;
    let postings = [
        Posting::debit(Account::WalletCharged(member), taken.paid.charged),
        Posting::debit(Account::WalletEarned(member), taken.paid.earned),
        Posting::debit(Account::Receivable(member), taken.owed),
        Posting::credit(Account::PgReceivable, amount)?,
    ];
    let posted = cash::post_in(tx, JournalKind::Reversal, id, &postings).await?;
    posted.ok_or_else(|| defect(format!("cancel {id} was posted before")))?;
    let trade = trades::record_refund_in(tx, member, amount).await?;
    tracing::warn!(
        charge = charge.id.get(),
        owed = taken.owed.get(),
        "{amount} won were given back at the gateway by others"
    );
    Ok(Some(NewEvent {
        event: Event::CashRefunded(CashMoved {
            trade_id: trade,
            amount,
        }),
        aggregate: trade.into(),
        members: vec![member],
    }))
}
