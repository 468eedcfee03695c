//! Orders: saved with their amount before the member pays at the gateway, and verified afterwards.

use std::time::Duration;

use shared::ids::MemberId;
use shared::money::Won;

use super::ChargeError;
use crate::db::{Abort, Db, Tx, WriteError};
use crate::gateway::OrderId;
use crate::payments::charge::repo;

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

/// See [`Payments::save_order`].
///
/// [`Payments::save_order`]: crate::payments::Payments::save_order
pub(super) async fn save(
    db: &Db,
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
    let saved = db.write(new, |new, tx| Box::pin(save_in(new, tx)));
    saved.await.map_err(WriteError::into_domain)
}

/// See [`Payments::verify_order`].
///
/// [`Payments::verify_order`]: crate::payments::Payments::verify_order
pub(super) async fn verify(
    db: &Db,
    member: MemberId,
    order: &OrderId,
    amount: Won,
) -> Result<(), ChargeError> {
    let charge = repo::by_order(&mut *db.read().await?, order).await;
    let charge = charge.map_err(|error| ChargeError::Db(error.into()))?;
    let is_it = charge.is_some_and(|it| it.member == member && it.amount == amount);
    is_it.then_some(()).ok_or(ChargeError::Mismatch)
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
