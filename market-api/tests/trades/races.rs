//! Purchases that race with each other and with changes of their offers.

use std::time::Duration;

use futures_util::future::join_all;
use market_api::db::{Abort, WriteError};
use market_api::idempotency::{IdempotentRequest, Reply};
use market_api::products::OfferError;
use market_api::trades::PurchaseError;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use sqlx::{Executor as _, Row as _};

use crate::fixtures::{member, new_data, product, random};
use crate::on_both;
use crate::shop::{Shop, combination, order, unless_busy};
use crate::support::{On, deadlocks, eventually};

on_both!(
    defect_7_opposite_purchases_and_combinations_all_succeed,
    one_key_in_parallel_has_one_effect,
    purchase_that_sells_out_is_replayed_not_refused,
    deletion_and_purchases_share_the_units,
    expiry_and_purchases_share_the_units,
    purchase_pays_the_price_that_the_offer_has_then,
);

/// Milliseconds from the shop's first moment to the end of its month.
const TO_MONTH_END: Duration = Duration::from_secs((15 * 24 + 12) * 3_600);

/// Members 1 and 2 buy from each other, 3 and 4, …: 400 purchases. At the same time 200 others buy
/// combinations of three of 40 of these offers, until nothing is left of them.
async fn defect_7_opposite_purchases_and_combinations_all_succeed(on: On) {
    const PAIRS: i64 = 40;
    const EACH: i64 = 5;
    const COMBINATIONS: i64 = 200;
    let shop = Shop::open(on).await;
    shop.crowd(1, 2 * PAIRS + COMBINATIONS, 10_000).await;
    let mut offers = Vec::new();
    for seller in 1..=2 * PAIRS {
        offers.push(shop.market.offer_as(seller, 2_000, 20, true).await.unwrap());
    }
    let offer = |nth: i64| offers[usize::try_from(nth).unwrap()];
    let mut purchases = Vec::new();
    for buyer in 1..=2 * PAIRS {
        let seller = if buyer % 2 == 0 { buyer - 1 } else { buyer + 1 };
        purchases.extend((0..EACH).map(|_| (buyer, vec![offer(seller - 1)])));
    }
    for nth in 0..COMBINATIONS {
        let parts = (0..3).map(|part| offer((3 * nth + part) % PAIRS));
        purchases.push((2 * PAIRS + 1 + nth, parts.collect()));
    }
    let mut rng = random();
    purchases.shuffle(&mut rng);
    let bought = purchases.iter().map(async |(buyer, parts)| {
        let parts: Vec<_> = parts.iter().map(|offer| (*offer, 1)).collect();
        match parts[..] {
            [(offer, units)] => shop.buy(*buyer, offer, Some(units)).await,
            _ => {
                let order = combination(&parts, 3, 300).unwrap();
                shop.buy_scrap(*buyer, order).await
            }
        }
    });
    for bought in join_all(bought).await {
        bought.unwrap();
    }
    let cash = |member| match member {
        1..=PAIRS => 10_000 + 15 * 100,
        _ if member <= 2 * PAIRS => 10_000,
        _ => 9_700,
    };
    for member in 1..=2 * PAIRS + COMBINATIONS {
        assert_eq!(shop.cash(member).await, cash(member), "member {member}");
    }
    for (units, state) in [(20, "SOLD_OUT"), (5, "ACTIVE")] {
        let sold = format!(
            "select count(*) from product where units_sold = {units} and state = '{state}'"
        );
        assert_eq!(shop.market.int(&sold).await, PAIRS);
    }
    shop.close().await;
}

async fn one_key_in_parallel_has_one_effect(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 2_000, 20, true).await.unwrap();
    let once = || {
        let (key, buyer) = ("one".to_owned(), member(2));
        IdempotentRequest::new(buyer, "POST /trades", key, b"{}")
    };
    let bought = (0..100).map(|_| shop.buy_as(2, order(offer, Some(3)), Some(once())));
    let (mut answers, mut new) = (Vec::new(), 0);
    for reply in join_all(bought).await {
        let reply = reply.unwrap();
        new += usize::from(matches!(reply, Reply::New(_)));
        answers.push(reply.answer().clone());
    }
    assert_eq!(new, 1);
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(shop.cash(2).await, 10_000 - 300);
    shop.close().await;
}

