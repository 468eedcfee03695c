//! What the gateway says of a payment, applied to its charge in one transaction. The only path that credits,
//! whoever calls: the request, the reconciler, or an operator.

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::event::{CashMoved, Event};

use crate::cash::{self, Account, Bucket, JournalKind, Posting};
use crate::db::{Abort, DbError, Tx, defect};
use crate::gateway::{GatewayError, Payment, PaymentStatus};
use crate::outbox::{self, NewEvent};
use crate::payments::charge::repo::{self, Progress};
use crate::payments::charge::{Applied, Charge, ChargeId, ChargeState, Evidence, retry};
use crate::payments::refund::cancels::apply_cancels_in;
use crate::payments::{Payments, suspense};
use crate::{members, trades};

/// The gateway has forgotten a payment that nobody confirmed within its 30 minutes; five to spare.
const FORGOTTEN: Duration = Duration::from_secs(35 * 60);

/// The confirmation must come within 10 minutes of the customer's payment; one to spare.
const CONFIRM_TIME: Duration = Duration::from_secs(9 * 60);

/// Time between the end of a deposit's time and the query that sees it.
const DUE_MARGIN: Duration = Duration::from_secs(60);

/// The input of the transaction.
#[derive(Debug)]
struct Context {
    charge: ChargeId,
    evidence: Evidence,
    /// The time of the next query that the caller has seen: it is replaced only if it is still this.
    lease: Option<UnixMillis>,
}

/// A state to move to, and the time of the next query.
#[derive(Clone, Copy, Debug)]
struct Next {
    state: ChargeState,
    check_at: Option<UnixMillis>,
    may_confirm: bool,
}

/// Applies what the gateway said to a charge.
///
/// # Errors
/// The database's.
pub(in crate::payments) async fn apply(
    payments: &Payments,
    charge: ChargeId,
    evidence: Evidence,
    lease: Option<UnixMillis>,
) -> Result<Applied, DbError> {
    note(payments, &evidence);
    let context = Context {
        charge,
        evidence,
        lease,
    };
    let db = &payments.parts.db;
    let applied = db.write(context, |context, tx| Box::pin(apply_in(context, tx)));
    Ok(applied.await?)
}

fn note(payments: &Payments, evidence: &Evidence) {
    let (question, answer) = match evidence {
        Evidence::Confirmed(answer) => ("confirm", answer),
        Evidence::ConfirmedAgain(answer) => ("confirm_again", answer),
        Evidence::Queried(answer) => ("query", answer),
    };
    payments.note_call(question, answer);
}

async fn apply_in(
    context: &Context,
    tx: &mut Tx<'_>,
) -> Result<Applied, Abort<std::convert::Infallible>> {
    let charge = repo::lock(tx, context.charge).await?;
    let (answer, is_first) = match &context.evidence {
        Evidence::Confirmed(answer) => (answer, true),
        Evidence::ConfirmedAgain(answer) | Evidence::Queried(answer) => (answer, false),
    };
    let next = match answer {
        Ok(payment) if payment.order != charge.order => {
            unknown(tx, &charge, "ANOTHER_ORDER").await?
        }
        Ok(payment) => of_payment(tx, &charge, payment).await?,
        Err(error) => of_error(tx, &charge, error, is_first).await?,
    };
    repo::set_next_check(tx, charge.id, context.lease, next.check_at).await?;
    Ok(Applied {
        state: next.state,
        may_confirm: next.may_confirm,
    })
}

async fn of_payment(
    tx: &mut Tx<'_>,
    charge: &Charge,
    payment: &Payment,
) -> Result<Next, sqlx::Error> {
    match payment.status {
        status if status.is_captured() => of_capture(tx, charge, payment).await,
        // Final at the gateway and ours: nothing moves back.
        _ if matches!(charge.state, ChargeState::Captured | ChargeState::Mismatch) => {
            Ok(done(charge.state))
        }
        PaymentStatus::WaitingForDeposit => waiting(tx, charge, payment).await,
        PaymentStatus::Aborted => {
            let code = payment.failure.as_deref().unwrap_or("ABORTED");
            end(tx, charge, ChargeState::Failed, code).await
        }
        PaymentStatus::Expired => end(tx, charge, ChargeState::Expired, "EXPIRED").await,
        PaymentStatus::InProgress => {
            let mut next = unknown(tx, charge, "IN_PROGRESS").await?;
            let since = charge.confirmed_at.map(|at| tx.now().saturating_since(at));
            let in_time = since.is_some_and(|since| since < CONFIRM_TIME);
            next.may_confirm = charge.state.is_open() && in_time;
            Ok(next)
        }
        PaymentStatus::Ready => unknown(tx, charge, "READY").await,
        PaymentStatus::Other => unknown(tx, charge, "OTHER").await,
        PaymentStatus::Done | PaymentStatus::Canceled | PaymentStatus::PartialCanceled => {
            unreachable!("captured")
        }
    }
}

