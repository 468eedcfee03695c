//! Charges: a member's orders, their confirmation at the gateway, and what its answers mean.

mod apply;
mod confirm;
mod order;
pub(super) mod repo;
mod retry;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;
use shared::web::PageSize;

use crate::db::DbError;
use crate::db::row::{Column, TextColumn};
use crate::gateway::{OrderId, PaymentKey};
use crate::payments::Payments;

pub(super) use apply::{Applied, Evidence};
pub(super) use confirm::confirm_again;
pub(super) use retry::pause as retry_pause;

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

/// A request to confirm a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOrder {
    /// The member who charges.
    pub member: MemberId,
    /// The payment at the gateway.
    pub key: PaymentKey,
    /// The order.
    pub order: OrderId,
    /// Won, as the client says.
    pub amount: Won,
}

/// The result of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeAnswer {
    /// Captured and credited.
    Captured {
        /// The charge.
        id: ChargeId,
        /// Won.
        amount: Won,
    },
    /// Not known yet: the reconciler finds out.
    BeingVerified,
}

/// Why a charge is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    /// The amount is out of bounds.
    #[error("not an amount to charge")]
    Amount,
    /// No such order, another member's, or another amount.
    #[error("no such order of this amount")]
    Mismatch,
    /// The gateway declined, the payment expired, or it pays another charge.
    #[error("the payment was declined")]
    Declined,
    /// The member has saved too many orders within a day.
    #[error("too many orders within a day")]
    TooMany,
    /// Too many confirmations are in flight.
    #[error("too many payments are being confirmed")]
    Busy,
    /// This server has no gateway.
    #[error("no payment gateway is configured")]
    NoGateway,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Payments {
    /// Saves an order with its amount. The order belongs to its first saver, who may replace the amount until
    /// the payment is confirmed.
    ///
    /// # Errors
    /// [`ChargeError::Amount`], [`ChargeError::Mismatch`], [`ChargeError::TooMany`], or the database's.
    pub async fn save_order(
        &self,
        member: MemberId,
        order: OrderId,
        amount: Won,
    ) -> Result<(), ChargeError> {
        order::save(&self.parts.db, member, order, amount).await
    }

    /// Verifies that this order of the member's has this amount.
    ///
    /// # Errors
    /// [`ChargeError::Mismatch`], or the database's.
    pub async fn verify_order(
        &self,
        member: MemberId,
        order: &OrderId,
        amount: Won,
    ) -> Result<(), ChargeError> {
        order::verify(&self.parts.db, member, order, amount).await
    }

    /// Confirms a payment and credits its amount. The same order again gets the same answer; the gateway is
    /// called once.
    ///
    /// # Errors
    /// See [`ChargeError`].
    pub async fn charge(&self, order: ChargeOrder) -> Result<ChargeAnswer, ChargeError> {
        confirm::charge(self, order).await
    }

    /// Applies what the gateway said to a charge.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn apply(
        &self,
        charge: ChargeId,
        evidence: Evidence,
        lease: Option<UnixMillis>,
    ) -> Result<Applied, DbError> {
        apply::apply(self, charge, evidence, lease).await
    }

    /// A member's charges below an id, newest first: one more than `size`.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn charges(
        &self,
        member: MemberId,
        below: Option<u64>,
        size: PageSize,
    ) -> Result<Vec<Charge>, DbError> {
        let below = below
            .and_then(|id| i64::try_from(id).ok())
            .unwrap_or(i64::MAX);
        let mut connection = self.parts.db.read().await?;
        let size = i64::from(size.get());
        Ok(repo::page_of(&mut connection, member, below, size).await?)
    }
}
