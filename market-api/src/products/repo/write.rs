//! The SQL of changes to offers.

use shared::clock::{Month, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, query};

use super::super::form::NewSpot;
use super::super::{Kind, Sale, State};
use crate::db::row::{column, named, optional};
use crate::db::{Lock, LockMode, Tx, locking};

type Sql<T> = Result<T, sqlx::Error>;

/// A product whose row is locked.
#[derive(Debug)]
pub(in crate::products) struct Locked {
    pub(in crate::products) id: ProductId,
    pub(in crate::products) member: MemberId,
    pub(in crate::products) kind: Kind,
    pub(in crate::products) state: State,
    pub(in crate::products) price: Won,
    /// Zero for spots, as are the following fields.
    pub(in crate::products) unit_price: Won,
    pub(in crate::products) sale: Sale,
    pub(in crate::products) units_left: Units,
    pub(in crate::products) units_sold: Units,
    pub(in crate::products) expires_at: Option<UnixMillis>,
}

/// A new offer of mobile data.
#[derive(Debug)]
pub(in crate::products) struct DataRow {
    pub(in crate::products) member: MemberId,
    pub(in crate::products) month: Month,
    pub(in crate::products) expires_at: UnixMillis,
    pub(in crate::products) terms: DataTerms,
    /// The seller's mean rating, in thousandths of a star.
    pub(in crate::products) seller_rate: i64,
}

/// The terms of an offer of mobile data that a seller may change.
#[derive(Clone, Copy, Debug)]
pub(in crate::products) struct DataTerms {
    pub(in crate::products) price: Won,
    pub(in crate::products) unit_price: Won,
    pub(in crate::products) sale: Sale,
    pub(in crate::products) units: Units,
}

/// Whether a change raises the price for buyers who have seen the offer: a purchase shortly after is refused
/// (`money.md`, "Purchases").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::products) enum PriceChange {
    /// A higher price, or another sale mode.
    Raised,
    /// Not higher, in the same sale mode.
    NotRaised,
}

impl PriceChange {
    pub(in crate::products) fn raised_if(is_raised: bool) -> Self {
        match is_raised {
            true => Self::Raised,
            false => Self::NotRaised,
        }
    }
}

