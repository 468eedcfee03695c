//! The SQL of one trade with its offers.

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, TradeId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::super::receipt::{TradeLine, TradeRecord};
use crate::cash::Payment;
use crate::db::row::{column, named, optional};

/// Bound of a trade's lines: a purchase has at most 20.
const LINES_MAX: i64 = 100;

/// The trade first, of this member only: a trade and its lines never change, but for a refund, which has no lines.
pub(in crate::trades) async fn record(
    connection: &mut AnyConnection,
    member: MemberId,
    trade: TradeId,
) -> Result<Option<TradeRecord>, sqlx::Error> {
    let row = query(
        "select t.id, t.kind, t.price, t.fee, t.charged, t.earned, t.purchase_id, t.created_at, m.name, \
         (select b.name from trade p join member b on b.id = p.member_id where p.id = t.purchase_id) as buyer \
         from trade t join member m on m.id = t.member_id where t.id = $1 and t.member_id = $2",
    )
    .bind(i64::from(trade))
    .bind(i64::from(member))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let purchase: Option<TradeId> = optional(&row, "purchase_id")?;
    Ok(Some(TradeRecord {
        trade: column(&row, "id")?,
        kind: named(&row, "kind")?,
        price: column(&row, "price")?,
        fee: column(&row, "fee")?,
        paid: Payment {
            charged: column(&row, "charged")?,
            earned: column(&row, "earned")?,
        },
        member: row.try_get("name")?,
        buyer: row.try_get("buyer")?,
        created_at: column(&row, "created_at")?,
        lines: lines(connection, trade, purchase.unwrap_or(trade)).await?,
    }))
}

/// A booking belongs to the buyer's trade.
async fn lines(
    connection: &mut AnyConnection,
    trade: TradeId,
    purchase: TradeId,
) -> Result<Vec<TradeLine>, sqlx::Error> {
    let rows = query(
        "select d.product_id, d.units, d.price, t.minutes, s.title, o.name, b.starts_at, b.ends_at \
         from trade_detail d join trade t on t.id = d.trade_id join product p on p.id = d.product_id join member o on o.id = p.member_id \
         left join spot s on s.product_id = d.product_id \
         left join booking b on b.trade_id = $2 and b.product_id = d.product_id \
         where d.trade_id = $1 order by d.product_id limit $3",
    )
    .bind(i64::from(trade))
    .bind(i64::from(purchase))
    .bind(LINES_MAX)
    .fetch_all(connection)
    .await?;
    rows.iter().map(line).collect()
}

fn line(row: &AnyRow) -> Result<TradeLine, sqlx::Error> {
    let start: Option<LocalDateTime> = optional(row, "starts_at")?;
    let end: Option<LocalDateTime> = optional(row, "ends_at")?;
    Ok(TradeLine {
        product: column(row, "product_id")?,
        seller: row.try_get("name")?,
        title: row.try_get("title")?,
        units: optional(row, "units")?,
        minutes: optional(row, "minutes")?,
        time: start.zip(end),
        price: column(row, "price")?,
    })
}
