//! What the books lack, taken over: by a query where one shows it, else from the gateway's list.

use std::convert::Infallible;

use shared::money::Won;

use super::books::{self, Subject};
use super::difference::Difference;
use crate::db::{Abort, Db};
use crate::gateway::{
    Cancel, CancelStatus, OrderId, Payment, PaymentKey, PaymentStatus, Transaction,
};
use crate::payments::charge::{ChargeState, QUERY_EVERY, repo};
use crate::payments::suspense;
use crate::payments::webhook::STRAY;
use crate::schedule::{self, HandlerError};

/// Records a cancel of a payment in suspense: a query by its order may show another payment.
pub(super) async fn take_cancel(db: &Db, row: &Transaction, held: Won) -> Result<(), HandlerError> {
    let context = (row.clone(), held);
    let taken = db.write(context, |(row, held), tx| {
        Box::pin(async move {
            let (key, order) = (row.payment_key.clone(), row.order.clone());
            let mut payment = listed_payment(key, order, *held);
            payment.cancels.push(Cancel {
                transaction_key: row.key.clone(),
                amount: row.amount,
                reason: String::new(),
                status: CancelStatus::Done,
                canceled_at: Some(row.at),
            });
            // The payment itself is held already.
            suspense::hold_in(tx, None, &payment).await?;
            Ok::<_, Abort<Infallible>>(())
        })
    });
    Ok(taken.await?)
}

/// Has the order queried, so that the books take over what they lack.
pub(super) async fn heal(db: &Db, difference: &Difference) -> Result<(), HandlerError> {
    let healed = db.write(difference.clone(), |lacking, tx| {
        Box::pin(async move {
            let Ok(order) = lacking.order.clone().try_into() else {
                return Ok(());
            };
            let charge = repo::by_order(tx.connection(), &order).await?;
            let is_settled = charge.is_some_and(|charge| {
                matches!(charge.state, ChargeState::Captured | ChargeState::Mismatch)
            });
            if let (true, Subject::Capture(key)) = (is_settled, &lacking.subject) {
                let Ok(key) = key.clone().try_into() else {
                    return Ok(());
                };
                let booked = books::find(tx.connection(), &lacking.subject, &lacking.order).await?;
                if booked.is_none() {
                    // A second payment of the order. A query shows only the first.
                    let payment = listed_payment(key, order, lacking.theirs);
                    suspense::hold_in(tx, None, &payment).await?;
                }
                return Ok(());
            }
            if !repo::poke(tx, &order, QUERY_EVERY).await? {
                let now = tx.now();
                schedule::put(tx, STRAY, order.as_str(), now, "").await?;
            }
            books::poke_suspense(tx, &lacking.order).await?;
            Ok::<_, Abort<Infallible>>(())
        })
    });
    Ok(healed.await?)
}

/// A payment of which only rows of the list are seen.
fn listed_payment(key: PaymentKey, order: OrderId, total: Won) -> Payment {
    Payment {
        key,
        order,
        status: PaymentStatus::Done,
        total,
        method: None,
        approved_at: None,
        due_at: None,
        receipt_url: None,
        failure: None,
        cancels: Vec::new(),
    }
}
