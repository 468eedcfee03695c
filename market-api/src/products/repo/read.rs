//! The SQL of offer details and of a seller's list.

use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, query};

use super::super::read::{Detail, Seller, SellingQuery, SellingRow, SpotPart};
use super::super::{Position, Sale, State};
use crate::blocks::hidden;
use crate::db::row::{column, named, optional};
use crate::members::mean_rate;

type Sql<T> = Result<T, sqlx::Error>;

/// An offer of any kind and state, with all its columns, whether it is hidden from the reader, and whether the reader
/// has a booking of it.
pub(in crate::products) async fn detail(
    connection: &mut AnyConnection,
    id: ProductId,
    reader: MemberId,
) -> Sql<Option<Detail>> {
    let text = format!(
        "select p.id, p.member_id, p.kind, p.state, p.price, p.unit_price, p.units_left, p.split, \
         p.expires_at, p.updated_at, m.name, m.image_url, m.rating_sum, m.rating_count, s.title, \
         s.content, s.latitude, s.longitude, s.address, s.opens_at, s.closes_at, s.open_minute, \
         s.close_minute, s.exact_latitude, s.exact_longitude, s.exact_address, \
         cast(case when exists (select 1 from booking b where b.product_id = p.id \
         and b.buyer_id = $2) then 1 else 0 end as bigint) as booked, \
         cast(case when {} then 1 else 0 end as bigint) as hidden \
         from product p join member m on m.id = p.member_id \
         left join spot s on s.product_id = p.id where p.id = $1",
        hidden("p.member_id", "$2")
    );
    let row = query(AssertSqlSafe(text))
        .bind(i64::from(id))
        .bind(i64::from(reader))
        .fetch_optional(connection)
        .await?;
    row.map(|row| detail_of(&row)).transpose()
}

fn detail_of(row: &AnyRow) -> Sql<Detail> {
    let title: Option<String> = row.try_get("title")?;
    Ok(Detail {
        id: column(row, "id")?,
        kind: named(row, "kind")?,
        state: named(row, "state")?,
        price: column(row, "price")?,
        unit_price: optional(row, "unit_price")?.unwrap_or(Won::ZERO),
        units_left: optional(row, "units_left")?.unwrap_or(Units::ZERO),
        sale: optional(row, "split")?.unwrap_or(Sale::Whole),
        expires_at: optional(row, "expires_at")?,
        updated_at: column(row, "updated_at")?,
        is_hidden: column(row, "hidden")?,
        seller: Seller {
            id: column(row, "member_id")?,
            name: row.try_get("name")?,
            image: row.try_get("image_url")?,
            rate: mean_rate(row.try_get("rating_sum")?, row.try_get("rating_count")?),
            ratings: row.try_get("rating_count")?,
        },
        spot: title.map(|title| spot_of(row, title)).transpose()?,
        is_booked: column(row, "booked")?,
    })
}

/// A position from two columns, whose CHECK constraints admit only valid ones.
pub(super) fn stored_position(latitude: f64, longitude: f64) -> Sql<Position> {
    let at = Position::new(latitude, longitude);
    at.ok_or_else(|| sqlx::Error::Decode("a spot that is nowhere".into()))
}

fn spot_of(row: &AnyRow, title: String) -> Sql<SpotPart> {
    let at = stored_position(row.try_get("latitude")?, row.try_get("longitude")?)?;
    let latitude: Option<f64> = row.try_get("exact_latitude")?;
    let longitude: Option<f64> = row.try_get("exact_longitude")?;
    let address: Option<String> = row.try_get("exact_address")?;
    let exact = latitude.zip(longitude).zip(address);
    let exact = exact.map(|((latitude, longitude), address)| {
        Ok::<_, sqlx::Error>((stored_position(latitude, longitude)?, address))
    });
    Ok(SpotPart {
        exact: exact.transpose()?,
        title,
        content: row.try_get("content")?,
        at,
        address: row.try_get("address")?,
        opens_at: column(row, "opens_at")?,
        closes_at: column(row, "closes_at")?,
        open_minute: column(row, "open_minute")?,
        close_minute: column(row, "close_minute")?,
    })
}

/// URLs of a spot's pictures, in their order.
pub(in crate::products) async fn images(
    connection: &mut AnyConnection,
    id: ProductId,
) -> Sql<Vec<String>> {
    let rows = query("select url from product_image where product_id = $1 order by priority")
        .bind(i64::from(id))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The condition of rows of `product p` in a state. An expired offer counts as hidden, also before its row is
/// updated. `$2` is now.
const fn in_state(state: State) -> &'static str {
    match state {
        State::Active => "p.state = 'ACTIVE' and (p.expires_at is null or p.expires_at > $2)",
        State::SoldOut => "p.state = 'SOLD_OUT' and $2 > 0",
        State::Hidden => "(p.state = 'HIDDEN' or (p.state = 'ACTIVE' and p.expires_at <= $2))",
        State::Deleted => "p.state = 'DELETED' and $2 > 0",
    }
}

/// The number of a member's offers in a state.
pub(in crate::products) async fn selling_count(
    connection: &mut AnyConnection,
    wanted: &SellingQuery,
    now: UnixMillis,
) -> Sql<u64> {
    let text = format!(
        "select count(*) as count from product p where p.member_id = $1 and {}",
        in_state(wanted.state)
    );
    let row = query(AssertSqlSafe(text)).bind(i64::from(wanted.seller));
    let row = row.bind(now.get());
    column(&row.fetch_one(connection).await?, "count")
}

/// A page of a member's offers in a state, newest first, plus one row if another page follows.
pub(in crate::products) async fn selling(
    connection: &mut AnyConnection,
    wanted: &SellingQuery,
    now: UnixMillis,
) -> Sql<Vec<SellingRow>> {
    let below = wanted.after.map_or(i64::MAX, i64::from);
    let limit = i64::from(wanted.size.get()) + 1;
    let text = format!(
        "select p.id, p.kind, p.units_listed, p.units_left, p.created_at, p.updated_at, s.title, \
         s.opens_at, s.closes_at, (select i.url from product_image i where i.product_id = p.id \
         order by i.priority limit 1) as image \
         from product p left join spot s on s.product_id = p.id \
         where p.member_id = $1 and {} and p.id < $3 order by p.id desc limit $4",
        in_state(wanted.state)
    );
    let rows = query(AssertSqlSafe(text)).bind(i64::from(wanted.seller));
    let rows = rows.bind(now.get());
    let rows = rows.bind(below).bind(limit).fetch_all(connection).await?;
    let selling = |row: &AnyRow| {
        let opens_at: Option<LocalDateTime> = optional(row, "opens_at")?;
        Ok(SellingRow {
            id: column(row, "id")?,
            kind: named(row, "kind")?,
            state: wanted.state,
            listed: optional(row, "units_listed")?,
            left: optional(row, "units_left")?,
            hours: opens_at.zip(optional(row, "closes_at")?),
            title: row.try_get("title")?,
            image: row.try_get("image")?,
            created_at: column(row, "created_at")?,
            updated_at: column(row, "updated_at")?,
        })
    };
    rows.iter().map(selling).collect()
}