/// The rest and the sales of the member's offers of the month.
pub(in crate::products) async fn listed_in_month(
    tx: &mut Tx<'_>,
    member: MemberId,
    month: Month,
) -> Sql<Units> {
    let row = query(
        "select cast(coalesce(sum(units_left + units_sold), 0) as bigint) as units from product \
         where member_id = $1 and month = $2 and kind = 'MOBILE_DATA'",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .fetch_one(tx.connection())
    .await?;
    column(&row, "units")
}

pub(in crate::products) async fn lock_product(
    tx: &mut Tx<'_>,
    id: ProductId,
) -> Sql<Option<Locked>> {
    let text = locking!(
        tx,
        [Lock::Offer(id)],
        "select id, member_id, kind, state, price, unit_price, split, units_left, units_sold, \
         expires_at from product where id = $1"
    );
    let row = query(text).bind(i64::from(id));
    let row = row.fetch_optional(tx.connection()).await?;
    let locked = |row: &AnyRow| {
        Ok(Locked {
            id: column(row, "id")?,
            member: column(row, "member_id")?,
            kind: named(row, "kind")?,
            state: named(row, "state")?,
            price: column(row, "price")?,
            unit_price: optional(row, "unit_price")?.unwrap_or(Won::ZERO),
            sale: optional(row, "split")?.unwrap_or(Sale::Whole),
            units_left: optional(row, "units_left")?.unwrap_or(Units::ZERO),
            units_sold: optional(row, "units_sold")?.unwrap_or(Units::ZERO),
            expires_at: optional(row, "expires_at")?,
        })
    };
    row.as_ref().map(locked).transpose()
}

/// Takes a shared lock on an offer until the transaction ends; returns its seller. Shared locks do not block
/// one another.
pub(in crate::products) async fn lock_shared(
    tx: &mut Tx<'_>,
    id: ProductId,
) -> Sql<Option<MemberId>> {
    let text = locking!(
        tx,
        shared[Lock::Offer(id)],
        "select member_id from product where id = $1"
    );
    let row = query(text).bind(i64::from(id));
    let row = row.fetch_optional(tx.connection()).await?;
    row.as_ref().map(|row| column(row, "member_id")).transpose()
}

pub(in crate::products) async fn insert_data(tx: &mut Tx<'_>, row: &DataRow) -> Sql<ProductId> {
    let now = tx.now().get();
    let inserted = query(
        "insert into product (member_id, kind, state, price, unit_price, split, units_listed, \
         units_left, units_sold, units_returned, month, expires_at, seller_rate, created_at, \
         updated_at) \
         values ($1, 'MOBILE_DATA', 'ACTIVE', $2, $3, $4, $5, $5, 0, 0, $6, $7, $8, $9, $9) \
         returning id",
    )
    .bind(i64::from(row.member))
    .bind(row.terms.price.get())
    .bind(row.terms.unit_price.get())
    .bind(row.terms.sale.flag())
    .bind(i64::from(row.terms.units.get()))
    .bind(row.month.get())
    .bind(row.expires_at.get())
    .bind(row.seller_rate)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    column(&inserted, "id")
}

pub(in crate::products) async fn update_data(
    tx: &mut Tx<'_>,
    id: ProductId,
    terms: &DataTerms,
    change: PriceChange,
) -> Sql<()> {
    let now = tx.now().get();
    query(
        "update product set price = $2, unit_price = $3, split = $4, units_listed = $5, \
         units_left = $5, updated_at = $6, \
         raised_at = case when $7 = 1 then $6 else raised_at end where id = $1",
    )
    .bind(i64::from(id))
    .bind(terms.price.get())
    .bind(terms.unit_price.get())
    .bind(terms.sale.flag())
    .bind(i64::from(terms.units.get()))
    .bind(now)
    .bind(i64::from(change == PriceChange::Raised))
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(in crate::products) async fn insert_spot_product(
    tx: &mut Tx<'_>,
    spot: &NewSpot,
    seller_rate: i64,
) -> Sql<ProductId> {
    let now = tx.now().get();
    let inserted = query(
        "insert into product (member_id, kind, state, price, seller_rate, created_at, updated_at) \
         values ($1, $2, 'ACTIVE', $3, $4, $5, $5) returning id",
    )
    .bind(i64::from(spot.member))
    .bind(spot.kind.name())
    .bind(spot.price.won().get())
    .bind(seller_rate)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    column(&inserted, "id")
}

/// `$1` is the product, `$2` to `$14` the columns of the spot in their order; the last three are stored if `$15` is 1.
/// No number of them is bound as null, which would fix another type of the prepared statement.
fn bind_spot<'q>(
    text: &'static str,
    id: ProductId,
    spot: &'q NewSpot,
) -> Query<'q, Any, AnyArguments> {
    let (at, address) = spot.shown();
    query(text)
        .bind(i64::from(id))
        .bind(spot.title.as_str())
        .bind(spot.content.as_str())
        .bind(at.latitude())
        .bind(at.longitude())
        .bind(address)
        .bind(spot.opens_at.to_unix().get())
        .bind(spot.closes_at.to_unix().get())
        .bind(i64::from(spot.opens_at.minute_of_day()))
        .bind(i64::from(spot.closes_at.minute_of_day()))
        .bind(i64::from(spot.capacity))
        .bind(spot.at.latitude())
        .bind(spot.at.longitude())
        .bind(spot.address.as_str())
        .bind(i64::from(spot.kind == Kind::Hotspot))
}

pub(in crate::products) async fn insert_spot(
    tx: &mut Tx<'_>,
    id: ProductId,
    spot: &NewSpot,
) -> Sql<()> {
    let text = "insert into spot (product_id, title, content, latitude, longitude, address, opens_at, \
         closes_at, open_minute, close_minute, capacity, exact_latitude, exact_longitude, exact_address) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, case when $15 = 1 then $12 end, \
         case when $15 = 1 then $13 end, case when $15 = 1 then $14 end)";
    bind_spot(text, id, spot).execute(tx.connection()).await?;
    Ok(())
}

