//! What is read of single offers, of a seller's, and of prices.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, query};

use super::super::read::{Detail, SellingRow, SpotPart};
use super::super::{Kind, State};

type Sql<T> = Result<T, sqlx::Error>;

/// Everything about an offer, whatever its kind and state.
pub(in crate::products) async fn detail(
    connection: &mut AnyConnection,
    id: i64,
) -> Sql<Option<Detail>> {
    let row = query(
        "select p.id, p.member_id, p.kind, p.state, p.price, p.unit_price, p.units_left, p.split, \
         p.expires_at, p.updated_at, m.name, m.image_url, m.rating_sum, m.rating_count, s.title, \
         s.content, s.latitude, s.longitude, s.address, s.opens_at, s.closes_at, s.open_minute, \
         s.close_minute \
         from product p join member m on m.id = p.member_id \
         left join spot s on s.product_id = p.id where p.id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| detail_of(&row)).transpose()
}

fn detail_of(row: &AnyRow) -> Sql<Detail> {
    let title: Option<String> = row.try_get("title")?;
    let spot = match title {
        None => None,
        Some(title) => Some(SpotPart {
            title,
            content: row.try_get("content")?,
            latitude: row.try_get("latitude")?,
            longitude: row.try_get("longitude")?,
            address: row.try_get("address")?,
            opens_at: row.try_get("opens_at")?,
            closes_at: row.try_get("closes_at")?,
            open_minute: row.try_get("open_minute")?,
            close_minute: row.try_get("close_minute")?,
        }),
    };
    Ok(Detail {
        id: row.try_get("id")?,
        member: row.try_get("member_id")?,
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        price: row.try_get("price")?,
        unit_price: row.try_get::<Option<_>, _>("unit_price")?.unwrap_or(0),
        units_left: row.try_get::<Option<_>, _>("units_left")?.unwrap_or(0),
        split: row.try_get::<Option<i64>, _>("split")? == Some(1),
        expires_at: row.try_get("expires_at")?,
        updated_at: row.try_get("updated_at")?,
        member_name: row.try_get("name")?,
        member_image: row.try_get("image_url")?,
        rating_sum: row.try_get("rating_sum")?,
        rating_count: row.try_get("rating_count")?,
        spot,
    })
}

/// A spot's pictures in their order.
pub(in crate::products) async fn images(
    connection: &mut AnyConnection,
    id: i64,
) -> Sql<Vec<String>> {
    let rows = query("select url from product_image where product_id = $1 order by priority")
        .bind(id)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(in crate::products) async fn member_exists(
    connection: &mut AnyConnection,
    id: i64,
) -> Sql<bool> {
    let row = query("select id from member where id = $1").bind(id);
    Ok(row.fetch_optional(connection).await?.is_some())
}

/// The rows of `product p` in a state. An expired offer is hidden, whether or not it has been marked.
/// `$2` is now.
const fn in_state(state: State) -> &'static str {
    match state {
        State::Active => "p.state = 'ACTIVE' and (p.expires_at is null or p.expires_at > $2)",
        State::SoldOut => "p.state = 'SOLD_OUT' and $2 > 0",
        State::Hidden => "(p.state = 'HIDDEN' or (p.state = 'ACTIVE' and p.expires_at <= $2))",
        State::Deleted => "p.state = 'DELETED' and $2 > 0",
    }
}

/// How many offers of a member are in a state.
pub(in crate::products) async fn selling_count(
    connection: &mut AnyConnection,
    member: i64,
    state: State,
    now: i64,
) -> Sql<i64> {
    let text = format!(
        "select count(*) from product p where p.member_id = $1 and {}",
        in_state(state)
    );
    let row = query(AssertSqlSafe(text)).bind(member).bind(now);
    row.fetch_one(connection).await?.try_get(0)
}

/// A member's offers in a state, the newest first, from below an id.
pub(in crate::products) async fn selling(
    connection: &mut AnyConnection,
    member: i64,
    state: State,
    now: i64,
    below: (i64, i64),
) -> Sql<Vec<SellingRow>> {
    let (below, limit) = below;
    let text = format!(
        "select p.id, p.kind, p.units_listed, p.units_left, p.created_at, p.updated_at, s.title, \
         s.opens_at, s.closes_at, (select i.url from product_image i where i.product_id = p.id \
         order by i.priority limit 1) as image \
         from product p left join spot s on s.product_id = p.id \
         where p.member_id = $1 and {} and p.id < $3 order by p.id desc limit $4",
        in_state(state)
    );
    let rows = query(AssertSqlSafe(text)).bind(member).bind(now);
    let rows = rows.bind(below).bind(limit).fetch_all(connection).await?;
    let selling = |row: &AnyRow| {
        Ok(SellingRow {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            state,
            units_listed: row.try_get("units_listed")?,
            units_left: row.try_get("units_left")?,
            opens_at: row.try_get("opens_at")?,
            closes_at: row.try_get("closes_at")?,
            title: row.try_get("title")?,
            image: row.try_get("image")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    };
    rows.iter().map(selling).collect()
}

/// Won for 0.1 GB of the offer sold out last since a time, and the mean of all of them.
pub(in crate::products) async fn data_price(
    connection: &mut AnyConnection,
    since: i64,
) -> Sql<(i64, i64)> {
    let row = query(
        "select coalesce((select unit_price from product where state = 'SOLD_OUT' \
         and kind = 'MOBILE_DATA' and sold_out_at >= $1 order by sold_out_at desc, id desc \
         limit 1), 0), \
         coalesce((select cast(sum(unit_price) as bigint) / count(*) from product \
         where state = 'SOLD_OUT' and kind = 'MOBILE_DATA' and sold_out_at >= $1), 0)",
    )
    .bind(since)
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Won for each started ten minutes of the last sale since a time, and the mean of all of them.
pub(in crate::products) async fn spot_price(
    connection: &mut AnyConnection,
    kind: Kind,
    since: i64,
) -> Sql<(i64, i64)> {
    let sale = match kind {
        Kind::Wifi => "SALE_WIFI",
        Kind::Hotspot => "SALE_HOTSPOT",
        Kind::MobileData => "SALE_MOBILE_DATA",
    };
    let row = query(
        "select coalesce((select price / ((minutes + 9) / 10) from trade where kind = $1 \
         and created_at >= $2 and minutes is not null order by created_at desc, id desc limit 1), 0), \
         coalesce((select cast(sum(price / ((minutes + 9) / 10)) as bigint) / count(*) from trade \
         where kind = $1 and created_at >= $2 and minutes is not null), 0)",
    )
    .bind(sale)
    .bind(since)
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
