//! Seam to the payment gateway: payments of orders, their confirmation, cancellation and listing.
//!
//! An answer that is not certain is an error of its own, [`GatewayError::Unknown`]: the caller queries later
//! and never takes it for a refusal (`money.md`, "Charge").
//!
//! What this module does not do: touch the database, retry, or decide what an answer means for a wallet.

mod id;
pub mod toss;

use std::fmt;

use async_trait::async_trait;
use shared::clock::UnixMillis;
use shared::money::Won;

pub use id::{IdempotencyKey, InvalidId, OrderId, PaymentKey};

/// The state of a payment at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// The customer has not paid yet.
    Ready,
    /// The customer has paid; the confirmation is missing.
    InProgress,
    /// A virtual account waits for the deposit.
    WaitingForDeposit,
    /// Captured.
    Done,
    /// Captured, then cancelled in full.
    Canceled,
    /// Captured, then cancelled in part.
    PartialCanceled,
    /// The confirmation was declined.
    Aborted,
    /// The customer or the deposit came too late.
    Expired,
    /// A status that this program does not have.
    Other,
}

impl PaymentStatus {
    /// True if the gateway took the customer's money, whatever it gave back since.
    #[must_use]
    pub const fn is_captured(self) -> bool {
        matches!(self, Self::Done | Self::Canceled | Self::PartialCanceled)
    }
}

/// A payment as the gateway has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The gateway's key.
    pub key: PaymentKey,
    /// The order it pays.
    pub order: OrderId,
    /// Its state.
    pub status: PaymentStatus,
    /// The amount paid, in won, without regard to cancels.
    pub total: Won,
    /// How it was paid, in the gateway's words; for display.
    pub method: Option<String>,
    /// The time of the capture.
    pub approved_at: Option<UnixMillis>,
    /// The end of the time for a deposit into a virtual account.
    pub due_at: Option<UnixMillis>,
    /// The gateway's page with its receipt.
    pub receipt_url: Option<String>,
    /// The code of a failure.
    pub failure: Option<String>,
    /// Money given back, in the gateway's order.
    pub cancels: Vec<Cancel>,
}

/// The state of a cancel at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelStatus {
    /// Given back. Never undone.
    Done,
    /// Not decided yet; also a status that this program does not have.
    InProgress,
    /// Given up: nothing was given back.
    Aborted,
}

/// Money that the gateway gave back, or will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The gateway's key of this transaction; unique over all payments.
    pub transaction_key: String,
    /// The amount in won.
    pub amount: Won,
    /// The reason that the request named.
    pub reason: String,
    /// Its state.
    pub status: CancelStatus,
    /// The time of the cancel.
    pub canceled_at: Option<UnixMillis>,
}

impl Cancel {
    /// True if the money was given back.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.status, CancelStatus::Done)
    }
}

/// A capture or a cancel in the gateway's list of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The gateway's key of this transaction.
    pub key: String,
    /// The payment it belongs to.
    pub payment_key: PaymentKey,
    /// The payment's order.
    pub order: OrderId,
    /// The state of the payment after it.
    pub status: PaymentStatus,
    /// The amount captured, or given back, in won; positive.
    pub amount: Won,
    /// Its time.
    pub at: UnixMillis,
}

/// A part of the gateway's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionPage {
    /// Ordered by time.
    pub transactions: Vec<Transaction>,
    /// Pass it as `after` for the next part; `None` at the end.
    pub next: Option<String>,
}

/// A confirmation of a payment: the gateway captures the money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmRequest {
    /// The payment.
    pub key: PaymentKey,
    /// The order it pays.
    pub order: OrderId,
    /// The amount expected.
    pub amount: Won,
    /// The same for every repetition.
    pub idempotency_key: IdempotencyKey,
}

/// A cancel of a payment, in part or in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// The payment.
    pub key: PaymentKey,
    /// The amount to give back; always passed on, since the gateway gives back everything without one.
    pub amount: Won,
    /// The reason; [`Cancel::reason`] returns it.
    pub reason: String,
    /// The same for every repetition.
    pub idempotency_key: IdempotencyKey,
}

/// The gateway's error code: 1 to 64 capital letters, digits and `_`, safe to store and to log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayCode(String);

impl GatewayCode {
    /// Bound of a code.
    const CHARS_MAX: usize = 64;

    /// The code in this text; `OTHER` for a text that is none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let is_code = (1..=Self::CHARS_MAX).contains(&text.len()) && text.bytes().all(is_code);
        Self(if is_code { text } else { "OTHER" }.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An outcome that is not certain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Uncertain {
    /// The gateway's code; without one, a word for what happened instead.
    pub code: GatewayCode,
    /// For the log.
    pub reason: String,
}

impl Uncertain {
    /// An outcome with this code. A text that is no code becomes `OTHER`.
    #[must_use]
    pub fn new(code: &str, reason: impl Into<String>) -> Self {
        Self {
            code: GatewayCode::of(code),
            reason: reason.into(),
        }
    }
}

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Certain: nothing was captured or given back by this request. Only listed codes are.
    #[error("refused: {0}")]
    Refused(GatewayCode),
    /// The gateway has no such payment. Of a query only.
    #[error("no such payment")]
    NotFound,
    /// The gateway refuses our key or our request: an operator has to act. The outcome is unknown.
    #[error("the gateway does not accept our settings: {0}")]
    Misconfigured(GatewayCode),
    /// No answer, an unreadable one, or one that says nothing for certain.
    #[error("unknown: {0}")]
    Unknown(Uncertain),
}

impl GatewayError {
    /// The text to store beside the charge or leg.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(code) | Self::Misconfigured(code) => code.as_str(),
            Self::NotFound => "NOT_FOUND_PAYMENT",
            Self::Unknown(uncertain) => uncertain.code.as_str(),
        }
    }
}

/// The result of a request to the gateway.
pub type GatewayResult<T> = Result<T, GatewayError>;

/// The payment gateway.
///
/// Contract: each call has a deadline of its own, at most 30 s. `confirm` and `cancel` send the idempotency key,
/// so a repetition has no second effect within the gateway's retention (15 days). A result is whatever the
/// gateway says of the payment, with its own order and amount: the caller compares.
#[async_trait]
pub trait Gateway: Send + Sync + fmt::Debug {
    /// Captures a payment that the customer has made.
    async fn confirm(&self, request: &ConfirmRequest) -> GatewayResult<Payment>;

    /// Reads the payment of an order.
    async fn payment_of(&self, order: &OrderId) -> GatewayResult<Payment>;

    /// Gives money of a captured payment back. The payment returned names the cancel, if it was done.
    async fn cancel(&self, request: &CancelRequest) -> GatewayResult<Payment>;

    /// Lists captures and cancels from `from` until before `until`, after the cursor of an earlier page.
    async fn transactions(
        &self,
        from: UnixMillis,
        until: UnixMillis,
        after: Option<&str>,
    ) -> GatewayResult<TransactionPage>;
}