pub(in crate::products) async fn update_price(
    tx: &mut Tx<'_>,
    id: ProductId,
    price: Won,
    change: PriceChange,
) -> Sql<()> {
    let now = tx.now().get();
    query(
        "update product set price = $2, updated_at = $3, \
         raised_at = case when $4 = 1 then $3 else raised_at end where id = $1",
    )
    .bind(i64::from(id))
    .bind(price.get())
    .bind(now)
    .bind(i64::from(change == PriceChange::Raised))
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(in crate::products) async fn update_spot(
    tx: &mut Tx<'_>,
    id: ProductId,
    spot: &NewSpot,
) -> Sql<()> {
    let text = "update spot set title = $2, content = $3, latitude = $4, longitude = $5, address = $6, \
         opens_at = $7, closes_at = $8, open_minute = $9, close_minute = $10, capacity = $11, \
         exact_latitude = case when $15 = 1 then $12 end, \
         exact_longitude = case when $15 = 1 then $13 end, \
         exact_address = case when $15 = 1 then $14 end \
         where product_id = $1";
    bind_spot(text, id, spot).execute(tx.connection()).await?;
    Ok(())
}

/// Removes a deleted spot from the index of positions.
pub(in crate::products) async fn unlist_spot(tx: &mut Tx<'_>, id: ProductId) -> Sql<()> {
    query("update spot set listed = 0 where product_id = $1")
        .bind(i64::from(id))
        .execute(tx.connection())
        .await?;
    Ok(())
}

pub(in crate::products) async fn delete_images(tx: &mut Tx<'_>, id: ProductId) -> Sql<()> {
    query("delete from product_image where product_id = $1")
        .bind(i64::from(id))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Inserts a spot's pictures in their order; lists show the first. A handful (`form`).
pub(in crate::products) async fn insert_images(
    tx: &mut Tx<'_>,
    id: ProductId,
    urls: &[String],
) -> Sql<()> {
    for (priority, url) in (0_i64..).zip(urls) {
        query("insert into product_image (product_id, priority, url) values ($1, $2, $3)")
            .bind(i64::from(id))
            .bind(priority)
            .bind(url.as_str())
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// Deletes an active offer of this member; returns its kind. Waits for concurrent purchases of the row and
/// takes effect once. (A spot has no units: null times anything is null.)
pub(in crate::products) async fn delete_active(
    tx: &mut Tx<'_>,
    id: ProductId,
    member: MemberId,
) -> Sql<Option<Kind>> {
    tx.note_locks([Lock::Offer(id)], LockMode::Exclusive);
    let now = tx.now().get();
    let row = query(
        "update product set state = 'DELETED', units_returned = units_left, \
         units_left = units_left * 0, updated_at = $3 \
         where id = $1 and member_id = $2 and state = 'ACTIVE' returning kind",
    )
    .bind(i64::from(id))
    .bind(i64::from(member))
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(|row| named(row, "kind")).transpose()
}

/// Locks the first expired offers, at most `limit`; returns the last one's id.
pub(in crate::products) async fn lock_expired(
    tx: &mut Tx<'_>,
    limit: i64,
) -> Sql<Option<ProductId>> {
    let now = tx.now().get();
    let text = locking!(
        tx,
        [Lock::FoundOffers],
        "select id from product where state = 'ACTIVE' and expires_at <= $1 order by id limit $2"
    );
    let rows = query(text).bind(now).bind(limit);
    let rows = rows.fetch_all(tx.connection()).await?;
    rows.last().map(|row| column(row, "id")).transpose()
}

/// Hides the expired offers up to an id; all of them are locked.
pub(in crate::products) async fn hide_expired(tx: &mut Tx<'_>, last: ProductId) -> Sql<u64> {
    let now = tx.now().get();
    let done = query(
        "update product set state = 'HIDDEN', units_returned = units_left, units_left = 0, \
         updated_at = $1 where state = 'ACTIVE' and expires_at <= $1 and id <= $2",
    )
    .bind(now)
    .bind(i64::from(last))
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
