//! The SQL of market prices.

use shared::clock::UnixMillis;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::super::price::MarketPrice;
use crate::db::row::column;
use crate::products::Kind;

/// Won for 0.1 GB of the offer sold out last since a time, and the mean of all of them.
pub(in crate::trades) async fn data_price(
    connection: &mut AnyConnection,
    since: UnixMillis,
) -> Result<MarketPrice, sqlx::Error> {
    let row = query(
        "select coalesce((select unit_price from product where state = 'SOLD_OUT' \
         and kind = 'MOBILE_DATA' and sold_out_at >= $1 order by sold_out_at desc, id desc \
         limit 1), 0) as recent, \
         coalesce((select cast(sum(unit_price) as bigint) / count(*) from product \
         where state = 'SOLD_OUT' and kind = 'MOBILE_DATA' and sold_out_at >= $1), 0) as average",
    )
    .bind(since.get())
    .fetch_one(connection)
    .await?;
    read_price(&row)
}

/// Won for each started ten minutes of the last sale since a time, and the mean of all of them.
pub(in crate::trades) async fn spot_price(
    connection: &mut AnyConnection,
    kind: Kind,
    since: UnixMillis,
) -> Result<MarketPrice, sqlx::Error> {
    let sale = match kind {
        Kind::Wifi => "SALE_WIFI",
        Kind::Hotspot => "SALE_HOTSPOT",
        Kind::MobileData => "SALE_MOBILE_DATA",
    };
    let row = query(
        "select coalesce((select price / ((minutes + 9) / 10) from trade where kind = $1 \
         and created_at >= $2 and minutes is not null order by created_at desc, id desc limit 1), 0) as recent, \
         coalesce((select cast(sum(price / ((minutes + 9) / 10)) as bigint) / count(*) from trade \
         where kind = $1 and created_at >= $2 and minutes is not null), 0) as average",
    )
    .bind(sale)
    .bind(since.get())
    .fetch_one(connection)
    .await?;
    read_price(&row)
}

fn read_price(row: &AnyRow) -> Result<MarketPrice, sqlx::Error> {
    Ok(MarketPrice {
        recent: column(row, "recent")?,
        average: column(row, "average")?,
    })
}
