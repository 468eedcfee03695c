//! The SQL of trades.

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::{Units, Won};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::MarketPrice;
use super::basket::Line;
use super::kind::TradeKind;
use crate::cash::Payment;
use crate::db::Tx;
use crate::db::row::column;
use crate::products::Kind;

/// A trade to insert.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewTrade {
    pub(super) member: MemberId,
    pub(super) kind: TradeKind,
    /// What the buyer pays.
    pub(super) price: Won,
    /// What the seller does not get of it.
    pub(super) fee: Won,
    pub(super) units: Option<Units>,
    pub(super) minutes: Option<u32>,
    /// The buckets that a purchase was paid from.
    pub(super) paid: Option<Payment>,
    /// The purchase that a sale belongs to.
    pub(super) purchase: Option<TradeId>,
}

pub(super) async fn insert_trade(tx: &mut Tx<'_>, new: &NewTrade) -> Result<TradeId, sqlx::Error> {
    let (month, now) = (tx.month().get(), tx.now().get());
    let paid = |bucket: fn(&Payment) -> Won| new.paid.as_ref().map_or(0, |paid| bucket(paid).get());
    let row = query(
        "insert into trade (member_id, kind, price, fee, units, minutes, charged, earned, \
         purchase_id, month, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id",
    )
    .bind(i64::from(new.member))
    .bind(new.kind.name())
    .bind(new.price.get())
    .bind(new.fee.get())
    .bind(new.units.map(|units| i64::from(units.get())))
    .bind(new.minutes.map(i64::from))
    .bind(paid(|paid| paid.charged))
    .bind(paid(|paid| paid.earned))
    .bind(new.purchase.map(i64::from))
    .bind(month)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    column(&row, "id")
}

/// The offers of a trade: at most 20.
pub(super) async fn insert_details(
    tx: &mut Tx<'_>,
    trade: TradeId,
    lines: &[Line],
) -> Result<(), sqlx::Error> {
    for line in lines {
        query(
            "insert into trade_detail (trade_id, product_id, units, price) values ($1, $2, $3, $4)",
        )
        .bind(i64::from(trade))
        .bind(i64::from(line.product))
        .bind(line.amount.units().map(|units| i64::from(units.get())))
        .bind(line.price.get())
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

/// Won for 0.1 GB of the offer sold out last since a time, and the mean of all of them.
pub(super) async fn data_price(
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
pub(super) async fn spot_price(
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
