//! Acceptance of a refund: the cash leaves the wallet in one transaction. Nothing waits for the gateway.

use std::time::Duration;

use shared::event::{CashMoved, Event};

use super::order::{RefundAnswer, RefundError, RefundOrder};
use super::repo::{self, NewRefund};
use crate::cash::{self, Account, JournalKind, Posting};
use crate::db::{Abort, Tx, defect};
use crate::outbox::{self, NewEvent};
use crate::trades;

/// Bound of a refund in won: that of a wallet's bucket.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// Refunds of a member within [`REFUNDS_TIME`]: each costs the gateway some cancels.
const REFUNDS_MAX: i64 = 50;

/// See [`REFUNDS_MAX`].
const REFUNDS_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes the cash from the wallet, with the refund's row, trade and event. The same request again gets the first
/// answer.
pub(super) async fn accept_in(
    order: &RefundOrder,
    tx: &mut Tx<'_>,
) -> Result<RefundAnswer, Abort<RefundError>> {
    // Requests of one member wait for each other here, so the next statement sees an earlier one.
    cash::lock_in(tx, order.member).await?;
    if let Some(first) = repo::by_request(tx, order.member, order.request.as_str()).await? {
        return match first.amount == order.amount {
            true => Ok(RefundAnswer {
                amount: first.amount,
                remain: first.remain_cash,
            }),
            false => Err(Abort::Refused(RefundError::Repeated)),
        };
    }
    if !(1..=AMOUNT_MAX).contains(&order.amount.get()) {
        return Err(Abort::Refused(RefundError::Amount));
    }
    let since = tx.now().saturating_sub(REFUNDS_TIME);
    if repo::count_since(tx, order.member, since, REFUNDS_MAX).await? >= REFUNDS_MAX {
        return Err(Abort::Refused(RefundError::TooMany));
    }
    let taken = cash::refund_in(tx, order.member, order.amount).await;
    let (paid, remain) = taken.map_err(Abort::widen)?;
    let trade = trades::record_refund_in(tx, order.member, order.amount).await?;
    let new = NewRefund {
        order,
        paid,
        remain,
        trade,
    };
    let refund = repo::insert(tx, &new).await?;
    let postings = [
        Posting::debit(Account::WalletCharged(order.member), paid.charged),
        Posting::debit(Account::WalletEarned(order.member), paid.earned),
        Posting::credit(Account::InTransit(refund.into()), order.amount)?,
    ];
    let posted = cash::post_in(tx, JournalKind::Refund, refund.into(), &postings).await?;
    posted.ok_or_else(|| defect(format!("refund {} was posted before", refund.get())))?;
    let event = NewEvent {
        event: Event::CashRefunded(CashMoved {
            trade_id: trade,
            amount: order.amount,
        }),
        aggregate: trade.into(),
        members: vec![order.member],
    };
    outbox::append(tx, &event).await?;
    Ok(RefundAnswer {
        amount: order.amount,
        remain,
    })
}
