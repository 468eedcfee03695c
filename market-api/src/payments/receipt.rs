//! What a receipt shows of a charge or a refund, by the trade that it made.

use shared::clock::LocalDateTime;
use shared::ids::TradeId;
use shared::money::Won;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::db::row::{column, optional};
use crate::db::{Db, DbError};

/// Bound of a refund's legs on a receipt.
const LEGS_MAX: i64 = 100;

/// A charge that was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRecord {
    /// Its row.
    pub id: u32,
    /// The order at the gateway.
    pub order: String,
    /// How it was paid, in the gateway's words.
    pub method: Option<String>,
    /// When the gateway captured it.
    pub approved_at: Option<LocalDateTime>,
    /// The gateway's own receipt.
    pub receipt_url: Option<String>,
    /// Won given back of it since, by refunds or at the gateway.
    pub canceled: Won,
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRecord {
    /// Its row.
    pub id: u32,
    /// Won, as requested.
    pub requested: Won,
    /// Won of it that came back to the wallet.
    pub returned: Won,
    /// Whether all of it has its outcome.
    pub is_done: bool,
    /// Its parts, in the order in which they were made.
    pub legs: Vec<LegRecord>,
}

/// A part of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegRecord {
    /// `CANCEL` of a charge, or `PAYOUT`.
    pub kind: String,
    /// Won.
    pub amount: Won,
    /// `READY`, `UNKNOWN`, `DONE` or `REFUSED`.
    pub state: String,
}

/// The charge that made this trade.
///
/// # Errors
/// The database's.
pub async fn charge_of(db: &Db, trade: TradeId) -> Result<Option<ChargeRecord>, DbError> {
    let row = query(
        "select id, order_id, method, captured_at, receipt_url, refunded + reversed as canceled \
         from charge where trade_id = $1",
    )
    .bind(i64::from(trade))
    .fetch_optional(&mut *db.read().await?)
    .await?;
    let read = |row: &AnyRow| {
        Ok::<_, sqlx::Error>(ChargeRecord {
            id: column(row, "id")?,
            order: row.try_get("order_id")?,
            method: row.try_get("method")?,
            approved_at: optional(row, "captured_at")?,
            receipt_url: row.try_get("receipt_url")?,
            canceled: column(row, "canceled")?,
        })
    };
    Ok(row.as_ref().map(read).transpose()?)
}

/// The refund that made this trade; `None` for the trade of a charge that was reversed. In one statement, so that
/// its sums and its legs are of one moment.
///
/// # Errors
/// The database's.
pub async fn refund_of(db: &Db, trade: TradeId) -> Result<Option<RefundRecord>, DbError> {
    let rows = query(
        "select r.id, r.amount, r.returned_charged + r.returned_earned as returned, \
         case when r.state = 'DONE' then 1 else 0 end as is_done, l.kind, l.amount as leg_amount, l.state \
         from refund r left join refund_leg l on l.refund_id = r.id \
         where r.trade_id = $1 order by l.n limit $2",
    )
    .bind(i64::from(trade))
    .bind(LEGS_MAX)
    .fetch_all(&mut *db.read().await?)
    .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let mut refund = RefundRecord {
        id: column(row, "id")?,
        requested: column(row, "amount")?,
        returned: column(row, "returned")?,
        is_done: column(row, "is_done")?,
        legs: Vec::with_capacity(rows.len()),
    };
    for row in &rows {
        // Without legs there is one row.
        let Some(amount) = optional(row, "leg_amount")? else {
            continue;
        };
        refund.legs.push(LegRecord {
            kind: row.try_get("kind")?,
            amount,
            state: row.try_get("state")?,
        });
    }
    Ok(Some(refund))
}
