//! What changes an offer.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Row as _, query};

use super::super::form::NewSpot;
use super::super::read::mean_rate;
use crate::db::{Tx, locking};

type Sql<T> = Result<T, sqlx::Error>;

/// A product under its lock.
#[derive(Debug)]
pub(in crate::products) struct Locked {
    pub(in crate::products) id: i64,
    pub(in crate::products) member: i64,
    pub(in crate::products) kind: String,
    pub(in crate::products) state: String,
    pub(in crate::products) price: i64,
    /// 0 where there is none, as for all that follows: spots have none of it.
    pub(in crate::products) unit_price: i64,
    pub(in crate::products) split: bool,
    pub(in crate::products) units_left: i64,
    pub(in crate::products) units_sold: i64,
    pub(in crate::products) expires_at: Option<i64>,
}

/// An offer of mobile data to be written.
#[derive(Debug)]
pub(in crate::products) struct DataRow {
    pub(in crate::products) member: i64,
    pub(in crate::products) month: i64,
    pub(in crate::products) expires_at: i64,
    pub(in crate::products) price: i64,
    pub(in crate::products) unit_price: i64,
    pub(in crate::products) split: bool,
    pub(in crate::products) units: i64,
    pub(in crate::products) seller_rate: i64,
}

/// What of it may change.
#[derive(Debug)]
pub(in crate::products) struct DataTerms {
    pub(in crate::products) price: i64,
    pub(in crate::products) unit_price: i64,
    pub(in crate::products) split: bool,
    pub(in crate::products) units: i64,
    /// Dearer than before, or of another kind.
    pub(in crate::products) raised: bool,
}

/// What a member has in a month.
#[derive(Debug)]
pub(in crate::products) struct Month {
    pub(in crate::products) providing: i64,
    pub(in crate::products) bought: i64,
}

/// Locks a member's wallet, and makes it where there is none.
pub(in crate::products) async fn lock_wallet(tx: &mut Tx<'_>, member: i64) -> Sql<()> {
    query("insert into wallet (member_id) values ($1) on conflict (member_id) do nothing")
        .bind(member)
        .execute(tx.connection())
        .await?;
    let text = locking!(tx, "select member_id from wallet where member_id = $1");
    query(text).bind(member).fetch_one(tx.connection()).await?;
    Ok(())
}

