//! The outcomes of legs, each in its transaction: given back or paid out, refused, or unknown.

use shared::event::{CashMoved, Event};

use super::{Leg, LegKind, LegState, Refund, balance, repo};
use crate::cash::{self, Account, JournalKind, Posting};
use crate::db::{Tx, defect, overflow};
use crate::outbox::{self, NewEvent};
use crate::trades;

type Sql<T> = Result<T, sqlx::Error>;

/// A leg is paid: by a cancel, or by a payout. The refund is locked; of a cancel, the charge before.
pub(super) async fn done_in(tx: &mut Tx<'_>, leg: &Leg) -> Sql<()> {
    let from = match leg.kind {
        LegKind::Cancel => Account::PgReceivable,
        LegKind::Payout => Account::Bank,
    };
    if let Some(charge) = leg.charge {
        balance::release(tx, charge, leg, true).await?;
    }
    repo::end_leg(tx, leg.id, LegState::Done, "DONE").await?;
    let postings = [
        Posting::debit(Account::InTransit(leg.name.refund.into()), leg.amount),
        Posting::credit(from, leg.amount)?,
    ];
    let posted = cash::post_in(tx, JournalKind::RefundLeg, leg.id, &postings).await?;
    posted.ok_or_else(|| defect(format!("leg {} was posted before", leg.name)))?;
    repo::go_on(tx, leg.name.refund).await
}

/// A cancel is refused: its money stays in transit, for the next leg. The charge and the refund are locked.
pub(super) async fn refuse_cancel_in(tx: &mut Tx<'_>, leg: &Leg, code: &str) -> Sql<()> {
    tracing::info!("leg {} of {} won is refused: {code}", leg.name, leg.amount);
    if let Some(charge) = leg.charge {
        balance::release(tx, charge, leg, false).await?;
    }
    repo::end_leg(tx, leg.id, LegState::Refused, code).await?;
    repo::go_on(tx, leg.name.refund).await
}

/// A payout is refused: its money goes back to the wallet, and the refund's trade is lowered. The refund is locked.
pub(super) async fn refuse_payout_in(
    tx: &mut Tx<'_>,
    refund: &Refund,
    leg: &Leg,
    code: &str,
) -> Sql<()> {
    tracing::warn!("{} won of leg {} go back: {code}", leg.amount, leg.name);
    repo::end_leg(tx, leg.id, LegState::Refused, code).await?;
    repo::add_returned(tx, refund.id, leg.bucket, leg.amount).await?;
    repo::go_on(tx, refund.id).await?;
    trades::lower_refund_in(tx, refund.trade, leg.amount).await?;
    let repaid = cash::return_in(tx, refund.member, leg.bucket, leg.amount).await?;
    let kept = leg.amount.checked_sub(repaid).ok_or_else(overflow)?;
    let postings = [
        Posting::debit(Account::InTransit(refund.id.into()), leg.amount),
        Posting::credit(Account::Receivable(refund.member), repaid)?,
        Posting::credit(leg.bucket.account(refund.member), kept)?,
    ];
    let posted = cash::post_in(tx, JournalKind::RefundReturn, leg.id, &postings).await?;
    posted.ok_or_else(|| defect(format!("leg {} came back before", leg.name)))?;
    let event = NewEvent {
        event: Event::CashReturned(CashMoved {
            trade_id: refund.trade,
            amount: leg.amount,
        }),
        aggregate: refund.trade.into(),
        members: vec![refund.member],
    };
    outbox::append(tx, &event).await
}
