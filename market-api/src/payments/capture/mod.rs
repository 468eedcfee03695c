//! From an order to a captured charge: orders, their confirmation at the gateway, and what its answers mean.

mod apply;
mod confirm;
mod order;

use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::money::Won;
use shared::web::{PageSize, Rows};

use super::charge::{Applied, Charge, ChargeId, Evidence, repo};
use super::{Payments, below_of};
use crate::db::DbError;
use crate::gateway::{OrderId, PaymentKey};

pub(super) use confirm::confirm_again;

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

    /// A page of a member's charges below an id, newest first.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn charges(
        &self,
        member: MemberId,
        below: Option<u64>,
        size: PageSize,
    ) -> Result<Rows<Charge>, DbError> {
        let mut connection = self.parts.db.read().await?;
        let rows = repo::page_of(&mut connection, member, below_of(below), size).await?;
        Ok(Rows::cut(rows, size))
    }
}
