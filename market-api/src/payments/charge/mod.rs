//! Charges as they are stored: states, rows, the times of queries.
//!
//! What this module does not do: move a charge from state to state; `capture` does.

pub(super) mod repo;
pub(super) mod retry;

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;

use crate::db::row::{Column, TextColumn};
use crate::gateway::{GatewayResult, OrderId, Payment, PaymentKey};

pub(super) use retry::pause as retry_pause;

/// At most one query per charge in this time, however often something asks for one.
pub(super) const QUERY_EVERY: Duration = Duration::from_secs(5);

/// A charge's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargeId(u32);

impl ChargeId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<ChargeId> for i64 {
    fn from(id: ChargeId) -> Self {
        Self::from(id.0)
    }
}

impl Column for ChargeId {
    fn from_number(number: i64) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(number.try_into()?))
    }
}

/// The state of a charge.
///
/// ```text
/// CREATED ─► CONFIRMING ─► CAPTURED │ FAILED │ EXPIRED │ MISMATCH
///                └─► UNKNOWN │ WAITING ─► (query) CAPTURED │ FAILED │ EXPIRED │ MISMATCH
/// ```
///
/// A capture is applied in every state but CAPTURED and MISMATCH, which are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChargeState {
    /// The order is saved; nothing was confirmed.
    Created,
    /// The confirmation is in flight.
    Confirming,
    /// Whether the gateway has captured is unknown.
    Unknown,
    /// A virtual account waits for the deposit.
    Waiting,
    /// Captured and credited.
    Captured,
    /// Declined.
    Failed,
    /// The gateway has no such payment any more.
    Expired,
    /// Captured with another amount: in suspense, and given back.
    Mismatch,
}

impl ChargeState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Confirming,
        Self::Unknown,
        Self::Waiting,
        Self::Captured,
        Self::Failed,
        Self::Expired,
        Self::Mismatch,
    ];

    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Confirming => "CONFIRMING",
            Self::Unknown => "UNKNOWN",
            Self::Waiting => "WAITING",
            Self::Captured => "CAPTURED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
            Self::Mismatch => "MISMATCH",
        }
    }

    /// True while the reconciler queries the gateway.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Confirming | Self::Unknown | Self::Waiting)
    }
}

impl TextColumn for ChargeState {
    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }
}

/// A charge as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its row.
    pub id: ChargeId,
    /// The order at the gateway.
    pub order: OrderId,
    /// The member who charges.
    pub member: MemberId,
    /// Won.
    pub amount: Won,
    /// Its state.
    pub state: ChargeState,
    /// The payment that was confirmed.
    pub key: Option<PaymentKey>,
    /// The first confirmation.
    pub confirmed_at: Option<UnixMillis>,
    /// The end of the time for a deposit.
    pub due_at: Option<UnixMillis>,
    /// The next query; `None` if there is none. Also the lease of the instance that queries.
    pub next_check_at: Option<UnixMillis>,
    /// Queries so far.
    pub checks: u32,
    /// The member's trade, once captured.
    pub trade: Option<TradeId>,
    /// When the order was saved.
    pub created_at: UnixMillis,
}

/// What the gateway said, and to which question.
#[derive(Clone, Debug)]
pub(in crate::payments) enum Evidence {
    /// The answer to the first confirmation. A refusal is certain.
    Confirmed(GatewayResult<Payment>),
    /// The answer to a repeated confirmation. A refusal may be of the repetition only.
    ConfirmedAgain(GatewayResult<Payment>),
    /// The answer to a query.
    Queried(GatewayResult<Payment>),
}

/// The charge afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payments) struct Applied {
    /// Its state.
    pub(in crate::payments) state: ChargeState,
    /// Whether the gateway still waits for the confirmation, so that it may be repeated.
    pub(in crate::payments) may_confirm: bool,
}
