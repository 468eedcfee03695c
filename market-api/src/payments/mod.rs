//! Payments: charges of cash through the payment gateway, and refunds. Owns `charge`, `payment_key`, `refund`,
//! `refund_leg`, `suspense_payment`, `gateway_cancel`, `webhook` and `gateway_difference`.
//!
//! ```text
//! save-amount ─► charge (tx: CONFIRMING) ─► gateway ─► apply (tx: credited, failed, or unknown)
//! webhook ─► due ─┐
//! next_check_at ──┴─► reconciler ─► gateway's view of the order ─► apply
//! ```
//!
//! The gateway is called outside of transactions, and an answer that is not certain is a state of its own:
//! UNKNOWN, until the gateway's view of the order says more. One function credits (`capture::apply`), whoever
//! calls it (`money.md`, "Charge").
//!
//! What this module does not do: change wallets or insert trades by itself; `cash` and `trades` do.

mod capture;
mod charge;
mod compare;
mod http;
pub mod operate;
mod receipt;
mod reconcile;
mod refund;
mod status;
mod suspense;
mod webhook;
mod work;

use std::fmt;
use std::sync::Arc;

use shared::drain::Drain;
use tokio::sync::Semaphore;

use crate::db::{Db, DbError};
use crate::gateway::{Gateway, GatewayError, GatewayResult, Payment};
use crate::metrics::Metrics;
use crate::payouts::Payouts;
use crate::schedule::Worker;
use reconcile::Reconciler;

pub use capture::{ChargeAnswer, ChargeError, ChargeOrder};
pub use charge::{Charge, ChargeId, ChargeState};
pub use compare::{COMPARISON, Differences, differences, next_night};
pub use http::{WebhookPath, routes};
pub use receipt::{ChargeRecord, LegRecord, RefundRecord, charge_of, refund_of};
pub use refund::{
    RefundAnswer, RefundError, RefundId, RefundOrder, RefundState, RefundSummary, RequestId,
};
pub use status::{GatewayState, GatewayStatus, PaymentBacklog, backlog};
pub use webhook::forget_in;

/// Confirmations in flight on this instance: each may take as long as the gateway's deadline.
const CONFIRMS_MAX: usize = 64;

/// Requests of this instance that wait for a charge another request confirms. Each reads its row a few times a
/// second.
const WAITERS_MAX: usize = 256;

/// The id that a page begins below.
fn below_of(cursor: Option<u64>) -> i64 {
    let below = cursor.and_then(|id| i64::try_from(id).ok());
    below.unwrap_or(i64::MAX)
}

/// What payments are made of.
#[derive(Clone, Debug)]
pub struct PaymentsParts {
    /// The database.
    pub db: Db,
    /// The gateway; without one, nothing can be charged.
    pub gateway: Option<Arc<dyn Gateway>>,
    /// The payout provider; without one, earned cash cannot be refunded.
    pub payouts: Option<Arc<dyn Payouts>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where tasks run: a request that is cancelled does not cancel its payment.
    pub drain: Drain,
}

/// Payments. Clones share one state.
#[derive(Clone)]
pub struct Payments {
    parts: PaymentsParts,
    gateway_status: GatewayStatus,
    confirms: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
}

impl fmt::Debug for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payments")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Payments {
    /// Payments of these parts. No task runs before [`Self::start`].
    #[must_use]
    pub fn new(parts: PaymentsParts) -> Self {
        let gateway_status = GatewayStatus::default();
        if parts.gateway.is_none() {
            gateway_status.set(GatewayState::Missing);
        }
        Self {
            parts,
            gateway_status,
            confirms: Arc::new(Semaphore::new(CONFIRMS_MAX)),
            waiters: Arc::new(Semaphore::new(WAITERS_MAX)),
        }
    }

    /// The gateway's state, for readiness.
    #[must_use]
    pub fn gateway_status(&self) -> GatewayStatus {
        self.gateway_status.clone()
    }

    /// Counts a call of the gateway, and notes whether it answers.
    fn note_call(&self, question: &str, answer: &GatewayResult<Payment>) {
        let label = match answer {
            Ok(_) => "payment",
            Err(GatewayError::Refused(_)) => "refused",
            Err(GatewayError::NotFound) => "not_found",
            Err(GatewayError::Misconfigured(_)) => "misconfigured",
            Err(GatewayError::Unknown(_)) => "unknown",
        };
        let calls = &self.parts.metrics.payments.gateway_calls;
        calls.with_label_values(&[question, label]).inc();
        self.gateway_status.note(answer);
        if let Err(GatewayError::Misconfigured(code)) = answer {
            tracing::error!("the gateway refuses our settings or our {question}: {code}");
        }
    }

    /// Stores a notification of the gateway and makes its charge due. What cannot be read is stored, too.
    ///
    /// # Errors
    /// The database's: the gateway then sends it again.
    pub async fn notify(&self, body: &[u8]) -> Result<(), DbError> {
        webhook::notify(self, body).await
    }

    /// Reconciles what is due until the drain's soft token.
    pub fn start(&self) {
        Reconciler::new(self.clone()).start();
    }

    /// Reconciles what is due now, once; returns the number of rows.
    ///
    /// # Errors
    /// What is due cannot be read.
    pub async fn run_due(&self) -> Result<usize, DbError> {
        Reconciler::new(self.clone()).run_due().await
    }

    /// The workers of the scheduled jobs.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        work::workers(self)
    }
}
