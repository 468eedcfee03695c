//! Purchases of mobile data from one offer: all of a whole one, or a part of one that is sold in parts.

use shared::ids::{ItemId, MemberId, ProductId};
use shared::money::{Units, Won};

use super::basket::{Amount, Basket, Line};
use super::error::{NewTerms, PurchaseError};
use super::kind::TradeKind;
use super::{TxResult, refuse};
use crate::db::{Db, Tx};
use crate::products::{self, Kind, Sale, State, Stock};

/// Attempts to take an offer whose terms changed in between.
const ATTEMPTS_MAX: u32 = 2;

/// An order of mobile data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataOrder {
    /// The offer.
    pub product: ProductId,
    /// Its item, which has the same id.
    pub item: ItemId,
    /// The amount; `None`: all of a whole offer.
    pub units: Option<Units>,
    /// The price in won that the buyer saw, if the page sends it.
    pub price: Option<Won>,
}

/// The offer as read before the transaction; refusals that need no transaction end here.
pub(super) async fn read(
    db: &Db,
    buyer: MemberId,
    order: &DataOrder,
) -> Result<Stock, PurchaseError> {
    let stock = products::stock(db, order.product, buyer).await?;
    let stock = stock.ok_or(PurchaseError::ProductUnknown)?;
    check(&stock, buyer, order, db.now())?;
    Ok(stock)
}

/// Takes the offer on the terms that were read, or on the present ones if they are no worse.
pub(super) async fn take_in(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    order: &DataOrder,
    read: &Stock,
) -> TxResult<Basket> {
    let mut stock = *read;
    for _ in 0..ATTEMPTS_MAX {
        let now = tx.now();
        let wanted = check(&stock, buyer, order, now).map_err(crate::db::Abort::Refused)?;
        if let Some(taken) = products::take_in(tx, &stock, buyer, wanted.units).await? {
            let line = Line {
                product: stock.product,
                seller: stock.seller,
                price: wanted.price,
                amount: Amount::Data(wanted.units),
                is_sold_out: taken.is_sold_out,
            };
            return Ok(Basket {
                kind: TradeKind::PurchaseSingle,
                of: Kind::MobileData,
                lines: vec![line],
            });
        }
        // Not taken: the next look says why, or the terms changed in the buyer's favour.
        let Some(again) = products::stock_in(tx, order.product, buyer).await? else {
            return refuse(PurchaseError::ProductUnknown);
        };
        stock = again;
    }
    let why = check(&stock, buyer, order, tx.now());
    refuse(why.err().unwrap_or(PurchaseError::SoldOut))
}

/// An amount and its price.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    units: Units,
    price: Won,
}

/// Checks an order against the terms of its offer.
fn check(
    stock: &Stock,
    buyer: MemberId,
    order: &DataOrder,
    now: shared::clock::UnixMillis,
) -> Result<Wanted, PurchaseError> {
    if stock.kind != Kind::MobileData || order.item.get() != order.product.get() {
        return Err(PurchaseError::ItemUnknown);
    }
    if stock.state == State::SoldOut && !stock.is_hidden {
        return Err(PurchaseError::SoldOut);
    }
    if !stock.is_for_sale(now) {
        return Err(PurchaseError::Unavailable);
    }
    if stock.seller == buyer {
        return Err(PurchaseError::OwnProduct);
    }
    let units = match (stock.sale, order.units) {
        (Sale::Whole, None) => stock.units_left,
        (Sale::Whole, Some(units)) if units == stock.units_left => units,
        (Sale::Split, Some(units)) if units <= stock.units_left => units,
        (Sale::Whole | Sale::Split, Some(_)) => return Err(PurchaseError::Remaining),
        (Sale::Split, None) => return Err(PurchaseError::Amount),
    };
    if units == Units::ZERO {
        return Err(PurchaseError::Amount);
    }
    let price = stock.price_of(units).ok_or(PurchaseError::Amount)?;
    let is_other = match order.price {
        Some(seen) => seen != price,
        None => stock.is_raised(now),
    };
    if is_other {
        return Err(PurchaseError::PriceChanged(NewTerms {
            product: stock.product,
            price,
            unit_price: stock.unit_price,
            units_left: Some(stock.units_left),
        }));
    }
    Ok(Wanted { units, price })
}
