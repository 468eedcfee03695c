//! The worker of refunds: one step of a refund that is due. The gateway and the payout provider are called outside
//! of transactions.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::UnixMillis;

use super::plan::{self, Plan};
use super::{Leg, LegKind, LegName, RefundId, RefundInLegs, balance, repo, settle};
use crate::db::{Abort, Db, DbError, Lock, Tx, defect, locking};
use crate::gateway::{CancelRequest, Gateway, GatewayError, IdempotencyKey, Payment};
use crate::payments::Payments;
use crate::payments::charge::{Evidence, retry_pause};
use crate::payouts::{PayoutRequest, PayoutStatus, Payouts};

/// A cancel that the gateway does not show is sent again after this time.
const RESEND_AFTER: Duration = Duration::from_secs(60);

/// A cancel is not sent again after this time: the gateway keeps idempotency keys for 15 days. A leg whose outcome is
/// unknown then is for operators.
const RESEND_UNTIL: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The provider refuses a payout that arrives later.
const PAYOUT_VALID: Duration = Duration::from_secs(10 * 60);

/// A payout that the provider does not have so long after the end of its validity was never accepted.
const PAYOUT_LOST: Duration = Duration::from_secs(25 * 60);

/// What an answer says of a leg.
#[derive(Clone, Debug)]
enum Outcome {
    Paid,
    Refused(String),
    Unknown(String),
}

/// The input of a transaction.
#[derive(Clone, Debug)]
struct Settle {
    leg: Leg,
    outcome: Outcome,
    lease: UnixMillis,
}

/// Works on one refund, while it holds the refund's lease.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    payments: &'a Payments,
    gateway: Arc<dyn Gateway>,
    payouts: Arc<dyn Payouts>,
    lease: UnixMillis,
}

impl<'a> Worker<'a> {
    /// A worker, if this server has a gateway and a payout provider.
    pub(super) fn of(payments: &'a Payments, lease: UnixMillis) -> Option<Self> {
        Some(Self {
            payments,
            gateway: payments.parts.gateway.clone()?,
            payouts: payments.parts.payouts.clone()?,
            lease,
        })
    }

    /// Sends the next leg, or finds out about the one in flight.
    pub(super) async fn advance(&self, id: RefundId) -> Result<(), DbError> {
        let refund = repo::by_id(&mut *self.db().read().await?, id).await?;
        let Some(refund) = refund else { return Ok(()) };
        if let Some(leg) = refund.in_flight() {
            return match leg.kind {
                LegKind::Cancel => self.query_cancel(leg).await,
                LegKind::Payout => self.query_payout(leg).await,
            };
        }
        let plan = Plan {
            refund: id,
            lease: self.lease,
        };
        let leg = self
            .db()
            .write(plan, |plan, tx| Box::pin(plan::plan_in(plan, tx)));
        match leg.await? {
            Some(leg) if leg.kind == LegKind::Cancel => self.send_cancel(&leg).await,
            Some(leg) => self.send_payout(&refund, &leg).await,
            None => Ok(()),
        }
    }

    const fn db(&self) -> &Db {
        &self.payments.parts.db
    }

    async fn send_cancel(&self, leg: &Leg) -> Result<(), DbError> {
        let charge = self.balance_of(leg).await?;
        let request = CancelRequest {
            key: charge.key,
            amount: leg.amount,
            reason: leg.name.to_string(),
            idempotency_key: key_of(leg.name),
        };
        let answer = self.gateway.cancel(&request).await;
        self.payments.note_call("cancel", &answer);
        let outcome = match answer {
            Ok(payment) => match self.is_open_after(leg, payment).await? {
                true => Outcome::Unknown("NOT_THERE".to_owned()),
                false => return Ok(()),
            },
            Err(GatewayError::Refused(code)) => Outcome::Refused(code.as_str().to_owned()),
            Err(error) => Outcome::Unknown(error.code().to_owned()),
        };
        self.settle(leg, outcome).await
    }

    /// Reads the payment of a cancel in flight, and sends the cancel again if the gateway does not have it.
    async fn query_cancel(&self, leg: &Leg) -> Result<(), DbError> {
        let charge = self.balance_of(leg).await?;
        let answer = self.gateway.payment_of(&charge.order).await;
        self.payments.note_call("query", &answer);
        let payment = match answer {
            Ok(payment) => payment,
            Err(error) => {
                let outcome = Outcome::Unknown(error.code().to_owned());
                return self.settle(leg, outcome).await;
            }
        };
        let is_there = payment
            .cancels
            .iter()
            .any(|cancel| LegName::parse(&cancel.reason) == Some(leg.name));
        if !self.is_open_after(leg, payment).await? {
            return Ok(());
        }
        let now = self.db().now();
        let may_resend = now.saturating_since(leg.sent_at) >= RESEND_AFTER
            && now.saturating_since(leg.created_at) < RESEND_UNTIL;
        if is_there || !may_resend {
            let outcome = Outcome::Unknown("NOT_THERE".to_owned());
            return self.settle(leg, outcome).await;
        }
        let again = self.db().write(leg.clone(), |leg, tx| {
            Box::pin(async move { resend_in(leg, tx).await })
        });
        match again.await? {
            true => self.send_cancel(leg).await,
            false => Ok(()),
        }
    }

    /// Applies the gateway's view of a payment; true if the leg is in flight even so.
    async fn is_open_after(&self, leg: &Leg, payment: Payment) -> Result<bool, DbError> {
        if let Some(charge) = leg.charge {
            let evidence = Evidence::Queried(Ok(payment));
            self.payments.apply(charge, evidence, None).await?;
        }
        let seen = repo::leg(&mut *self.db().read().await?, leg.id).await?;
        Ok(seen.state.is_in_flight())
    }

