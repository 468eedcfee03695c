//! The SQL of sort keys: rows' current keys, and their history (`sort_key_history`).

use shared::clock::UnixMillis;
use shared::ids::ProductId;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::super::Kind;
use super::super::sort::{Sort, SortColumn, SortKey};
use super::read::stored_position;
use crate::db::Tx;
use crate::db::row::named;

type Sql<T> = Result<T, sqlx::Error>;

/// Bound of old keys read per product: more than a day of changes by hand.
const PLACES_MAX: i64 = 1_000;

/// A product's kind and its current key in an order.
pub(in crate::products) async fn key_now(
    connection: &mut AnyConnection,
    id: ProductId,
    sort: Sort,
) -> Sql<Option<(Kind, Option<SortKey>)>> {
    let row = query(
        "select p.kind, p.price, p.unit_price, p.units_left, p.seller_rate, p.updated_at, \
         s.latitude, s.longitude \
         from product p left join spot s on s.product_id = p.id where p.id = $1",
    )
    .bind(i64::from(id))
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((named(&row, "kind")?, key_of(&row, sort)?)))
        .transpose()
}

/// The product's earlier keys in an order, newest first.
pub(in crate::products) async fn keys_before(
    connection: &mut AnyConnection,
    id: ProductId,
    sort: Sort,
) -> Sql<Vec<SortKey>> {
    let rows = query(
        "select id, price, unit_price, units_left, seller_rate, updated_at, latitude, longitude \
         from sort_key_history where product_id = $1 order by id desc limit $2",
    )
    .bind(i64::from(id))
    .bind(PLACES_MAX)
    .fetch_all(connection)
    .await?;
    let keys: Sql<Vec<_>> = rows.iter().map(|row| key_of(row, sort)).collect();
    Ok(keys?.into_iter().flatten().collect())
}

/// Both statements above use the same column names.
fn key_of(row: &AnyRow, sort: Sort) -> Sql<Option<SortKey>> {
    match sort.order() {
        SortColumn::Ascending(column) | SortColumn::Descending(column) => {
            let number: Option<i64> = row.try_get(column)?;
            Ok(number.map(SortKey::Number))
        }
        SortColumn::Distance => {
            let latitude: Option<f64> = row.try_get("latitude")?;
            let longitude: Option<f64> = row.try_get("longitude")?;
            let at = latitude.zip(longitude);
            let at = at.map(|(latitude, longitude)| stored_position(latitude, longitude));
            Ok(at.transpose()?.map(SortKey::Place))
        }
    }
}

/// Sets the time of history rows that have none yet.
pub(in crate::products) async fn date_sort_keys(tx: &mut Tx<'_>, now: UnixMillis) -> Sql<()> {
    query("update sort_key_history set replaced_at = $1 where replaced_at is null")
        .bind(now.get())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Deletes history rows older than a time, at most `limit`.
pub(in crate::products) async fn prune_sort_keys(
    tx: &mut Tx<'_>,
    before: UnixMillis,
    limit: i64,
) -> Sql<u64> {
    let done = query(
        "delete from sort_key_history where id in \
         (select id from sort_key_history where replaced_at < $1 order by replaced_at limit $2)",
    )
    .bind(before.get())
    .bind(limit)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
