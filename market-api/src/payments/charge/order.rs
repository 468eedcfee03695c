//! Orders: saved with their amount before the member pays at the gateway, and verified afterwards.

use std::time::Duration;

use shared::ids::MemberId;
use shared::money::Won;

use super::{ChargeError, repo};
use crate::db::{Abort, Tx, WriteError};
use crate::gateway::OrderId;
use crate::payments::Payments;

/// Bound of a charge in won.
const AMOUNT_MAX: i64 = 10_000_000;

/// Orders that a member may save within [`ORDERS_TIME`]: many more than a person charges, and few enough that a
/// script cannot fill the table.
const ORDERS_MAX: i64 = 200;

/// See [`ORDERS_MAX`].
const ORDERS_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An order to save.
#[derive(Clone, Debug)]
struct NewOrder {
    member: MemberId,
    order: OrderId,
    amount: Won,
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
        if !(1..=AMOUNT_MAX).contains(&amount.get()) {
            return Err(ChargeError::Amount);
        }
        let new = NewOrder {
            member,
            order,
            amount,
        };
        let saved = self
            .parts
            .db
            .write(new, |new, tx| Box::pin(save_in(new, tx)));
        saved.await.map_err(WriteError::into_domain)
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
        let charge = repo::by_order(&mut *self.parts.db.read().await?, order).await;
        let charge = charge.map_err(|error| ChargeError::Db(error.into()))?;
        let is_it = charge.is_some_and(|it| it.member == member && it.amount == amount);
        is_it.then_some(()).ok_or(ChargeError::Mismatch)
    }
}

async fn save_in(new: &NewOrder, tx: &mut Tx<'_>) -> Result<(), Abort<ChargeError>> {
    let since = tx.now().saturating_sub(ORDERS_TIME);
    let saved = repo::count_since(tx, new.member, since, ORDERS_MAX).await?;
    if saved >= ORDERS_MAX {
        return Err(Abort::Refused(ChargeError::TooMany));
    }
    match repo::save(tx, new.member, &new.order, new.amount).await? {
        true => Ok(()),
        false => Err(Abort::Refused(ChargeError::Mismatch)),
    }
}
