//! Trades that only move cash: charges and refunds. The module of payments inserts them in its transactions.

use shared::ids::{MemberId, TradeId};
use shared::money::Won;

use super::kind::TradeKind;
use super::repo::{self, NewTrade};
use crate::db::{Tx, defect};

/// Inserts the trade of a charge that was captured.
///
/// # Errors
/// The database's.
pub async fn record_charge_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    amount: Won,
) -> Result<TradeId, sqlx::Error> {
    insert(tx, member, TradeKind::Charge, amount).await
}

/// Inserts the trade of a refund that was accepted, or of a charge that was reversed.
///
/// # Errors
/// The database's.
pub async fn record_refund_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    amount: Won,
) -> Result<TradeId, sqlx::Error> {
    insert(tx, member, TradeKind::Refund, amount).await
}

/// Lowers a refund by what came back to the wallet, so that the sums of a month stay the change of the
/// member's cash. A refund of zero is not listed.
///
/// # Errors
/// The database's; also an amount above what the refund has left, a defect.
pub async fn lower_refund_in(tx: &mut Tx<'_>, trade: TradeId, by: Won) -> Result<(), sqlx::Error> {
    match repo::lower_refund(tx, trade, by).await? {
        true => Ok(()),
        false => Err(defect(format!("refund {trade} is below {by} won"))),
    }
}

async fn insert(
    tx: &mut Tx<'_>,
    member: MemberId,
    kind: TradeKind,
    amount: Won,
) -> Result<TradeId, sqlx::Error> {
    let new = NewTrade {
        member,
        kind,
        price: amount,
        fee: Won::ZERO,
        units: None,
        minutes: None,
        paid: None,
        purchase: None,
    };
    repo::insert_trade(tx, &new).await
}