/// The repetitions find the offer sold out by their own first request.
async fn purchase_that_sells_out_is_replayed_not_refused(on: On) {
    let shop = Shop::open(on).await;
    shop.members(22, 10_000).await;
    for seller in 1..=20 {
        let offer = shop.market.offer_as(seller, 100, 1, false).await.unwrap();
        let once = || {
            let (key, buyer) = (offer.to_string(), member(22));
            IdempotentRequest::new(buyer, "POST /trades", key, b"{}")
        };
        let bought = (0..10).map(|_| shop.buy_as(22, order(offer, None), Some(once())));
        let replies = join_all(bought).await.into_iter().map(Result::unwrap);
        let new = replies.filter(|reply| matches!(reply, Reply::New(_)));
        assert_eq!(new.count(), 1);
    }
    shop.close().await;
}

/// Offers of 10 units, and for each three buyers of 2 units in parallel with `other`.
async fn race<T>(shop: &Shop, other: impl AsyncFn(i64, i64) -> T) -> Vec<(Vec<Purchased>, T)> {
    const OFFERS: i64 = 20;
    shop.crowd(1, 2 * OFFERS, 10_000).await;
    let mut offers = Vec::new();
    for seller in 1..=OFFERS {
        let offer = shop.market.offer_as(seller, 1_000, 10, true).await.unwrap();
        offers.push((seller, offer));
    }
    let mut rng = random();
    let races: Vec<_> = offers
        .iter()
        .map(|(seller, offer)| {
            let others_at = rng.random_range(0..=3);
            (*seller, *offer, others_at)
        })
        .collect();
    let races = races.into_iter().map(async |(seller, offer, others_at)| {
        let buys = (0..3).map(|_| shop.buy(OFFERS + seller, offer, Some(2)));
        let mut buys: Vec<_> = buys.collect();
        // `join_all` polls in order: the other operation begins before, between or after the purchases.
        let later = buys.split_off(others_at);
        let (first, other, later) =
            futures_util::future::join3(join_all(buys), other(seller, offer), join_all(later))
                .await;
        (
            first
                .into_iter()
                .chain(later)
                .map(|bought| bought.map(drop))
                .collect(),
            other,
        )
    });
    join_all(races).await
}

type Purchased = Result<(), PurchaseError>;

/// The purchases that succeeded; the others were refused because the offer had ended.
fn successes(purchased: &[Purchased]) -> usize {
    let is_bought = |one: &&Purchased| match one {
        Ok(()) => true,
        Err(PurchaseError::Unavailable) => false,
        Err(error) => panic!("{error:?}"),
    };
    purchased.iter().filter(is_bought).count()
}

async fn deletion_and_purchases_share_the_units(on: On) {
    let shop = Shop::open(on).await;
    let ended = race(&shop, async |seller, offer| {
        let products = &shop.market.products;
        unless_busy(async || products.delete(member(seller), product(offer)).await).await
    })
    .await;
    let mut sold = 0;
    for (purchased, deleted) in ended {
        sold += successes(&purchased);
        deleted.unwrap();
    }
    let sum = "select cast(sum(units_sold) as bigint) from product where state = 'DELETED' \
               and units_left = 0 and units_sold + units_returned = 10";
    assert_eq!(shop.market.int(sum).await, 2 * i64::try_from(sold).unwrap());
    shop.close().await;
}

