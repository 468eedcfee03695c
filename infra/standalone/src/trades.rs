//! Demo trades: an opening balance of cash for each member, and purchases of the demo offers, so
//! that wallets, histories and market prices are not empty.
//!
//! The purchases are made at the first start through the rules for members. Later starts make only
//! those that an interrupted first start left out: each member's are made in the same order and
//! never removed, so the number of a member's purchases says which ones are missing.

use std::convert::Infallible;
use std::time::Duration;

use market_api::app::Market;
use market_api::bookings::Wanted;
use market_api::cash::{Cash, open_balance_in};
use market_api::db::{Abort, DbError};
use market_api::idempotency::Reply;
use market_api::products::{Kind, Sale};
use market_api::trades::{DataOrder, Purchase, PurchaseError, SpotOrder};
use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{ItemId, MemberId, ProductId};
use shared::money::{Units, Won};
use shared::web::ApiError;
use tracing::info;

use crate::offers::{self, SOLD_OUT};

/// The opening balance of a member.
const OPENING: Won = Won::new(50_000);

/// Split offers with less are not sold from: something to choose from remains.
const UNITS_MIN: u16 = 3;

/// Members, by position, who buy. The last demo member buys and sells nothing, to begin with.
const BUYERS: usize = 7;

/// Bookings: positions of buyer and seller, and the spot's place among the seller's.
const BOOKINGS: [(usize, usize, usize); 4] = [(0, 1, 0), (2, 0, 0), (3, 0, 0), (4, 5, 1)];

/// All those spots are open the day after the first start from 11:00 to 12:00.
const BOOKED: (Duration, Duration) = (
    Duration::from_secs(11 * 3_600),
    Duration::from_secs(12 * 3_600),
);

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A purchase from a demo offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// The buyer's position among the demo members.
    buyer: usize,
    /// The seller's position.
    seller: usize,
    /// The offer's place among the seller's of its kind.
    nth: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Units of 0.1 GB.
    Data(u16),
    /// An hour of Wi-Fi.
    Time,
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
            Some(member) => Ids::of(market, *member).await?,
            None => Ids::default(),
        });
    }
    for order in missing {
        let (buyer, product) = (members[order.buyer], ids[order.seller].get(&order));
        let (Some(buyer), Some(product)) = (buyer, product) else {
            // None of the later ones either: the number of purchases would not say which are missing.
            return Ok(());
        };
        match buy(market, buyer, product, order.what).await {
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

/// A seller's offers in the order of creation.
#[derive(Debug, Default)]
struct Ids {
    data: Vec<ProductId>,
    spots: Vec<ProductId>,
}

impl Ids {
    async fn of(market: &Market, seller: MemberId) -> Result<Self, ApiError> {
        let products = market.products();
        Ok(Self {
            data: offers::ids(products, seller, Kind::MobileData).await?,
            spots: offers::ids(products, seller, Kind::Wifi).await?,
        })
    }

    fn get(&self, order: &Order) -> Option<ProductId> {
        let of_kind = match order.what {
            What::Data(_) => &self.data,
            What::Time => &self.spots,
        };
        of_kind.get(order.nth).copied()
    }
}

async fn buy(
    market: &Market,
    buyer: MemberId,
    product: ProductId,
    what: What,
) -> Result<Reply, PurchaseError> {
    // An item has its product's id.
    let item = ItemId::try_from(u64::from(u32::from(product))).expect("an id of an owner");
    let trades = market.trades();
    match what {
        What::Data(units) => {
            let order = DataOrder {
                product,
                item,
                units: Some(Units::new(units)),
                price: None,
            };
            trades.buy_data(purchase(buyer, order)).await
        }
        What::Time => {
            let order = SpotOrder {
                kind: Kind::Wifi,
                product,
                item,
                wanted: tomorrow(market.db().now()),
                price: None,
            };
            trades.buy_time(purchase(buyer, order)).await
        }
    }
}

fn purchase<O>(buyer: MemberId, order: O) -> Purchase<O> {
    Purchase {
        buyer,
        once: None,
        order,
    }
}

/// [`BOOKED`], the day after `now`.
fn tomorrow(now: UnixMillis) -> Wanted {
    let today = LocalDateTime::from_unix(now).minute_of_day();
    let since_midnight = Duration::from_secs(u64::from(today) * 60);
    let midnight = now.saturating_sub(since_midnight).saturating_add(DAY);
    let at = |after| LocalDateTime::from_unix(midnight.saturating_add(after));
    Wanted::new(at(BOOKED.0), at(BOOKED.1))
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

/// All purchases in their order: a part of every larger split offer but the first, the topic of a demo
/// chat, then the offers that sell out, and bookings.
fn orders(members: usize) -> Vec<Order> {
    let data = offers::of_data(members);
    let (for_sale, sold_out) = data.split_at(data.len() - SOLD_OUT.len());
    let buyers = BUYERS.min(members);
    let split = for_sale
        .iter()
        .skip(1)
        .filter(|offer| offer.sale == Sale::Split && offer.units >= UNITS_MIN)
        .filter(|offer| offer.seller < buyers);
    let of_data = split.chain(sold_out).zip(0..).map(|(offer, nth)| Order {
        // Somebody else, in turns.
        buyer: (offer.seller + 1 + nth % (buyers - 1)) % buyers,
        seller: offer.seller,
        nth: offer.nth,
        what: What::Data(if offer.units > UNITS_MIN { 2 } else { 1 }),
    });
    let of_time = BOOKINGS.into_iter().map(|(buyer, seller, nth)| Order {
        buyer,
        seller,
        nth,
        what: What::Time,
    });
    of_data.chain(of_time).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use market_api::ledger;

    use super::*;
    use crate::market::tests::{demo_members, open};
    use crate::offers::DataOffer;

    const MEMBERS: usize = 8;

    #[test]
    fn purchases_leave_what_the_demo_shows() {
        let (orders, offers) = (orders(MEMBERS), offers::of_data(MEMBERS));
        assert!(orders.len() >= 16, "{orders:?}");
        let mut bought: BTreeMap<usize, u16> = BTreeMap::new();
        for order in &orders {
            assert_ne!(order.buyer, order.seller);
            let What::Data(units) = order.what else {
                continue;
            };
            assert_ne!((order.seller, order.nth), (1, 0), "a chat is about it");
            *bought.entry(order.buyer).or_default() += units;
            let is_it = |one: &&DataOffer| (one.seller, one.nth) == (order.seller, order.nth);
            let from = offers.iter().find(is_it).unwrap();
            let is_sold_out = units == from.units;
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
        for member in &members {
            open_balance(&market, member.unwrap()).await.unwrap();
        }
        for order in &all[..all.len() / 2] {
            let (buyer, seller) = (members[order.buyer], members[order.seller]);
            let ids = Ids::of(&market, seller.unwrap()).await.unwrap();
            let product = ids.get(order).unwrap();
            buy(&market, buyer.unwrap(), product, order.what)
                .await
                .unwrap();
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
        for kind in [Kind::MobileData, Kind::Wifi] {
            let price = market.trades().market_price(kind).await.unwrap();
            assert!(price.average > Won::ZERO, "{kind:?}");
        }
    }
}
