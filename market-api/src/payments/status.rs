//! What operators see of payments: whether the gateway answers, and what waits or needs attention.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sqlx::query;
use utoipa::ToSchema;

use crate::db::row::column;
use crate::db::{Db, DbError};
use crate::gateway::{GatewayError, GatewayResult};

/// The payment gateway as this instance last saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GatewayState {
    /// This server has no gateway: nothing can be charged.
    Missing,
    /// It answers, or was not called yet.
    #[default]
    Ok,
    /// Its last answer was none, or an error of its own. Charges are being verified until it is back.
    Unavailable,
    /// It refuses our key or our requests: an operator has to act.
    Misconfigured,
}

/// The gateway's state, written by payments and read by readiness. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct GatewayStatus(Arc<Mutex<GatewayState>>);

impl GatewayStatus {
    /// The state.
    #[must_use]
    pub fn get(&self) -> GatewayState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, state: GatewayState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Notes an answer of the gateway.
    pub(super) fn note<T>(&self, answer: &GatewayResult<T>) {
        let state = match answer {
            Ok(_) | Err(GatewayError::Refused(_) | GatewayError::NotFound) => GatewayState::Ok,
            Err(GatewayError::Unknown(_)) => GatewayState::Unavailable,
            Err(GatewayError::Misconfigured(_)) => GatewayState::Misconfigured,
        };
        let before = self.get();
        self.set(state);
        match state {
            GatewayState::Unavailable if before == GatewayState::Ok => {
                tracing::warn!("the payment gateway gives no answer; charges are being verified");
            }
            GatewayState::Ok if before != GatewayState::Ok => {
                tracing::info!("the payment gateway answers again");
            }
            GatewayState::Missing
            | GatewayState::Ok
            | GatewayState::Unavailable
            | GatewayState::Misconfigured => {}
        }
    }
}

/// Payments without an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaymentBacklog {
    /// Charges that are confirming or unknown.
    pub charges: i64,
    /// Charges that wait for a deposit.
    pub waiting: i64,
    /// Refunds in progress.
    pub refunds: i64,
    /// Age of the oldest unknown charge, in seconds.
    pub oldest_seconds: i64,
    /// Charges, refunds and payments in suspense that an operator has to look at.
    pub needs_attention: i64,
    /// Won in suspense.
    pub suspense: i64,
}

/// Counts payments without an outcome.
///
/// # Errors
/// The database's.
pub async fn backlog(db: &Db) -> Result<PaymentBacklog, DbError> {
    let now = db.now().get();
    let row = query(
        "select (select count(*) from charge where state in ('CONFIRMING', 'UNKNOWN') \
         and next_check_at is not null) as charges, \
         (select count(*) from charge where state = 'WAITING' and next_check_at is not null) as waiting, \
         (select count(*) from refund where state = 'OPEN' and next_check_at is not null) as refunds, \
         coalesce((select min(confirmed_at) from charge where state in ('CONFIRMING', 'UNKNOWN') \
         and next_check_at is not null), $1) as oldest, \
         (select count(*) from charge where needs_attention = 1) \
         + (select count(*) from refund where next_check_at is not null and needs_attention = 1) \
         + (select count(*) from suspense_payment where needs_attention = 1) as needs_attention, \
         cast((select coalesce(sum(captured - canceled), 0) from suspense_payment) as bigint) as suspense",
    )
    .bind(now)
    .fetch_one(&mut *db.read().await?)
    .await?;
    let oldest: i64 = column(&row, "oldest")?;
    Ok(PaymentBacklog {
        charges: column(&row, "charges")?,
        waiting: column(&row, "waiting")?,
        refunds: column(&row, "refunds")?,
        oldest_seconds: now.saturating_sub(oldest).max(0) / 1_000,
        needs_attention: column(&row, "needs_attention")?,
        suspense: column(&row, "suspense")?,
    })
}
