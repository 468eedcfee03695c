//! The SQL of list pages.
//!
//! A page is read as two ranges of the order's index: rows equal to the last row's key with a higher id, then
//! rows after that key. One condition with `or` selects the same rows, but both databases would scan the index
//! from its beginning.

use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _, query};

use super::super::hours::OPEN;
use super::super::rows::{OfferRow, SpotRow};
use super::super::sort::{Filter, ListOrder, SortColumn};
use super::super::{Kind, Position};
use super::read::stored_position;
use crate::blocks::listed;
use crate::db::row::{column, optional};

type Sql<T> = Result<T, sqlx::Error>;

/// The columns of a list's row, from `product p`, its seller and its spot.
const COLUMNS: &str = "p.id, p.member_id, p.price, p.unit_price, p.units_left, p.split, \
     p.seller_rate, p.updated_at, p.expires_at, m.name, m.image_url, s.title, s.address, s.latitude, \
     s.longitude, s.opens_at, s.closes_at, s.open_minute, s.close_minute, \
     (select i.url from product_image i where i.product_id = p.id order by i.priority limit 1) \
     as image";

const TABLES: &str = "product p join member m on m.id = p.member_id \
     left join spot s on s.product_id = p.id";

/// The rows of a page: filter and start.
#[derive(Clone, Copy, Debug)]
pub(in crate::products) struct Range {
    pub(in crate::products) walk: ListOrder,
    /// Start after this key and id.
    pub(in crate::products) after: Option<(i64, ProductId)>,
    pub(in crate::products) limit: i64,
    pub(in crate::products) now: UnixMillis,
    /// The minute of the day in Seoul.
    pub(in crate::products) minute: u16,
    /// Without offers of sellers who are separated from this reader.
    pub(in crate::products) apart_from: Option<MemberId>,
}

/// The condition of a list's rows: `$1` now, `$2` the minute of the day or the units, `reader` the parameter of the
/// reader, if it counts.
fn shown(range: &Range, reader: &str) -> (String, &'static str) {
    let (walk, kind) = (range.walk, range.walk.kind.name());
    let listed = listed("p.member_id", range.apart_from.map(|_| reader));
    let shown = match walk.kind {
        Kind::MobileData => {
            format!("p.kind = '{kind}' and p.state = 'ACTIVE' and p.expires_at > $1")
        }
        // The first parameter must appear in every text.
        Kind::Wifi | Kind::Hotspot => {
            format!("p.kind = '{kind}' and p.state = 'ACTIVE' and $1 > 0")
        }
    };
    let shown = format!("{shown} and {listed}");
    match walk.filter {
        Filter::None => (format!("{shown} and $2 >= 0"), "product p"),
        Filter::Units(_) => (format!("{shown} and p.units_left = $2"), "product p"),
        Filter::Open => (
            format!("{shown} and {OPEN}"),
            "product p join spot s on s.product_id = p.id",
        ),
    }
}

/// Reads a page in an order by a whole number.
pub(in crate::products) async fn page(
    connection: &mut AnyConnection,
    range: &Range,
) -> Sql<Vec<OfferRow>> {
    let (column, way, beyond) = match range.walk.sort.order() {
        SortColumn::Ascending(column) => (column, "", ">"),
        SortColumn::Descending(column) => (column, " desc", "<"),
        SortColumn::Distance => return Ok(Vec::new()),
    };
    let reader = if range.after.is_none() { "$4" } else { "$6" };
    let (shown, tables) = shown(range, reader);
    let second = match range.walk.filter {
        Filter::None | Filter::Open => i64::from(range.minute),
        Filter::Units(units) => i64::from(units.get()),
    };
    let order = format!("p.{column}{way}, p.id");
    let rows = match range.after {
        None => {
            let text = format!(
                "select {COLUMNS} from {TABLES} where p.id in \
                 (select p.id from {tables} where {shown} order by {order} limit $3) \
                 order by {order} limit $3"
            );
            let rows = query(AssertSqlSafe(text))
                .bind(range.now.get())
                .bind(second);
            let rows = rows.bind(range.limit);
            bind_reader(rows, range.apart_from)
                .fetch_all(connection)
                .await?
        }
        Some((key, id)) => {
            let text = format!(
                "select {COLUMNS} from {TABLES} where p.id in \
                 (select a.id from (select p.id from {tables} where {shown} and p.{column} = $4 \
                 and p.id > $5 order by p.id limit $3) a union all \
                 select b.id from (select p.id from {tables} where {shown} and p.{column} {beyond} $4 \
                 order by {order} limit $3) b) \
                 order by {order} limit $3"
            );
            let rows = query(AssertSqlSafe(text))
                .bind(range.now.get())
                .bind(second);
            let rows = rows.bind(range.limit).bind(key).bind(i64::from(id));
            bind_reader(rows, range.apart_from)
                .fetch_all(connection)
                .await?
        }
    };
    rows.iter().map(offer_row).collect()
}

