//! The SQL of bookings.

use shared::clock::LocalDateTime;
use shared::event::BookedTime;
use shared::ids::{MemberId, ProductId, TradeId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::slot::{Slot, Wanted};
use super::{Booked, NewBooking};
use crate::db::Tx;
use crate::db::row::column;

type Sql<T> = Result<T, sqlx::Error>;

/// The booking that the same times of this buyer have led to already. Decisive on the connection of a
/// transaction that has locked the offer.
///
/// # Errors
/// The database's.
pub async fn find(
    connection: &mut AnyConnection,
    buyer: MemberId,
    product: ProductId,
    wanted: Wanted,
) -> Sql<Option<Booked>> {
    let row = query(
        "select b.trade_id, b.starts_at, b.ends_at, t.price from booking b \
         join trade t on t.id = b.trade_id where b.buyer_id = $1 and b.product_id = $2 \
         and b.wanted_start = $3 and b.wanted_end = $4",
    )
    .bind(i64::from(buyer))
    .bind(i64::from(product))
    .bind(wanted.start.get())
    .bind(wanted.end.get())
    .fetch_optional(connection)
    .await?;
    let booked = |row: &AnyRow| {
        Ok(Booked {
            trade: column(row, "trade_id")?,
            price: column(row, "price")?,
            slot: slot_of(row)?,
        })
    };
    row.as_ref().map(booked).transpose()
}

fn slot_of(row: &AnyRow) -> Sql<Slot> {
    Ok(Slot {
        starts_at: column(row, "starts_at")?,
        ends_at: column(row, "ends_at")?,
    })
}

/// The greatest number of a spot's bookings that overlap at one moment of this slot: a running count over
/// starts and ends, where ends come first, since slots are half-open.
pub(super) async fn presence(
    connection: &mut AnyConnection,
    product: ProductId,
    slot: Slot,
) -> Sql<u32> {
    let row = query(
        "select cast(coalesce(max(present), 0) as bigint) as present from ( \
         select sum(step) over (order by moment, step) as present from ( \
         select starts_at as moment, 1 as step from booking \
         where product_id = $1 and ends_at > $2 and starts_at < $3 union all \
         select ends_at, -1 from booking \
         where product_id = $1 and ends_at > $2 and starts_at < $3) as steps) as counted",
    )
    .bind(i64::from(product))
    .bind(slot.starts_at.get())
    .bind(slot.ends_at.get())
    .fetch_one(connection)
    .await?;
    column(&row, "present")
}

pub(super) async fn insert(tx: &mut Tx<'_>, new: &NewBooking) -> Sql<()> {
    query(
        "insert into booking (trade_id, product_id, buyer_id, wanted_start, wanted_end, starts_at, \
         ends_at, capacity) values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(i64::from(new.trade))
    .bind(i64::from(new.product))
    .bind(i64::from(new.buyer))
    .bind(new.wanted.start.get())
    .bind(new.wanted.end.get())
    .bind(new.place.slot.starts_at.get())
    .bind(new.place.slot.ends_at.get())
    .bind(i64::from(new.place.capacity))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What is announced of a booking; `None` for a trade without one.
pub(super) async fn booked_time(tx: &mut Tx<'_>, trade: TradeId) -> Sql<Option<BookedTime>> {
    let row = query(
        "select b.buyer_id, b.product_id, p.member_id as seller_id, b.starts_at, b.ends_at \
         from booking b join product p on p.id = b.product_id where b.trade_id = $1",
    )
    .bind(i64::from(trade))
    .fetch_optional(tx.connection())
    .await?;
    let time = |row: &AnyRow| {
        let slot = slot_of(row)?;
        Ok(BookedTime {
            trade_id: trade,
            buyer_id: column(row, "buyer_id")?,
            product_id: column(row, "product_id")?,
            seller_id: column(row, "seller_id")?,
            start_time: LocalDateTime::from_unix(slot.starts_at),
            end_time: LocalDateTime::from_unix(slot.ends_at),
        })
    };
    row.as_ref().map(time).transpose()
}
