//! Captured money that matches nothing: another amount than the order's, an order that is not in the books, or one
//! whose member has closed the account.
//!
//! With a charge, it is given back under one idempotency key. Without, it is only held and reported: the order may
//! be another environment's.

use shared::clock::UnixMillis;
use shared::money::Won;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::Payments;
use super::charge::{ChargeId, QUERY_EVERY, repo, retry_pause};
use crate::cash::{self, Account, JournalKind, Posting};
use crate::db::row::{column, optional};
use crate::db::{Abort, DbError, Tx, defect};
use crate::gateway::{
    CancelRequest, Gateway, GatewayError, IdempotencyKey, OrderId, Payment, PaymentKey,
};

/// The reason of a cancel, as the gateway shows it.
const REASON: &str = "Not credited: another amount than the order's, or the account is closed";

/// A payment in suspense.
#[derive(Clone, Debug)]
pub(super) struct Suspense {
    id: i64,
    key: PaymentKey,
    order: OrderId,
    /// The charge whose order it pays with another amount.
    charge: Option<ChargeId>,
    captured: Won,
    canceled: Won,
    checks: u32,
    created_at: UnixMillis,
}

impl Suspense {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let stored = |error: &dyn std::fmt::Display| defect(format!("a stored id: {error}"));
        let (key, order): (String, String) =
            (row.try_get("payment_key")?, row.try_get("order_id")?);
        Ok(Self {
            id: column(row, "id")?,
            key: PaymentKey::try_from(key).map_err(|error| stored(&error))?,
            order: OrderId::try_from(order).map_err(|error| stored(&error))?,
            charge: optional(row, "charge_id")?,
            captured: column(row, "captured")?,
            canceled: column(row, "canceled")?,
            checks: column(row, "checks")?,
            created_at: column(row, "created_at")?,
        })
    }
}

/// Takes a captured payment into suspense, once, with what was given back of it.
///
/// # Errors
/// The database's.
pub(super) async fn hold_in(
    tx: &mut Tx<'_>,
    charge: Option<ChargeId>,
    payment: &Payment,
) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "insert into suspense_payment (payment_key, order_id, charge_id, captured, next_check_at, \
         created_at) values ($1, $2, $3, $4, $5, $6) on conflict (payment_key) do nothing returning id",
    )
    .bind(payment.key.as_str())
    .bind(payment.order.as_str())
    .bind(charge.map(i64::from))
    .bind(payment.total.get())
    .bind(charge.map(|_| now))
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    if let Some(row) = row {
        let id: i64 = column(&row, "id")?;
        tracing::error!(
            suspense = id,
            order = payment.order.as_str(),
            "captured money matches no order of its amount"
        );
        let postings = [
            Posting::debit(Account::PgReceivable, payment.total),
            Posting::credit(Account::Suspense, payment.total)?,
        ];
        cash::post_in(tx, JournalKind::Suspense, id, &postings).await?;
    }
    cancels_in(tx, payment).await
}

/// True if a payment is in suspense: it must not be credited as well.
///
/// # Errors
/// The database's.
pub(super) async fn is_held(tx: &mut Tx<'_>, key: &PaymentKey) -> Result<bool, sqlx::Error> {
    let row = query("select id from suspense_payment where payment_key = $1").bind(key.as_str());
    Ok(row.fetch_optional(tx.connection()).await?.is_some())
}

