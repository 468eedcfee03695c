//! Demo trades: an opening balance of cash for each member, and purchases of the demo offers, so
//! that wallets, histories and market prices are not empty.
//!
//! The purchases are made at the first start through the rules for members. Later starts make only
//! those that an interrupted first start left out: each member's are made in the same order and
//! never removed, so the number of a member's purchases says which ones are missing.

use std::convert::Infallible;

use market_api::app::Market;
use market_api::cash::{Cash, open_balance_in};
use market_api::db::{Abort, DbError};
use market_api::idempotency::Reply;
use market_api::products::Sale;
use market_api::trades::{DataOrder, Purchase, PurchaseError};
use shared::ids::{ItemId, MemberId, ProductId};
use shared::money::{Units, Won};
use shared::web::ApiError;
use tracing::info;

use crate::offers::{self, DataOffer, SOLD_OUT};

/// The opening balance of a member.
const OPENING: Won = Won::new(50_000);

/// Split offers with less are not sold from: something to choose from remains.
const UNITS_MIN: u16 = 3;

/// Members, by position, who buy. The last demo member buys and sells nothing, to begin with.
const BUYERS: usize = 7;

/// A purchase from a demo offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// The buyer's position among the demo members.
    buyer: usize,
    from: DataOffer,
    /// Units of 0.1 GB.
    units: u16,
}

/// Opens missing balances and makes missing purchases. A member that is `None` takes no part.
///
/// # Errors
/// The market's.
pub(crate) async fn set_up(market: &Market, members: &[Option<MemberId>]) -> Result<(), ApiError> {
    for member in members.iter().flatten() {
        open_balance(market, *member).await?;
    }
    let missing = missing(market, members).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    for member in members {
        ids.push(match member {
            Some(member) => offers::data_ids(market.products(), *member).await?,
            None => Vec::new(),
        });
    }
    for Order { buyer, from, units } in missing {
        let (Some(buyer), Some(product)) = (members[buyer], ids[from.seller].get(from.nth)) else {
            // None of the later ones either: the number of purchases would not say which are missing.
            return Ok(());
        };
        match buy(market, buyer, *product, units).await {
            Ok(_) => {}
            Err(PurchaseError::Db(error)) => return Err(error.into()),
            // The folder is older than the demo trades, or the month of the first start has ended.
            Err(refused) => {
                info!("no more demo trades: {refused}");
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn buy(
    market: &Market,
    buyer: MemberId,
    product: ProductId,
    units: u16,
) -> Result<Reply, PurchaseError> {
    let order = DataOrder {
        product,
        // An item has its product's id.
        item: ItemId::try_from(u64::from(u32::from(product))).expect("an id of an owner"),
        units: Some(Units::new(units)),
        price: None,
    };
    let purchase = Purchase {
        buyer,
        once: None,
        order,
    };
    market.trades().buy_data(purchase).await
}

/// Gives a member the opening balance, before the first purchase. Reads first: a start writes nothing if nothing is
/// missing.
async fn open_balance(market: &Market, member: MemberId) -> Result<(), DbError> {
    let db = market.db();
    if Cash::new(db.clone()).balance(member).await? != Won::ZERO {
        return Ok(());
    }
    let opened = db.write(member, |member, tx| {
        Box::pin(async move {
            open_balance_in(tx, *member, OPENING).await?;
            Ok::<_, Abort<Infallible>>(())
        })
    });
    Ok(opened.await?)
}

/// The purchases that were not made yet.
async fn missing(market: &Market, members: &[Option<MemberId>]) -> Result<Vec<Order>, ApiError> {
    let histories = market.trades().histories();
    let mut made_before = Vec::new();
    for member in members {
        made_before.push(match member {
            Some(member) => histories.purchase_count(*member).await?,
            None => 0,
        });
    }
    let mut missing = orders(members.len());
    missing.retain(|order| {
        let before = &mut made_before[order.buyer];
        let is_missing = *before == 0;
        *before = before.saturating_sub(1);
        is_missing
    });
    Ok(missing)
}

/// All purchases in their order: a part of every larger split offer but the first, which a demo
/// chat is about, and then what is sold out.
fn orders(members: usize) -> Vec<Order> {
    let data = offers::of_data(members);
    let (for_sale, sold_out) = data.split_at(data.len() - SOLD_OUT.len());
    let buyers = BUYERS.min(members);
    let split = for_sale
        .iter()
        .skip(1)
        .filter(|offer| offer.sale == Sale::Split && offer.units >= UNITS_MIN)
        .filter(|offer| offer.seller < buyers);
    split
        .chain(sold_out)
        .zip(0..)
        .map(|(offer, nth): (_, usize)| {
            // Somebody else, in turns.
            let step = 1 + nth % (buyers - 1);
            Order {
                buyer: (offer.seller + step) % buyers,
                from: *offer,
                units: if offer.units > UNITS_MIN { 2 } else { 1 },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use market_api::ledger;

    use super::*;
    use crate::market::tests::{demo_members, open};

    const MEMBERS: usize = 8;

    #[test]
    fn purchases_leave_what_the_demo_shows() {
        let orders = orders(MEMBERS);
        assert!(orders.len() >= 12, "{orders:?}");
        let mut bought: BTreeMap<usize, u16> = BTreeMap::new();
        for Order { buyer, from, units } in &orders {
            assert_ne!(*buyer, from.seller);
            assert_ne!((from.seller, from.nth), (1, 0), "a chat is about it");
            *bought.entry(*buyer).or_default() += units;
            let is_sold_out = *units == from.units;
            assert_eq!(is_sold_out, from.sale == Sale::Whole, "{from:?}");
        }
        assert!(bought.len() >= 6, "{bought:?}");
        assert!(bought.values().all(|units| *units <= 10), "{bought:?}");
    }

    #[tokio::test]
    async fn an_interrupted_first_start_repeats_no_trade() {
        let (market, _data) = open().await;
        let members = demo_members(&market).await;
        offers::set_up(market.products(), &members).await.unwrap();
        // The first start ended after some purchases.
        let all = orders(MEMBERS);
        let mut ids = Vec::new();
        for member in &members {
            let products = market.products();
            ids.push(offers::data_ids(products, member.unwrap()).await.unwrap());
        }
        for member in &members {
            open_balance(&market, member.unwrap()).await.unwrap();
        }
        for Order { buyer, from, units } in &all[..all.len() / 2] {
            let (member, product) = (members[*buyer].unwrap(), ids[from.seller][from.nth]);
            buy(&market, member, product, *units).await.unwrap();
        }

        for _ in 0..2 {
            set_up(&market, &members).await.unwrap();
            let (mut purchases, mut cash) = (0, 0);
            for member in &members {
                let member = member.unwrap();
                let histories = market.trades().histories();
                purchases += histories.purchase_count(member).await.unwrap();
                let wallet = Cash::new(market.db().clone());
                cash += wallet.balance(member).await.unwrap().get();
            }
            assert_eq!(purchases, all.len() as u64);
            assert_eq!(cash, OPENING.get() * 8, "nothing is made or lost");
            assert_eq!(ledger::verify(market.db()).await.unwrap(), []);
        }
        let prices = market
            .trades()
            .market_price(market_api::products::Kind::MobileData);
        assert!(prices.await.unwrap().average > Won::ZERO);
    }
}
