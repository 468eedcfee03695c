//! Purchases of a combination of offers, as the optimizer quoted it: exactly those offers and amounts, all or
//! nothing, never another combination (`money.md`, "Scrap").

use std::collections::{BTreeMap, BTreeSet};

use shared::clock::UnixMillis;
use shared::ids::{ItemId, MemberId, ProductId};
use shared::money::{Units, Won};

use super::basket::{Amount, Basket, Line};
use super::error::{Outdated, PurchaseError};
use super::kind::TradeKind;
use super::{TxResult, refuse};
use crate::db::{Abort, Db, Tx};
use crate::products::{self, Kind, Sale, Stock};

/// Bound of the offers in a combination: each has a unit at least, and a month has 20.
const PARTS_MAX: usize = 20;

/// A quoted combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapOrder {
    /// By product, in the order of the locks.
    parts: BTreeMap<ProductId, ScrapPart>,
    units: Units,
    price: Won,
}

/// What to take from one offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapPart {
    /// The offer.
    pub product: ProductId,
    /// Its item, which has the same id.
    pub item: ItemId,
    /// The amount: all of a whole offer.
    pub units: Units,
}

impl ScrapOrder {
    /// A combination of these parts, for `units` in all and at the quoted price in won.
    ///
    /// # Errors
    /// [`PurchaseError::Combination`]: no part or more than 20, a product twice, a part of nothing, or parts
    /// that do not sum to `units`.
    pub fn new(
        parts: impl IntoIterator<Item = ScrapPart>,
        units: Units,
        price: Won,
    ) -> Result<Self, PurchaseError> {
        let (mut by_product, mut sum) = (BTreeMap::new(), Units::ZERO);
        for part in parts {
            let is_second = by_product.insert(part.product, part).is_some();
            if is_second || part.units == Units::ZERO || by_product.len() > PARTS_MAX {
                return Err(PurchaseError::Combination);
            }
            sum = sum
                .checked_add(part.units)
                .ok_or(PurchaseError::Combination)?;
        }
        if by_product.is_empty() || sum != units {
            return Err(PurchaseError::Combination);
        }
        Ok(Self {
            parts: by_product,
            units,
            price,
        })
    }

    /// The data in it.
    #[must_use]
    pub const fn units(&self) -> Units {
        self.units
    }

    fn products(&self) -> Vec<ProductId> {
        self.parts.keys().copied().collect()
    }
}

/// Refusals that need no transaction end here.
pub(super) async fn pre_check(
    db: &Db,
    buyer: MemberId,
    order: &ScrapOrder,
) -> Result<(), PurchaseError> {
    let stocks = products::stocks(db, &order.products(), buyer).await?;
    check(&stocks, buyer, order, db.now()).map(drop)
}

/// Locks the offers, prices them again, and takes them.
pub(super) async fn take_in(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    order: &ScrapOrder,
) -> TxResult<Basket> {
    let stocks = products::lock_stock_in(tx, &order.products(), buyer).await?;
    let wanted = check(&stocks, buyer, order, tx.now()).map_err(Abort::Refused)?;
    let mut lines = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let taken = products::take_in(tx, wanted.stock, buyer, wanted.units).await?;
        let Some(taken) = taken else {
            // Locked and checked: only a defect leads here.
            return refuse(PurchaseError::QuoteOutdated(Outdated::SoldOut));
        };
        lines.push(Line {
            product: wanted.stock.product,
            seller: wanted.stock.seller,
            price: wanted.price,
            amount: Amount::Data(wanted.units),
            is_sold_out: taken.is_sold_out,
        });
    }
    Ok(Basket {
        kind: TradeKind::PurchaseComposite,
        of: Kind::MobileData,
        lines,
    })
}

/// A part with its offer and price.
struct Wanted<'s> {
    stock: &'s Stock,
    units: Units,
    price: Won,
}

/// Checks every part against its offer, and the sum against the quoted price.
fn check<'s>(
    stocks: &'s [Stock],
    buyer: MemberId,
    order: &ScrapOrder,
    now: UnixMillis,
) -> Result<Vec<Wanted<'s>>, PurchaseError> {
    let known: BTreeSet<_> = stocks.iter().map(|stock| stock.product).collect();
    if order.parts.keys().any(|product| !known.contains(product)) {
        return Err(PurchaseError::ProductUnknown);
    }
    let mut wanted = Vec::with_capacity(stocks.len());
    for stock in stocks {
        let part = order.parts.get(&stock.product);
        let part = part.ok_or(PurchaseError::ProductUnknown)?;
        wanted.push(check_part(stock, part, buyer, now)?);
    }
    let sum = Won::checked_sum(wanted.iter().map(|part| part.price));
    if sum != Some(order.price) {
        return Err(PurchaseError::QuoteOutdated(Outdated::Price));
    }
    Ok(wanted)
}

fn check_part<'s>(
    stock: &'s Stock,
    part: &ScrapPart,
    buyer: MemberId,
    now: UnixMillis,
) -> Result<Wanted<'s>, PurchaseError> {
    if stock.kind != Kind::MobileData || part.item.get() != stock.product.get() {
        return Err(PurchaseError::ItemUnknown);
    }
    if stock.seller == buyer {
        return Err(PurchaseError::OwnProduct);
    }
    if !stock.is_for_sale(now) {
        return Err(PurchaseError::QuoteOutdated(Outdated::SoldOut));
    }
    let fits = match stock.sale {
        Sale::Whole => part.units == stock.units_left,
        Sale::Split => part.units <= stock.units_left,
    };
    if !fits {
        return Err(PurchaseError::QuoteOutdated(Outdated::Remaining));
    }
    let price = stock.price_of(part.units).ok_or(PurchaseError::Amount)?;
    Ok(Wanted {
        stock,
        units: part.units,
        price,
    })
}
