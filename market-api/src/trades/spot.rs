//! Purchases of time on a Wi-Fi spot or hotspot.

use shared::clock::UnixMillis;
use shared::ids::{ItemId, MemberId, ProductId, TradeId};
use shared::money::Won;

use super::basket::{Amount, Basket, Line};
use super::error::{NewTerms, PurchaseError};
use super::kind::TradeKind;
use super::{TxResult, refuse};
use crate::bookings::{self, Booked, NewBooking, Place, Wanted};
use crate::db::{Abort, Db, DbError, Tx};
use crate::products::{self, Kind, Stock};

/// An order of time on a spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotOrder {
    /// The kind of the offer: Wi-Fi or hotspot.
    pub kind: Kind,
    /// The offer.
    pub product: ProductId,
    /// Its item, which has the same id.
    pub item: ItemId,
    /// The times.
    pub wanted: Wanted,
    /// The price in won that the buyer saw, if the page sends it.
    pub price: Option<Won>,
}

/// The outcome of the step before the payment.
#[derive(Clone, Debug)]
pub(super) enum Taken {
    /// The same order was done before.
    Before(Booked),
    /// Time to be paid and booked.
    Now(Time),
}

/// Time in a basket.
#[derive(Clone, Debug)]
pub(super) struct Time {
    pub(super) basket: Basket,
    place: Place,
    price: Won,
}

/// Reads the offer and its bookings before the transaction: the booking of a repetition; refusals that need
/// no transaction end here.
pub(super) async fn read(
    db: &Db,
    buyer: MemberId,
    order: &SpotOrder,
) -> Result<Option<Booked>, PurchaseError> {
    let stock = products::stock(db, order.product, buyer).await?;
    let stock = of_kind(stock, order)?;
    let now = db.now();
    let mut connection = db.read().await?;
    let before = bookings::find(&mut connection, buyer, order.product, order.wanted).await?;
    if before.is_none() {
        check_offer(&stock, buyer, now)?;
        let place = bookings::place(&mut connection, order.product, order.wanted, now).await?;
        price(&stock, order, &place?, now)?;
    }
    Ok(before)
}

/// Locks the offer, then reads what the lock protects: earlier bookings, hours and capacity.
pub(super) async fn take_in(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    order: &SpotOrder,
) -> TxResult<Taken> {
    let locked = products::lock_stock_in(tx, &[order.product], buyer).await?;
    let now = tx.now();
    let stock = of_kind(locked.first().copied(), order).map_err(Abort::Refused)?;
    let before = bookings::find(tx.connection(), buyer, order.product, order.wanted).await?;
    if let Some(booked) = before {
        return Ok(Taken::Before(booked));
    }
    check_offer(&stock, buyer, now).map_err(Abort::Refused)?;
    let place = bookings::place(tx.connection(), order.product, order.wanted, now).await?;
    let place = match place {
        Ok(place) => place,
        Err(error) => return refuse(error.into()),
    };
    let price = price(&stock, order, &place, now).map_err(Abort::Refused)?;
    let line = Line {
        product: stock.product,
        seller: stock.seller,
        price,
        amount: Amount::Minutes(place.slot.minutes()),
        is_sold_out: false,
    };
    let basket = Basket {
        kind: TradeKind::purchase_of(order.kind),
        of: order.kind,
        lines: vec![line],
    };
    Ok(Taken::Now(Time {
        basket,
        place,
        price,
    }))
}

/// Books the time that this trade paid.
pub(super) async fn book_in(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    order: &SpotOrder,
    time: &Time,
    trade: TradeId,
) -> Result<Booked, sqlx::Error> {
    let new = NewBooking {
        trade,
        buyer,
        product: order.product,
        wanted: order.wanted,
        place: time.place,
    };
    bookings::book_in(tx, &new).await?;
    Ok(Booked {
        trade,
        price: time.price,
        slot: time.place.slot,
    })
}

/// The offer, if it is the one of the order.
fn of_kind(stock: Option<Stock>, order: &SpotOrder) -> Result<Stock, PurchaseError> {
    let stock = stock.ok_or(PurchaseError::ProductUnknown)?;
    let is_spot = stock.kind == order.kind && stock.kind != Kind::MobileData;
    if is_spot && order.item.get() == order.product.get() {
        Ok(stock)
    } else {
        Err(PurchaseError::SpotUnknown)
    }
}

fn check_offer(stock: &Stock, buyer: MemberId, now: UnixMillis) -> Result<(), PurchaseError> {
    if !stock.is_for_sale(now) {
        return Err(PurchaseError::Unavailable);
    }
    if stock.seller == buyer {
        return Err(PurchaseError::OwnProduct);
    }
    Ok(())
}

/// The price of the slot, which the buyer has seen if the request has one.
fn price(
    stock: &Stock,
    order: &SpotOrder,
    place: &Place,
    now: UnixMillis,
) -> Result<Won, PurchaseError> {
    let parts = i64::from(place.slot.charged_parts());
    let price = stock.price.checked_mul(parts);
    let price = price.ok_or_else(|| DbError::Defect("a price beyond its range".to_owned()))?;
    let is_other = match order.price {
        Some(seen) => seen != price,
        None => stock.is_raised(now),
    };
    if is_other {
        return Err(PurchaseError::PriceChanged(NewTerms {
            product: stock.product,
            price,
            unit_price: stock.price,
            units_left: None,
        }));
    }
    Ok(price)
}