async fn expiry_and_purchases_share_the_units(on: On) {
    let shop = Shop::open(on).await;
    let ended = race(&shop, async |_, _| {
        shop.market.base.clock.advance(TO_MONTH_END / 20);
        // The hourly job is tried again if the database is busy.
        shop.market.products.expire().await.ok();
    })
    .await;
    let sold: usize = ended
        .iter()
        .map(|(purchased, ())| successes(purchased))
        .sum();
    shop.market.products.expire().await.unwrap();
    let sum = "select cast(sum(units_sold) as bigint) from product where state = 'HIDDEN' \
               and units_left = 0 and units_sold + units_returned = 10";
    assert_eq!(shop.market.int(sum).await, 2 * i64::try_from(sold).unwrap());
    let late = "select count(*) from trade t join trade_detail d on d.trade_id = t.id \
                join product p on p.id = d.product_id where t.created_at >= p.expires_at";
    assert_eq!(shop.market.int(late).await, 0);
    shop.close().await;
}

async fn purchase_pays_the_price_that_the_offer_has_then(on: On) {
    const OFFERS: i64 = 40;
    let shop = Shop::open(on).await;
    shop.crowd(1, 2 * OFFERS, 10_000).await;
    let mut offers = Vec::new();
    for seller in 1..=OFFERS {
        offers.push((
            seller,
            shop.market
                .offer_as(seller, 1_000, 10, false)
                .await
                .unwrap(),
        ));
    }
    let mut rng = random();
    let races: Vec<_> = offers
        .into_iter()
        .map(|(seller, offer)| (seller, offer, rng.random_range(900..=1_100), rng.random()))
        .collect();
    let races = races
        .into_iter()
        .map(async |(seller, offer, price, is_first)| {
            let bought = shop.buy(OFFERS + seller, offer, None);
            let edited = shop.market.edit(offer, new_data(seller, price, 10, false));
            let (bought, edited) = if is_first {
                futures_util::future::join(bought, edited).await
            } else {
                let (edited, bought) = futures_util::future::join(edited, bought).await;
                (bought, edited)
            };
            (offer, price, bought, edited)
        });
    for (offer, new, bought, edited) in join_all(races).await {
        let paid = match (bought, edited) {
            (Ok(_), Err(OfferError::Unavailable)) => 1_000,
            (Ok(_), Ok(())) => {
                assert!(new <= 1_000, "a raise is refused without the price");
                new
            }
            (Err(PurchaseError::PriceChanged(terms)), Ok(())) => {
                assert!(new > 1_000 && terms.price.get() == new, "{terms:?}");
                continue;
            }
            other => panic!("{other:?}"),
        };
        let price = format!(
            "select price from trade_detail where product_id = {offer} and price <> {paid}"
        );
        assert!(shop.market.rows(price).await.is_empty(), "{offer}: {paid}");
    }
    shop.close().await;
}

/// The counter that other tests compare with zero.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlock_is_counted_by_postgres() {
    let shop = Shop::open(On::Postgres).await;
    shop.crowd(1, 2, 0).await;
    let base = &shop.market.base;
    let mut looking = base.db.read().await.unwrap();
    let mut holding = base.db.read().await.unwrap();
    const LOCK: [&str; 2] = [
        "select id from member where id = 1 for no key update",
        "select id from member where id = 2 for no key update",
    ];
    holding.execute("begin").await.unwrap();
    holding.execute(LOCK[0]).await.unwrap();
    let crossing = base.db.write((), |(), tx| {
        Box::pin(async move {
            tx.connection().execute(LOCK[1]).await?;
            tx.connection().execute(LOCK[0]).await?;
            Ok::<(), Abort<()>>(())
        })
    });
    let holding = async move {
        eventually("the write waits", async || {
            let waiting = "select count(*) from pg_stat_activity \
                           where datname = current_database() and wait_event_type = 'Lock'";
            let row = looking.fetch_one(waiting).await.unwrap();
            row.try_get::<i64, _>(0).unwrap() == 1
        })
        .await;
        // Either session may be the one that PostgreSQL ends.
        let locked = holding.execute(LOCK[1]).await;
        holding.execute("rollback").await.unwrap();
        locked.is_ok()
    };
    let (crossed, _held): (Result<(), WriteError<()>>, bool) = tokio::join!(crossing, holding);
    crossed.unwrap();
    assert_eq!(deadlocks(&base.db, &base.url).await, 1);
}