/// The gateway has taken the money.
async fn of_capture(
    tx: &mut Tx<'_>,
    charge: &Charge,
    payment: &Payment,
) -> Result<Next, sqlx::Error> {
    if charge.state == ChargeState::Mismatch || payment.total != charge.amount {
        return mismatch(tx, charge, payment).await;
    }
    let is_credited = charge.state == ChargeState::Captured;
    if !is_credited && !can_be_credited(tx, charge).await? {
        suspense::hold_in(tx, Some(charge.id), payment).await?;
        set(
            tx,
            charge,
            ChargeState::Mismatch,
            Some("ACCOUNT_CLOSED"),
            false,
        )
        .await?;
        return Ok(done(ChargeState::Mismatch));
    }
    if is_credited && charge.key.as_ref() != Some(&payment.key) {
        // A second payment of the order, which nothing of ours confirmed.
        suspense::hold_in(tx, None, payment).await?;
        return Ok(done(ChargeState::Captured));
    }
    if !is_credited && suspense::is_held(tx, &payment.key).await? {
        // Captured before the order was saved here: perhaps for another environment, which has credited it.
        set(
            tx,
            charge,
            ChargeState::Mismatch,
            Some("IN_SUSPENSE"),
            false,
        )
        .await?;
        return Ok(done(ChargeState::Mismatch));
    }
    let mut events = Vec::new();
    if !is_credited {
        events.push(credit(tx, charge, payment).await?);
    }
    let applied = apply_cancels_in(tx, charge, &payment.cancels).await?;
    events.extend(applied.events);
    outbox::append_all(tx, &events).await?;
    Ok(Next {
        check_at: applied.retry_at,
        ..done(ChargeState::Captured)
    })
}

/// False if the member has closed the account: the money is given back. The lock orders this and the closing, which
/// is refused while a charge is open or cash is left.
async fn can_be_credited(tx: &mut Tx<'_>, charge: &Charge) -> Result<bool, sqlx::Error> {
    cash::lock_in(tx, charge.member).await?;
    members::is_open_in(tx, charge.member).await
}

/// Credits the member: trade, wallet, journal. Returns the event to append.
async fn credit(
    tx: &mut Tx<'_>,
    charge: &Charge,
    payment: &Payment,
) -> Result<NewEvent, sqlx::Error> {
    let (member, amount) = (charge.member, charge.amount);
    cash::add_in(tx, member, Bucket::Charged, amount).await?;
    let trade = trades::record_charge_in(tx, member, amount).await?;
    let postings = [
        Posting::debit(Account::PgReceivable, amount),
        Posting::credit(Account::WalletCharged(member), amount)?,
    ];
    let posted = cash::post_in(tx, JournalKind::Charge, charge.id.into(), &postings).await?;
    posted.ok_or_else(|| defect(format!("charge {} was credited before", charge.order)))?;
    repo::capture(tx, charge.id, payment, trade).await?;
    Ok(NewEvent {
        event: Event::CashCharged(CashMoved {
            trade_id: trade,
            amount,
        }),
        aggregate: trade.into(),
        members: vec![member],
    })
}

/// Another amount than the order's: into suspense, to be given back. A charge that was credited stays so.
async fn mismatch(
    tx: &mut Tx<'_>,
    charge: &Charge,
    payment: &Payment,
) -> Result<Next, sqlx::Error> {
    if charge.state == ChargeState::Captured {
        tracing::error!(
            charge = charge.id.get(),
            "the gateway changed a captured amount"
        );
        set(tx, charge, ChargeState::Captured, Some("AMOUNT"), true).await?;
        return Ok(done(ChargeState::Captured));
    }
    // The payment in suspense has the mark, until it is given back; the state is for ever.
    suspense::hold_in(tx, Some(charge.id), payment).await?;
    set(tx, charge, ChargeState::Mismatch, Some("AMOUNT"), false).await?;
    Ok(done(ChargeState::Mismatch))
}