/// Makes the member's row of the month from their plan, if they have one.
pub(in crate::products) async fn ensure_month(tx: &mut Tx<'_>, member: i64, month: i64) -> Sql<()> {
    query(
        "insert into member_month (member_id, month, providing) \
         select member_id, cast($2 as bigint), providing from plan where member_id = $1 \
         on conflict (member_id, month) do nothing",
    )
    .bind(member)
    .bind(month)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What the member's plan gives in the month and what they bought. `None` without a plan.
pub(in crate::products) async fn month_of(
    tx: &mut Tx<'_>,
    member: i64,
    month: i64,
) -> Sql<Option<Month>> {
    let text = locking!(
        tx,
        "select providing, bought from member_month where member_id = $1 and month = $2"
    );
    let row = query(text).bind(member).bind(month);
    let row = row.fetch_optional(tx.connection()).await?;
    let month = |row: sqlx::any::AnyRow| {
        Ok(Month {
            providing: row.try_get(0)?,
            bought: row.try_get(1)?,
        })
    };
    row.map(month).transpose()
}

/// What the member's offers of the month have left and sold.
pub(in crate::products) async fn listed_in_month(
    tx: &mut Tx<'_>,
    member: i64,
    month: i64,
) -> Sql<i64> {
    let row = query(
        "select cast(coalesce(sum(units_left + units_sold), 0) as bigint) from product \
         where member_id = $1 and month = $2 and kind = 'MOBILE_DATA'",
    )
    .bind(member)
    .bind(month)
    .fetch_one(tx.connection())
    .await?;
    row.try_get(0)
}

/// The member's mean rating, in thousandths of a star. The lock keeps a rating out until the offer
/// that is made with it can be seen.
pub(in crate::products) async fn lock_rate(tx: &mut Tx<'_>, member: i64) -> Sql<i64> {
    let text = locking!(
        tx,
        "select rating_sum, rating_count from member where id = $1"
    );
    let row = query(text).bind(member).fetch_one(tx.connection()).await?;
    Ok(mean_rate(row.try_get(0)?, row.try_get(1)?))
}

pub(in crate::products) async fn lock_product(tx: &mut Tx<'_>, id: i64) -> Sql<Option<Locked>> {
    let text = locking!(
        tx,
        "select id, member_id, kind, state, price, unit_price, split, units_left, units_sold, \
         expires_at from product where id = $1"
    );
    let row = query(text).bind(id).fetch_optional(tx.connection()).await?;
    let locked = |row: sqlx::any::AnyRow| {
        Ok(Locked {
            id: row.try_get(0)?,
            member: row.try_get(1)?,
            kind: row.try_get(2)?,
            state: row.try_get(3)?,
            price: row.try_get(4)?,
            unit_price: row.try_get::<Option<i64>, _>(5)?.unwrap_or(0),
            split: row.try_get::<Option<i64>, _>(6)? == Some(1),
            units_left: row.try_get::<Option<i64>, _>(7)?.unwrap_or(0),
            units_sold: row.try_get::<Option<i64>, _>(8)?.unwrap_or(0),
            expires_at: row.try_get(9)?,
        })
    };
    row.map(locked).transpose()
}

pub(in crate::products) async fn insert_data(tx: &mut Tx<'_>, row: &DataRow) -> Sql<i64> {
    let now = tx.now().get();
    let inserted = query(
        "insert into product (member_id, kind, state, price, unit_price, split, units_listed, \
         units_left, units_sold, units_returned, month, expires_at, seller_rate, created_at, \
         updated_at) \
         values ($1, 'MOBILE_DATA', 'ACTIVE', $2, $3, $4, $5, $5, 0, 0, $6, $7, $8, $9, $9) \
         returning id",
    )
    .bind(row.member)
    .bind(row.price)
    .bind(row.unit_price)
    .bind(i64::from(row.split))
    .bind(row.units)
    .bind(row.month)
    .bind(row.expires_at)
    .bind(row.seller_rate)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    inserted.try_get(0)
}

pub(in crate::products) async fn update_data(
    tx: &mut Tx<'_>,
    id: i64,
    terms: &DataTerms,
) -> Sql<()> {
    let now = tx.now().get();
    query(
        "update product set price = $2, unit_price = $3, split = $4, units_listed = $5, \
         units_left = $5, updated_at = $6, \
         raised_at = case when $7 = 1 then $6 else raised_at end where id = $1",
    )
    .bind(id)
    .bind(terms.price)
    .bind(terms.unit_price)
    .bind(i64::from(terms.split))
    .bind(terms.units)
    .bind(now)
    .bind(i64::from(terms.raised))
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(in crate::products) async fn insert_spot_product(
    tx: &mut Tx<'_>,
    spot: &NewSpot,
    seller_rate: i64,
) -> Sql<i64> {
    let now = tx.now().get();
    let inserted = query(
        "insert into product (member_id, kind, state, price, seller_rate, created_at, updated_at) \
         values ($1, $2, 'ACTIVE', $3, $4, $5, $5) returning id",
    )
    .bind(i64::from(spot.member.get()))
    .bind(spot.kind.name())
    .bind(spot.price.won().get())
    .bind(seller_rate)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    inserted.try_get(0)
}

/// $1 is the product, $2 to $11 what stands in a spot, in the order of its columns.
fn bind_spot<'q>(text: &'static str, id: i64, spot: &'q NewSpot) -> Query<'q, Any, AnyArguments> {
    query(text)
        .bind(id)
        .bind(spot.title.as_str())
        .bind(spot.content.as_str())
        .bind(spot.at.latitude())
        .bind(spot.at.longitude())
        .bind(spot.address.as_str())
        .bind(spot.opens_at.to_unix().get())
        .bind(spot.closes_at.to_unix().get())
        .bind(i64::from(spot.opens_at.minute_of_day()))
        .bind(i64::from(spot.closes_at.minute_of_day()))
        .bind(i64::from(spot.capacity))
}

pub(in crate::products) async fn insert_spot(tx: &mut Tx<'_>, id: i64, spot: &NewSpot) -> Sql<()> {
    let text = "insert into spot (product_id, title, content, latitude, longitude, address, opens_at, \
         closes_at, open_minute, close_minute, capacity) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    bind_spot(text, id, spot).execute(tx.connection()).await?;
    Ok(())
}

pub(in crate::products) async fn update_price(
    tx: &mut Tx<'_>,
    id: i64,
    price: i64,
    raised: bool,
) -> Sql<()> {
    let now = tx.now().get();
    query(
        "update product set price = $2, updated_at = $3, \
         raised_at = case when $4 = 1 then $3 else raised_at end where id = $1",
    )
    .bind(id)
    .bind(price)
    .bind(now)
    .bind(i64::from(raised))
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(in crate::products) async fn update_spot(tx: &mut Tx<'_>, id: i64, spot: &NewSpot) -> Sql<()> {
    let text = "update spot set title = $2, content = $3, latitude = $4, longitude = $5, address = $6, \
         opens_at = $7, closes_at = $8, open_minute = $9, close_minute = $10, capacity = $11 \
         where product_id = $1";
    bind_spot(text, id, spot).execute(tx.connection()).await?;
    Ok(())
}

/// Takes a deleted spot out of what is found by distance.
pub(in crate::products) async fn unlist_spot(tx: &mut Tx<'_>, id: i64) -> Sql<()> {
    query("update spot set listed = 0 where product_id = $1")
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

pub(in crate::products) async fn delete_images(tx: &mut Tx<'_>, id: i64) -> Sql<()> {
    query("delete from product_image where product_id = $1")
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// In their order; the first is the one of lists. A handful (`form`).
pub(in crate::products) async fn insert_images(
    tx: &mut Tx<'_>,
    id: i64,
    urls: &[String],
) -> Sql<()> {
    for (priority, url) in (0_i64..).zip(urls) {
        query("insert into product_image (product_id, priority, url) values ($1, $2, $3)")
            .bind(id)
            .bind(priority)
            .bind(url.as_str())
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// Takes an offer back, if it is there to be taken; what it sold. It waits for purchases of the same row and
/// happens once. (A spot has no units: null times anything is null.)
pub(in crate::products) async fn delete_active(
    tx: &mut Tx<'_>,
    id: i64,
    member: i64,
) -> Sql<Option<String>> {
    let now = tx.now().get();
    let row = query(
        "update product set state = 'DELETED', units_returned = units_left, \
         units_left = units_left * 0, updated_at = $3 \
         where id = $1 and member_id = $2 and state = 'ACTIVE' returning kind",
    )
    .bind(id)
    .bind(member)
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Locks the first expired offers, at most `limit`; the last one's id.
pub(in crate::products) async fn lock_expired(tx: &mut Tx<'_>, limit: i64) -> Sql<Option<i64>> {
    let now = tx.now().get();
    let text = locking!(
        tx,
        "select id from product where state = 'ACTIVE' and expires_at <= $1 order by id limit $2"
    );
    let rows = query(text).bind(now).bind(limit);
    let rows = rows.fetch_all(tx.connection()).await?;
    rows.last().map(|row| row.try_get(0)).transpose()
}

/// Hides the expired offers up to an id, all of them locked.
pub(in crate::products) async fn hide_expired(tx: &mut Tx<'_>, last: i64) -> Sql<u64> {
    let now = tx.now().get();
    let done = query(
        "update product set state = 'HIDDEN', units_returned = units_left, units_left = 0, \
         updated_at = $1 where state = 'ACTIVE' and expires_at <= $1 and id <= $2",
    )
    .bind(now)
    .bind(last)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