/// Records what was given back of a payment in suspense. Its row is the only one that the transaction locks after
/// the charge.
async fn cancels_in(tx: &mut Tx<'_>, payment: &Payment) -> Result<(), sqlx::Error> {
    let row = query("select id from suspense_payment where payment_key = $1")
        .bind(payment.key.as_str())
        .fetch_one(tx.connection())
        .await?;
    let id: i64 = column(&row, "id")?;
    let now = tx.now();
    for cancel in payment.cancels.iter().filter(|cancel| cancel.is_done()) {
        let at = cancel.canceled_at.unwrap_or(now);
        let row = query(
            "insert into gateway_cancel (transaction_key, suspense_id, amount, canceled_at, created_at) \
             values ($1, $2, $3, $4, $5) on conflict (transaction_key) do nothing returning id",
        )
        .bind(cancel.transaction_key.as_str())
        .bind(id)
        .bind(cancel.amount.get())
        .bind(at.get())
        .bind(now.get())
        .fetch_optional(tx.connection())
        .await?;
        let Some(row) = row else { continue };
        let postings = [
            Posting::debit(Account::Suspense, cancel.amount),
            Posting::credit(Account::PgReceivable, cancel.amount)?,
        ];
        let kind = JournalKind::SuspenseCancel;
        cash::post_in(tx, kind, column(&row, "id")?, &postings).await?;
        query("update suspense_payment set canceled = canceled + $2 where id = $1")
            .bind(id)
            .bind(cancel.amount.get())
            .execute(tx.connection())
            .await?;
    }
    query(
        "update suspense_payment set next_check_at = null, needs_attention = 0 \
         where id = $1 and canceled = captured",
    )
    .bind(id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives a payment in suspense back, if it is of a charge.
pub(super) async fn give_back(
    payments: &Payments,
    gateway: &dyn Gateway,
    id: i64,
    lease: UnixMillis,
) -> Result<(), DbError> {
    let Some(held) = read_suspense(payments, id).await? else {
        return Ok(());
    };
    let rest = held.captured.checked_sub(held.canceled);
    let answer = match (held.charge, rest.filter(|rest| *rest > Won::ZERO)) {
        (Some(_), Some(rest)) => gateway.cancel(&cancel_of(&held, rest)).await,
        _ => gateway.payment_of(&held.order).await,
    };
    // A replayed answer may be older than the payment.
    let answer = match answer {
        Ok(payment) => Ok(payment),
        Err(_) => gateway.payment_of(&held.order).await,
    };
    let context = (held, answer, lease);
    let settled = payments
        .parts
        .db
        .write(context, |(held, answer, lease), tx| {
            Box::pin(settle_in(held, answer, *lease, tx))
        });
    Ok(settled.await?)
}

async fn read_suspense(payments: &Payments, id: i64) -> Result<Option<Suspense>, DbError> {
    let row = query(
        "select id, payment_key, order_id, charge_id, captured, canceled, checks, created_at \
         from suspense_payment where id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *payments.parts.db.read().await?)
    .await?;
    Ok(row.as_ref().map(Suspense::read).transpose()?)
}

/// Finds out whether the gateway has captured money for an order that is not in the books.
///
/// # Errors
/// The gateway's answer says nothing for certain, or the database's.
pub(super) async fn check_stray(payments: &Payments, order: OrderId) -> Result<(), StrayError> {
    let Some(gateway) = &payments.parts.gateway else {
        return Ok(());
    };
    let payment = match gateway.payment_of(&order).await {
        Ok(payment) => payment,
        Err(GatewayError::NotFound) => return Ok(()),
        Err(error) => return Err(StrayError::Gateway(error)),
    };
    if payment.order != order || !payment.status.is_captured() {
        return Ok(());
    }
    let held = payments.parts.db.write(payment, |payment, tx| {
        Box::pin(async move {
            // Saved meanwhile: it is a charge by now.
            if repo::poke(tx, &payment.order, QUERY_EVERY).await? {
                return Ok(());
            }
            Ok(hold_in(tx, None, payment).await?)
        })
    });
    held.await.map_err(|error| StrayError::Db(error.into()))
}

/// Why an unknown order could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum StrayError {
    /// The gateway's.
    #[error("an unknown order cannot be queried: {0}")]
    Gateway(GatewayError),
    /// The database's.
    #[error(transparent)]
    Db(DbError),
}

fn cancel_of(held: &Suspense, rest: Won) -> CancelRequest {
    let key = IdempotencyKey::try_from(format!("mismatch-{}-{rest}", held.order));
    CancelRequest {
        key: held.key.clone(),
        amount: rest,
        reason: REASON.to_owned(),
        idempotency_key: key.expect("an order has visible characters only"),
    }
}

async fn settle_in(
    held: &Suspense,
    answer: &Result<Payment, GatewayError>,
    lease: UnixMillis,
    tx: &mut Tx<'_>,
) -> Result<(), Abort<std::convert::Infallible>> {
    let code = match answer {
        Ok(payment) if payment.key == held.key => {
            cancels_in(tx, payment).await?;
            "PAYMENT"
        }
        Ok(_other) => "ANOTHER_ORDER",
        Err(error) => error.code(),
    };
    let next = tx
        .now()
        .saturating_add(retry_pause(held.checks, held.created_at, tx.now()));
    query(
        "update suspense_payment set next_check_at = $3, last_code = $4 \
         where id = $1 and next_check_at = $2",
    )
    .bind(held.id)
    .bind(lease.get())
    .bind(next.get())
    .bind(code)
    .execute(tx.connection())
    .await?;
    Ok(())
}