/// Binds the reader, if it counts. Such texts are rare, and are not kept prepared.
pub(super) fn bind_reader(
    text: Query<'_, Any, AnyArguments>,
    reader: Option<MemberId>,
) -> Query<'_, Any, AnyArguments> {
    match reader {
        Some(reader) => text.bind(i64::from(reader)).persistent(false),
        None => text,
    }
}

/// Bound of ids in one statement: the largest page plus the row after it.
const IDS_MAX: usize = 128;

/// The active offers with these ids, in no order.
pub(in crate::products) async fn offers(
    connection: &mut AnyConnection,
    ids: &[ProductId],
) -> Sql<Vec<OfferRow>> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_MAX) {
        // Only a few texts, so that each is prepared once: the last id fills the remaining parameters.
        let places = ids.len().next_power_of_two().max(8);
        let marks: Vec<_> = (1..=places).map(|n| format!("${n}")).collect();
        let text = format!(
            "select {COLUMNS} from {TABLES} where p.state = 'ACTIVE' and p.id in ({})",
            marks.join(", ")
        );
        let mut asked = query(AssertSqlSafe(text));
        let filled = ids.iter().chain(ids.last().into_iter().cycle());
        for id in filled.take(places) {
            asked = asked.bind(i64::from(*id));
        }
        let rows = asked.fetch_all(&mut *connection).await?;
        for row in &rows {
            found.push(offer_row(row)?);
        }
    }
    Ok(found)
}

fn offer_row(row: &AnyRow) -> Sql<OfferRow> {
    let latitude: Option<f64> = row.try_get("latitude")?;
    let longitude: Option<f64> = row.try_get("longitude")?;
    let at = latitude.zip(longitude);
    let at = at.map(|(latitude, longitude)| stored_position(latitude, longitude));
    let at = at.transpose()?;
    Ok(OfferRow {
        id: column(row, "id")?,
        seller: column(row, "member_id")?,
        price: column(row, "price")?,
        unit_price: optional(row, "unit_price")?.unwrap_or(Won::ZERO),
        units_left: optional(row, "units_left")?.unwrap_or(Units::ZERO),
        split: optional(row, "split")?.unwrap_or(false),
        seller_rate: row.try_get("seller_rate")?,
        updated_at: column(row, "updated_at")?,
        member_name: row.try_get("name")?,
        member_image: row.try_get("image_url")?,
        spot: at.map(|at| spot_row(row, at)).transpose()?,
    })
}

fn spot_row(row: &AnyRow, at: Position) -> Sql<SpotRow> {
    Ok(SpotRow {
        title: row.try_get("title")?,
        address: row.try_get("address")?,
        latitude: at.latitude(),
        longitude: at.longitude(),
        opens_at: column(row, "opens_at")?,
        closes_at: column(row, "closes_at")?,
        open_minute: column(row, "open_minute")?,
        close_minute: column(row, "close_minute")?,
        image: row.try_get("image")?,
    })
}
