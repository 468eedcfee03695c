//! The SQL of purchases from offers.

use std::sync::LazyLock;

use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, query};

use super::super::stock::{SpotTerms, Stock, Taken};
use super::super::{Hours, Sale, State};
use crate::blocks::hidden;
use crate::db::row::{column, named, optional};
use crate::db::{Db, DbError, Dialect, Lock, LockMode, Tx};

type Sql<T> = Result<T, sqlx::Error>;

/// Bound of the offers of one purchase.
const OFFERS_MAX: usize = 20;

/// The columns of a stock; `buyer` is the parameter of the member who buys.
fn columns(buyer: &str) -> String {
    let hidden = hidden("product.member_id", buyer);
    format!(
        "id, member_id, kind, state, price, unit_price, split, units_left, expires_at, raised_at, \
         cast(case when {hidden} then 1 else 0 end as bigint) as hidden"
    )
}

fn stock_of(row: &AnyRow) -> Sql<Stock> {
    Ok(Stock {
        product: column(row, "id")?,
        seller: column(row, "member_id")?,
        kind: named(row, "kind")?,
        state: named(row, "state")?,
        price: column(row, "price")?,
        unit_price: optional(row, "unit_price")?.unwrap_or(Won::ZERO),
        sale: optional(row, "split")?.unwrap_or(Sale::Whole),
        units_left: optional(row, "units_left")?.unwrap_or(Units::ZERO),
        expires_at: optional(row, "expires_at")?,
        raised_at: optional(row, "raised_at")?,
        is_hidden: column(row, "hidden")?,
    })
}

/// Reads an offer outside a transaction: purchases that cannot succeed end here.
///
/// # Errors
/// The database's.
pub async fn stock(db: &Db, product: ProductId, buyer: MemberId) -> Result<Option<Stock>, DbError> {
    Ok(read(&mut *db.read().await?, product, buyer).await?)
}

/// Reads an offer without a lock.
///
/// # Errors
/// The database's.
pub async fn stock_in(tx: &mut Tx<'_>, product: ProductId, buyer: MemberId) -> Sql<Option<Stock>> {
    read(tx.connection(), product, buyer).await
}

async fn read(
    connection: &mut AnyConnection,
    id: ProductId,
    buyer: MemberId,
) -> Sql<Option<Stock>> {
    let text = format!("select {} from product where id = $1", columns("$2"));
    let row = query(AssertSqlSafe(text))
        .bind(i64::from(id))
        .bind(i64::from(buyer))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(stock_of).transpose()
}

/// Reads the terms of a spot on a connection: a transaction's, after it has locked the offer. `None` for an
/// offer that is no spot.
///
/// # Errors
/// The database's.
pub async fn spot_terms(connection: &mut AnyConnection, id: ProductId) -> Sql<Option<SpotTerms>> {
    let text = "select open_minute, close_minute, capacity from spot where product_id = $1";
    let row = query(text)
        .bind(i64::from(id))
        .fetch_optional(connection)
        .await?;
    let terms = |row: &AnyRow| {
        Ok(SpotTerms {
            hours: Hours {
                opens: column(row, "open_minute")?,
                closes: column(row, "close_minute")?,
            },
            capacity: column(row, "capacity")?,
        })
    };
    row.as_ref().map(terms).transpose()
}

/// Reads offers outside a transaction, at most 20, in ascending order; those that do not exist are missing in
/// the result.
///
/// # Errors
/// The database's.
pub async fn stocks(db: &Db, ids: &[ProductId], buyer: MemberId) -> Result<Vec<Stock>, DbError> {
    Ok(read_many(&mut *db.read().await?, ids, buyer, "").await?)
}

/// Locks offers, otherwise as [`stocks`].
///
/// # Errors
/// The database's.
pub async fn lock_stock_in(tx: &mut Tx<'_>, ids: &[ProductId], buyer: MemberId) -> Sql<Vec<Stock>> {
    tx.note_locks(ids.iter().copied().map(Lock::Offer), LockMode::Exclusive);
    let suffix = match tx.dialect() {
        Dialect::Postgres => " for no key update",
        Dialect::Sqlite => "",
    };
    read_many(tx.connection(), ids, buyer, suffix).await
}

async fn read_many(
    connection: &mut AnyConnection,
    ids: &[ProductId],
    buyer: MemberId,
    suffix: &str,
) -> Sql<Vec<Stock>> {
    let Some(last) = ids.last() else {
        return Ok(Vec::new());
    };
    if ids.len() > OFFERS_MAX {
        return Err(sqlx::Error::Encode("too many offers".into()));
    }
    // One text for every number of offers: the rest is padded with the last one.
    let places: Vec<_> = (1..=OFFERS_MAX).map(|nth| format!("${nth}")).collect();
    let text = format!(
        "select {} from product where id in ({}) order by id{suffix}",
        columns(&format!("${}", OFFERS_MAX + 1)),
        places.join(", ")
    );
    let mut select = query(AssertSqlSafe(text));
    for nth in 0..OFFERS_MAX {
        select = select.bind(i64::from(*ids.get(nth).unwrap_or(last)));
    }
    let select = select.bind(i64::from(buyer));
    let rows = select.fetch_all(connection).await?;
    rows.iter().map(stock_of).collect()
}

static TAKE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update product set units_left = units_left - $3, units_sold = units_sold + $3, \
         state = case when units_left = $3 then 'SOLD_OUT' else state end, \
         sold_out_at = case when units_left = $3 then cast($4 as bigint) else sold_out_at end, \
         updated_at = case when units_left = $3 then $4 else updated_at end \
         where id = $1 and kind = 'MOBILE_DATA' and state = 'ACTIVE' and member_id <> $2 \
         and expires_at > $4 and units_left >= $3 and split = $5 and price = $6 \
         and unit_price = $7 and (split = 1 or units_left = $3) and not {} returning state",
        hidden("product.member_id", "$2")
    )
});

/// Sells units of an offer if it still is for sale to this buyer on the terms that were read; `None` if not.
/// One conditional update: it waits for concurrent purchases of the row, and needs no lock before it.
///
/// # Errors
/// The database's.
pub async fn take_in(
    tx: &mut Tx<'_>,
    read: &Stock,
    buyer: MemberId,
    units: Units,
) -> Sql<Option<Taken>> {
    tx.note_locks([Lock::Offer(read.product)], LockMode::Exclusive);
    let now = tx.now().get();
    let row = query(TAKE.as_str())
        .bind(i64::from(read.product))
        .bind(i64::from(buyer))
        .bind(i64::from(units.get()))
        .bind(now)
        .bind(read.sale.flag())
        .bind(read.price.get())
        .bind(read.unit_price.get())
        .fetch_optional(tx.connection())
        .await?;
    let taken = |row: &AnyRow| {
        let state: State = named(row, "state")?;
        Ok(Taken {
            is_sold_out: state == State::SoldOut,
        })
    };
    row.as_ref().map(taken).transpose()
}
