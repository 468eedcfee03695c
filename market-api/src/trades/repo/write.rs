//! The SQL of new trades.

use shared::ids::{MemberId, TradeId};
use shared::money::{Units, Won};
use sqlx::{AssertSqlSafe, query};

use super::super::basket::Line;
use super::super::kind::TradeKind;
use crate::cash::Payment;
use crate::db::Tx;
use crate::db::row::{column, places};

/// A trade to insert.
#[derive(Clone, Copy, Debug)]
pub(in crate::trades) struct NewTrade {
    pub(in crate::trades) member: MemberId,
    pub(in crate::trades) kind: TradeKind,
    /// What the buyer pays.
    pub(in crate::trades) price: Won,
    /// What the seller does not get of it.
    pub(in crate::trades) fee: Won,
    pub(in crate::trades) units: Option<Units>,
    pub(in crate::trades) minutes: Option<u32>,
    /// The buckets that a purchase was paid from.
    pub(in crate::trades) paid: Option<Payment>,
    /// The purchase that a sale belongs to.
    pub(in crate::trades) purchase: Option<TradeId>,
}

pub(in crate::trades) async fn insert_trade(
    tx: &mut Tx<'_>,
    new: &NewTrade,
) -> Result<TradeId, sqlx::Error> {
    let (month, now) = (tx.month().get(), tx.now().get());
    let paid = |bucket: fn(&Payment) -> Won| new.paid.as_ref().map_or(0, |paid| bucket(paid).get());
    let row = query(
        "insert into trade (member_id, kind, price, fee, units, minutes, charged, earned, \
         purchase_id, month, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id",
    )
    .bind(i64::from(new.member))
    .bind(new.kind.name())
    .bind(new.price.get())
    .bind(new.fee.get())
    .bind(new.units.map(|units| i64::from(units.get())))
    .bind(new.minutes.map(i64::from))
    .bind(paid(|paid| paid.charged))
    .bind(paid(|paid| paid.earned))
    .bind(new.purchase.map(i64::from))
    .bind(month)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    column(&row, "id")
}

/// The offers of trades, in one statement: at most 20 of a purchase, and those of its sales.
pub(in crate::trades) async fn insert_details(
    tx: &mut Tx<'_>,
    details: &[(TradeId, Line)],
) -> Result<(), sqlx::Error> {
    if details.is_empty() {
        return Ok(());
    }
    let text = format!(
        "insert into trade_detail (trade_id, product_id, units, price) values {}",
        places(details.len(), 4)
    );
    let mut insert = query(AssertSqlSafe(text));
    for (trade, line) in details {
        insert = insert
            .bind(i64::from(*trade))
            .bind(i64::from(line.product))
            .bind(line.amount.units().map(|units| i64::from(units.get())))
            .bind(line.price.get());
    }
    insert.execute(tx.connection()).await?;
    Ok(())
}

/// Lowers the amount of a refund; false if it is no refund, or of less.
pub(in crate::trades) async fn lower_refund(
    tx: &mut Tx<'_>,
    trade: TradeId,
    by: Won,
) -> Result<bool, sqlx::Error> {
    let lowered = query(
        "update trade set price = price - $2 where id = $1 and kind = 'REFUND' and price >= $2",
    )
    .bind(i64::from(trade))
    .bind(by.get())
    .execute(tx.connection())
    .await?;
    Ok(lowered.rows_affected() == 1)
}
