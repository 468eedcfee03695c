//! The SQL of histories. A page reads one row more than it has.

use shared::clock::Month;
use shared::ids::MemberId;
use shared::money::Won;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::super::history::{CashRow, HistoryQuery, MonthTotals, PurchaseRow};
use super::super::kind::TradeKind;
use crate::db::row::{column, named, optional};

type Sql<T> = Result<T, sqlx::Error>;

/// The id that a page begins below: ids are below 2^31.
fn below(query: &HistoryQuery) -> i64 {
    query.after.map_or(i64::MAX, i64::from)
}

fn limit(query: &HistoryQuery) -> i64 {
    i64::from(query.size.get()) + 1
}

pub(in crate::trades) async fn purchase_count(
    connection: &mut AnyConnection,
    member: MemberId,
) -> Sql<u64> {
    let row = query(
        "select count(*) as purchases from trade where member_id = $1 and kind in \
         ('PURCHASE_MOBILE_SINGLE', 'PURCHASE_MOBILE_COMPOSITE', 'PURCHASE_WIFI', 'PURCHASE_HOTSPOT')",
    )
    .bind(i64::from(member))
    .fetch_one(connection)
    .await?;
    column(&row, "purchases")
}

/// A spot belongs to a purchase by its booking. Offers of data are not joined: a composite purchase has
/// several, and is one row.
pub(in crate::trades) async fn purchases(
    connection: &mut AnyConnection,
    asked: &HistoryQuery,
) -> Sql<Vec<PurchaseRow>> {
    let rows = query(
        "select t.id, t.kind, t.units, t.minutes, t.created_at, s.title, \
         (select i.url from product_image i where i.product_id = b.product_id \
          order by i.priority limit 1) as image, \
         (select count(*) from review r where r.trade_id = t.id) as reviewed \
         from trade t left join booking b on b.trade_id = t.id \
         left join spot s on s.product_id = b.product_id \
         where t.member_id = $1 and t.id < $2 and t.kind in \
         ('PURCHASE_MOBILE_SINGLE', 'PURCHASE_MOBILE_COMPOSITE', 'PURCHASE_WIFI', 'PURCHASE_HOTSPOT') \
         order by t.id desc limit $3",
    )
    .bind(i64::from(asked.member))
    .bind(below(asked))
    .bind(limit(asked))
    .fetch_all(connection)
    .await?;
    let purchase = |row: &AnyRow| {
        Ok(PurchaseRow {
            trade: column(row, "id")?,
            kind: named(row, "kind")?,
            units: optional(row, "units")?,
            minutes: optional(row, "minutes")?,
            title: row.try_get("title")?,
            image: row.try_get("image")?,
            is_reviewed: column(row, "reviewed")?,
            created_at: column(row, "created_at")?,
        })
    };
    rows.iter().map(purchase).collect()
}

pub(in crate::trades) async fn cash_rows(
    connection: &mut AnyConnection,
    asked: &HistoryQuery,
    month: Month,
) -> Sql<Vec<CashRow>> {
    let rows = query(
        "select id, kind, price - fee as amount, units, minutes, created_at from trade \
         where member_id = $1 and month = $2 and id < $3 and price > 0 order by id desc limit $4",
    )
    .bind(i64::from(asked.member))
    .bind(month.get())
    .bind(below(asked))
    .bind(limit(asked))
    .fetch_all(connection)
    .await?;
    let trade = |row: &AnyRow| {
        Ok(CashRow {
            trade: column(row, "id")?,
            kind: named(row, "kind")?,
            amount: column(row, "amount")?,
            units: optional(row, "units")?,
            minutes: optional(row, "minutes")?,
            created_at: column(row, "created_at")?,
        })
    };
    rows.iter().map(trade).collect()
}

pub(in crate::trades) async fn month_totals(
    connection: &mut AnyConnection,
    member: MemberId,
    month: Month,
) -> Sql<MonthTotals> {
    let rows = query(
        "select kind, cast(sum(price - fee) as bigint) as amount from trade \
         where member_id = $1 and month = $2 group by kind",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .fetch_all(connection)
    .await?;
    let mut totals = MonthTotals::default();
    for row in &rows {
        let (kind, amount): (TradeKind, Won) = (named(row, "kind")?, column(row, "amount")?);
        let added = totals.add(kind, amount);
        added.ok_or_else(|| sqlx::Error::Decode("the sums of a month overflow".into()))?;
    }
    Ok(totals)
}