async fn waiting(tx: &mut Tx<'_>, charge: &Charge, payment: &Payment) -> Result<Next, sqlx::Error> {
    if charge.state == ChargeState::Created {
        return Ok(done(ChargeState::Created));
    }
    let progress = Progress {
        state: ChargeState::Waiting,
        due_at: payment.due_at,
        code: Some("WAITING_FOR_DEPOSIT"),
        needs_attention: false,
    };
    repo::set_state(tx, charge.id, progress).await?;
    // A deposit is reported by a webhook; should that be lost, an hourly query sees it.
    let hourly = tx.now().saturating_add(Duration::from_secs(60 * 60));
    let due = payment.due_at.map(|due| due.saturating_add(DUE_MARGIN));
    let due = due.filter(|due| *due > tx.now());
    Ok(Next {
        state: ChargeState::Waiting,
        check_at: Some(due.map_or(hourly, |due| due.min(hourly))),
        may_confirm: false,
    })
}

async fn of_error(
    tx: &mut Tx<'_>,
    charge: &Charge,
    error: &GatewayError,
    is_first: bool,
) -> Result<Next, sqlx::Error> {
    if !charge.state.is_open() {
        return Ok(of_notified(tx, charge, error));
    }
    match error {
        GatewayError::Refused(code) if is_first => {
            end(tx, charge, ChargeState::Failed, code.as_str()).await
        }
        GatewayError::NotFound if is_forgotten(charge, tx.now()) => {
            end(tx, charge, ChargeState::Expired, error.code()).await
        }
        GatewayError::Refused(_)
        | GatewayError::NotFound
        | GatewayError::Misconfigured(_)
        | GatewayError::Unknown(_) => unknown(tx, charge, error.code()).await,
    }
}

/// A charge that is not open is queried because a webhook named it: until the gateway answers, since the webhook may
/// report a cancel or a late capture, and is not sent again.
fn of_notified(tx: &Tx<'_>, charge: &Charge, error: &GatewayError) -> Next {
    let (now, begun) = (tx.now(), charge.confirmed_at.unwrap_or(charge.created_at));
    let check_at = match error {
        GatewayError::NotFound | GatewayError::Refused(_) => None,
        GatewayError::Misconfigured(_) | GatewayError::Unknown(_) => {
            Some(now.saturating_add(retry::pause(charge.checks, begun, now)))
        }
    };
    Next {
        check_at,
        ..done(charge.state)
    }
}

fn is_forgotten(charge: &Charge, now: UnixMillis) -> bool {
    let begun = charge.confirmed_at.unwrap_or(charge.created_at);
    now.saturating_since(begun) >= FORGOTTEN
}

/// Nothing certain: the charge stays open and is queried again.
async fn unknown(tx: &mut Tx<'_>, charge: &Charge, code: &str) -> Result<Next, sqlx::Error> {
    let state = match charge.state {
        ChargeState::Confirming | ChargeState::Unknown => ChargeState::Unknown,
        ChargeState::Waiting => ChargeState::Waiting,
        ChargeState::Created
        | ChargeState::Captured
        | ChargeState::Failed
        | ChargeState::Expired
        | ChargeState::Mismatch => return Ok(done(charge.state)),
    };
    let (now, begun) = (tx.now(), charge.confirmed_at.unwrap_or(charge.created_at));
    let needs_attention = retry::needs_attention(begun, now);
    set(tx, charge, state, Some(code), needs_attention).await?;
    Ok(Next {
        state,
        check_at: Some(now.saturating_add(retry::pause(charge.checks, begun, now))),
        may_confirm: false,
    })
}

/// The gateway has nothing captured and will not: the charge ends. One that was never confirmed stays an order.
async fn end(
    tx: &mut Tx<'_>,
    charge: &Charge,
    state: ChargeState,
    code: &str,
) -> Result<Next, sqlx::Error> {
    if !charge.state.is_open() {
        return Ok(done(charge.state));
    }
    set(tx, charge, state, Some(code), false).await?;
    Ok(done(state))
}

async fn set(
    tx: &mut Tx<'_>,
    charge: &Charge,
    state: ChargeState,
    code: Option<&str>,
    needs_attention: bool,
) -> Result<(), sqlx::Error> {
    let progress = Progress {
        state,
        due_at: None,
        code,
        needs_attention,
    };
    repo::set_state(tx, charge.id, progress).await
}

const fn done(state: ChargeState) -> Next {
    Next {
        state,
        check_at: None,
        may_confirm: false,
    }
}
