//! Confirmation of a payment: the request that begins it calls the gateway, all others wait for it.

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::money::Won;
use tokio::time::{sleep, timeout};

use super::apply::apply;
use super::{ChargeAnswer, ChargeError, ChargeOrder};
use crate::cash;
use crate::db::{Abort, DbError, Tx, WriteError};
use crate::gateway::{ConfirmRequest, Gateway, IdempotencyKey, OrderId};
use crate::members;
use crate::payments::Payments;
use crate::payments::charge::{Charge, ChargeId, ChargeState, Evidence, repo};

/// Time that a client waits for the gateway; then the answer is "being verified".
const WAIT_MAX: Duration = Duration::from_secs(8);

/// Pause between two reads of a charge that another request confirms.
const READ_EVERY: Duration = Duration::from_millis(200);

/// The reconciler takes over a confirmation whose process has ended after this time. Longer than the gateway's
/// deadline.
const TAKE_OVER: Duration = Duration::from_secs(30);

/// What a request finds.
#[derive(Debug)]
enum Begun {
    /// It begins the confirmation.
    Now { id: ChargeId, lease: UnixMillis },
    /// Another one has.
    Before(Charge),
}

/// See [`Payments::charge`].
pub(super) async fn charge(
    payments: &Payments,
    order: ChargeOrder,
) -> Result<ChargeAnswer, ChargeError> {
    let Some(gateway) = payments.parts.gateway.clone() else {
        return Err(ChargeError::NoGateway);
    };
    let permit = payments.confirms.clone().try_acquire_owned();
    let permit = permit.map_err(|_full| ChargeError::Busy)?;
    let begun = payments
        .parts
        .db
        .write(order.clone(), |order, tx| Box::pin(begin_in(order, tx)));
    let (id, lease) = match begun.await.map_err(WriteError::into_domain)? {
        Begun::Now { id, lease } => (id, lease),
        Begun::Before(charge) => {
            drop(permit);
            let outcome = timeout(WAIT_MAX, wait(payments, charge)).await;
            return outcome.unwrap_or(Ok(ChargeAnswer::BeingVerified));
        }
    };
    let (own, amount) = (payments.clone(), order.amount);
    // A client that leaves does not stop it.
    let confirming = payments.parts.drain.spawn("charge", async move {
        let _permit = permit;
        let answer = gateway.confirm(&request(&order)).await;
        let evidence = Evidence::Confirmed(answer);
        apply(&own, id, evidence, Some(lease)).await
    });
    // Without an outcome the money may be captured: the client must not pay again.
    match timeout(WAIT_MAX, confirming).await {
        Ok(Ok(Ok(applied))) => {
            let outcome = outcome_of(applied.state, id, amount);
            outcome.unwrap_or(Ok(ChargeAnswer::BeingVerified))
        }
        Ok(Ok(Err(error))) => {
            tracing::error!(charge = id.get(), "an answer is not stored: {error}");
            Ok(ChargeAnswer::BeingVerified)
        }
        Ok(Err(_panicked)) => Ok(ChargeAnswer::BeingVerified),
        Err(_elapsed) => Ok(ChargeAnswer::BeingVerified),
    }
}

/// Waits until a charge that another request confirms has an outcome.
async fn wait(payments: &Payments, mut charge: Charge) -> Result<ChargeAnswer, ChargeError> {
    let permit = payments.waiters.try_acquire();
    loop {
        if let Some(answer) = outcome_of(charge.state, charge.id, charge.amount) {
            return answer;
        }
        // A deposit may take days.
        let is_waiting = charge.state == ChargeState::Waiting;
        if is_waiting || permit.is_err() {
            return Ok(ChargeAnswer::BeingVerified);
        }
        sleep(READ_EVERY).await;
        charge = read_charge(payments, charge.id).await?;
    }
}

async fn read_charge(payments: &Payments, id: ChargeId) -> Result<Charge, DbError> {
    let charge = repo::by_id(&mut *payments.parts.db.read().await?, id).await?;
    charge.ok_or_else(|| DbError::Defect(format!("charge {} is gone", id.get())))
}

/// Repeats a confirmation under its key.
pub(in crate::payments) async fn confirm_again(
    payments: &Payments,
    gateway: &dyn Gateway,
    charge: &Charge,
    lease: UnixMillis,
) -> Result<(), DbError> {
    let Some(key) = charge.key.clone() else {
        return Ok(());
    };
    let order = ChargeOrder {
        member: charge.member,
        key,
        order: charge.order.clone(),
        amount: charge.amount,
    };
    let answer = gateway.confirm(&request(&order)).await;
    let evidence = Evidence::ConfirmedAgain(answer);
    apply(payments, charge.id, evidence, Some(lease)).await?;
    Ok(())
}

/// The answer for a charge in this state; `None` while its outcome is unknown.
fn outcome_of(
    state: ChargeState,
    id: ChargeId,
    amount: Won,
) -> Option<Result<ChargeAnswer, ChargeError>> {
    match state {
        ChargeState::Captured => Some(Ok(ChargeAnswer::Captured { id, amount })),
        ChargeState::Failed | ChargeState::Expired | ChargeState::Mismatch => {
            Some(Err(ChargeError::Declined))
        }
        ChargeState::Created
        | ChargeState::Confirming
        | ChargeState::Unknown
        | ChargeState::Waiting => None,
    }
}

fn request(order: &ChargeOrder) -> ConfirmRequest {
    ConfirmRequest {
        key: order.key.clone(),
        order: order.order.clone(),
        amount: order.amount,
        idempotency_key: key_of(&order.order),
    }
}

/// The same for every confirmation of an order: the gateway executes one.
fn key_of(order: &OrderId) -> IdempotencyKey {
    let key = IdempotencyKey::try_from(format!("charge-{order}"));
    key.expect("an order has visible characters only")
}

async fn begin_in(order: &ChargeOrder, tx: &mut Tx<'_>) -> Result<Begun, Abort<ChargeError>> {
    let charge = repo::by_order(tx.connection(), &order.order).await?;
    let charge = charge.filter(|it| it.member == order.member && it.amount == order.amount);
    let charge = charge.ok_or(Abort::Refused(ChargeError::Mismatch))?;
    if charge.state != ChargeState::Created {
        return Ok(Begun::Before(charge));
    }
    if !repo::claim_key(tx, &order.key, charge.id).await? {
        return Err(Abort::Refused(ChargeError::Declined));
    }
    let lease = tx.now().saturating_add(TAKE_OVER);
    if repo::begin(tx, charge.id, &order.key, order.amount, lease).await? {
        // An account closes under the wallet's lock: either it sees this charge, or this sees it closed.
        cash::lock_in(tx, order.member).await?;
        if !members::is_open_in(tx, order.member).await? {
            return Err(Abort::Refused(ChargeError::Declined));
        }
        return Ok(Begun::Now {
            id: charge.id,
            lease,
        });
    }
    // Another request has begun it, or replaced the amount, since the first statement.
    let charge = repo::by_order(tx.connection(), &order.order).await?;
    let charge = charge.filter(|it| it.amount == order.amount && it.state != ChargeState::Created);
    charge
        .map(Begun::Before)
        .ok_or(Abort::Refused(ChargeError::Mismatch))
}