    async fn send_payout(&self, refund: &RefundInLegs, leg: &Leg) -> Result<(), DbError> {
        let request = PayoutRequest {
            reference: leg.name.to_string(),
            member: refund.refund.member,
            amount: leg.amount,
            valid_until: leg.sent_at.saturating_add(PAYOUT_VALID),
        };
        let outcome = match self.payouts.send(&request).await {
            Ok(status) => of_payout(status),
            Err(_unknown) => Outcome::Unknown("UNKNOWN".to_owned()),
        };
        self.settle(leg, outcome).await
    }

    /// Reads the state of a payout in flight. It is never sent again.
    async fn query_payout(&self, leg: &Leg) -> Result<(), DbError> {
        // Before the call: the answer is at least as new.
        let now = self.db().now();
        let lost_at = leg.sent_at.saturating_add(PAYOUT_VALID + PAYOUT_LOST);
        let outcome = match self.payouts.find(&leg.name.to_string()).await {
            Ok(Some(status)) => of_payout(status),
            Ok(None) if now > lost_at => Outcome::Refused("NEVER_ACCEPTED".to_owned()),
            Ok(None) => Outcome::Unknown("NOT_FOUND".to_owned()),
            Err(_unknown) => Outcome::Unknown("UNKNOWN".to_owned()),
        };
        self.settle(leg, outcome).await
    }

    async fn settle(&self, leg: &Leg, outcome: Outcome) -> Result<(), DbError> {
        let context = Settle {
            leg: leg.clone(),
            outcome,
            lease: self.lease,
        };
        let settled = self
            .db()
            .write(context, |context, tx| Box::pin(settle_in(context, tx)));
        Ok(settled.await?)
    }

    async fn balance_of(&self, leg: &Leg) -> Result<balance::Balance, DbError> {
        let charge = leg.charge.ok_or(sqlx::Error::RowNotFound)?;
        Ok(balance::by_id(&mut *self.db().read().await?, charge).await?)
    }
}

/// The same for every send of a leg: the gateway executes one.
fn key_of(leg: LegName) -> IdempotencyKey {
    let key = IdempotencyKey::try_from(leg.to_string());
    key.expect("a leg's name has visible characters only")
}

fn of_payout(status: PayoutStatus) -> Outcome {
    match status {
        PayoutStatus::Paid => Outcome::Paid,
        PayoutStatus::Refused(code) => Outcome::Refused(code.as_str().to_owned()),
        PayoutStatus::Accepted => Outcome::Unknown("ACCEPTED".to_owned()),
    }
}

async fn lock_charge(tx: &mut Tx<'_>, leg: &Leg) -> Result<(), sqlx::Error> {
    let Some(charge) = leg.charge else {
        return Ok(());
    };
    let text = locking!(
        tx,
        [Lock::Charge(charge.get().into())],
        "select id from charge where id = $1"
    );
    let row = sqlx::query(text).bind(i64::from(charge));
    row.fetch_one(tx.connection()).await?;
    Ok(())
}

async fn settle_in(
    context: &Settle,
    tx: &mut Tx<'_>,
) -> Result<(), Abort<std::convert::Infallible>> {
    lock_charge(tx, &context.leg).await?;
    let refund = repo::lock(tx, context.leg.name.refund).await?;
    // As it is now: a webhook's query may have been first.
    let leg = refund.legs.iter().find(|leg| leg.id == context.leg.id);
    let leg = leg.ok_or_else(|| defect(format!("leg {} is gone", context.leg.name)))?;
    if !leg.state.is_in_flight() {
        return Ok(());
    }
    let refund = &refund.refund;
    match (&context.outcome, leg.kind) {
        (Outcome::Paid, LegKind::Payout) => settle::done_in(tx, leg).await?,
        (Outcome::Refused(code), LegKind::Payout) => {
            settle::refuse_payout_in(tx, refund, leg, code).await?;
        }
        (Outcome::Refused(code), LegKind::Cancel) => {
            settle::refuse_cancel_in(tx, leg, code).await?;
        }
        // Only the gateway's view of the payment says that a cancel is done.
        (Outcome::Paid, LegKind::Cancel) => {
            return Err(defect(format!("cancel {} is not in a payment", leg.name)).into());
        }
        (Outcome::Unknown(code), LegKind::Cancel | LegKind::Payout) => {
            let now = tx.now();
            repo::leg_unknown(tx, leg.id, code).await?;
            if now.saturating_since(leg.created_at) >= RESEND_UNTIL {
                tracing::error!("the outcome of leg {} is unknown for long", leg.name);
                repo::flag(tx, refund.id).await?;
            }
            let next = now.saturating_add(retry_pause(leg.checks, leg.created_at, now));
            repo::set_next_check(tx, refund.id, context.lease, next).await?;
        }
    }
    Ok(())
}

/// False if the leg has an outcome by now.
async fn resend_in(leg: &Leg, tx: &mut Tx<'_>) -> Result<bool, Abort<std::convert::Infallible>> {
    let refund = repo::lock(tx, leg.name.refund).await?;
    let seen = refund.legs.iter().find(|seen| seen.id == leg.id);
    let is_open = seen.is_some_and(|seen| seen.state.is_in_flight() && seen.sent_at == leg.sent_at);
    if is_open {
        repo::resend_leg(tx, leg.id).await?;
    }
    Ok(is_open)
}
