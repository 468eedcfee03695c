//! Quotes: what the optimizer is given, and for whom.

use std::num::NonZeroU16;
use std::time::Duration;

use market_api::scrap::{
    Candidate, Combination, Conditions, Part, Quote, QuoteError, QuotedCombination, Request, Scrap,
    Surplus, greedy, solve,
};
use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::money::{Units, Won};
use sqlx::Row as _;

use crate::fixtures::{Market, member, number, product, random};
use crate::on_both;
use crate::oracle::Offer;
use crate::support::On;

on_both! {
    quote_is_the_best_of_all_offers,
    defect_16_quotes_are_the_members_own_and_never_cached,
    offers_are_valid_until_the_quote_ends,
    amount_is_within_the_months_limit,
    quoted_parts_show_the_offer_and_its_price,
}

fn exactly() -> Conditions {
    Conditions::default()
}

/// The end of this month, in milliseconds.
const MONTH_END_MS: i64 = 1_796_050_800_000;

struct Shop {
    market: Market,
    scrap: Scrap,
}

impl Shop {
    async fn open(on: On, members: i64) -> Self {
        let market = Market::open(on).await;
        market.members(members, 100).await;
        let scrap = Scrap::new(market.base.db.clone());
        Self { market, scrap }
    }

    async fn quote(&self, by: i64, units: u16) -> Quote {
        let quote = self.scrap.quote(member(by), Units::new(units), exactly());
        quote.await.unwrap()
    }

    /// Products and units of the best combination.
    async fn best(&self, by: i64, units: u16) -> Vec<(i64, u16)> {
        let quote = self.quote(by, units).await;
        quote.combinations.first().map(shape).unwrap_or_default()
    }

    /// Inserts offers as they are, beyond what one seller may list.
    async fn insert(&self, offers: &[Offer]) {
        let rows: Vec<_> = offers.iter().map(|offer| offer.row()).collect();
        self.market
            .sql(vec![format!(
                "insert into product ({}) values {}",
                Offer::COLUMNS,
                rows.join(", ")
            )])
            .await;
    }
}

fn shape(found: &QuotedCombination) -> Vec<(i64, u16)> {
    let parts = found.parts.iter();
    parts
        .map(|part| (number(part.product), part.units.get()))
        .collect()
}

fn bare(found: &QuotedCombination) -> Combination {
    let part = |part: &market_api::scrap::QuotedPart| Part {
        product: part.product,
        units: part.units,
        price: part.price,
    };
    Combination {
        parts: found.parts.iter().map(part).collect(),
        units: found.units,
        price: found.price,
    }
}

/// Offers of members 1 to 30. With ties all offers cost one of two unit prices, most of them the same.
fn offers(rng: &mut StdRng, ties: bool) -> Vec<Offer> {
    let offer = |id: i64| {
        let split = rng.random_ratio(1, 2);
        let units = rng.random_range(1..=20);
        let unit_price = match ties {
            true => 100 + 20 * i64::from(rng.random_ratio(1, 20)),
            false => rng.random_range(80..=250),
        };
        let expires_at = match ties {
            true => MONTH_END_MS - rng.random_range(0..2),
            false => MONTH_END_MS,
        };
        Offer {
            id,
            seller: rng.random_range(1..=30),
            units,
            price: if split {
                unit_price
            } else {
                unit_price * i64::from(units)
            },
            split,
            expires_at,
        }
    };
    (1..=900).map(offer).collect()
}

/// The rows that a quote reads are enough: it equals the solution of all offers, read or not.
async fn quote_is_the_best_of_all_offers(on: On) {
    let mut rng = random();
    for ties in [false, true] {
        let shop = Shop::open(on, 30).await;
        let offers = offers(&mut rng, ties);
        shop.insert(&offers).await;
        check_quotes(&shop, &offers, 7, &[], ties).await;
        // Blocked accounts are hidden from everybody, separated members from each other.
        let changes = [
            "update member set blocked = 1 where id in (3, 9, 10)",
            "insert into member_block (blocker_id, blocked_id, created_at) values (7, 11, 1), (13, 7, 1)",
        ];
        shop.market.sql(changes.map(str::to_owned).to_vec()).await;
        check_quotes(&shop, &offers, 8, &[3, 9, 10], ties).await;
        check_quotes(&shop, &offers, 7, &[3, 9, 10, 11, 13], ties).await;
        check_quotes(&shop, &offers, 11, &[3, 9, 10, 7], ties).await;
    }
}

/// Quotes of this buyer are the best of all offers but the own ones and those of `hidden`.
async fn check_quotes(shop: &Shop, offers: &[Offer], buyer: i64, hidden: &[i64], ties: bool) {
    let others = offers
        .iter()
        .filter(|offer| offer.seller != buyer && !hidden.contains(&offer.seller));
    let others: Vec<Candidate> = others.map(|offer| offer.candidate()).collect();
    for units in [1, 20, 7, 13] {
        for (surplus, sellers) in [(false, 0), (true, 0), (false, 1), (true, 2)] {
            let sellers_max = NonZeroU16::new(sellers);
            let mut request = Request::exactly(Units::new(units), Units::new(20)).unwrap();
            let mut conditions = Conditions {
                surplus: Surplus::Refused,
                sellers_max,
            };
            if surplus {
                request = request.or_up_to(Units::MAX);
                conditions.surplus = Surplus::Accepted;
            }
            if let Some(sellers) = sellers_max {
                request = request.from_sellers(sellers);
            }
            let wanted = Units::new(units);
            let quote = shop.scrap.quote(member(buyer), wanted, conditions);
            let quote = quote.await.unwrap();
            let expected = solve(&others, &request).unwrap();
            let found: Vec<_> = quote.combinations.iter().map(bare).collect();
            assert_eq!(
                found, expected.combinations,
                "{units} {conditions:?} {hidden:?}"
            );
            assert_eq!(quote.nearest, expected.nearest);
            if !ties {
                // With ties the hundred cheapest are read by id, not by what is left.
                let first_site = greedy(&others, wanted);
                assert_eq!(quote.greedy.as_ref().map(bare), first_site);
            }
        }
    }
}

async fn defect_16_quotes_are_the_members_own_and_never_cached(on: On) {
    let shop = Shop::open(on, 3).await;
    let (one, two) = (
        shop.market.offer_as(1, 500, 5, false).await.unwrap(),
        shop.market.offer_as(2, 600, 5, false).await.unwrap(),
    );
    // The cheapest is the first member's own.
    assert_eq!(shop.best(1, 5).await, [(two, 5)]);
    assert_eq!(shop.best(2, 5).await, [(one, 5)]);
    assert_eq!(shop.best(3, 5).await, [(one, 5)]);
    let quote = shop.quote(1, 5).await;
    let greedy = quote.greedy.unwrap();
    assert_eq!(
        shape(&greedy),
        [(two, 5)],
        "the first site's choice has no own offers"
    );
    // Sold: gone from the next quote on.
    shop.market.sell(one, 5).await;
    assert_eq!(shop.best(3, 5).await, [(two, 5)]);
    let deleted = shop.market.products.delete(member(2), product(two));
    deleted.await.unwrap();
    let quote = shop.quote(3, 5).await;
    assert!(
        quote.combinations.is_empty() && quote.greedy.is_none(),
        "{quote:?}"
    );
    assert_eq!((quote.nearest.below, quote.nearest.above), (None, None));
}

async fn offers_are_valid_until_the_quote_ends(on: On) {
    let shop = Shop::open(on, 2).await;
    let clock = &shop.market.base.clock;
    let to_month_end = MONTH_END_MS - shop.market.now_ms();
    clock.advance(Duration::from_millis(
        (to_month_end - 60_000).unsigned_abs(),
    ));
    let id = shop.market.offer(1, 100, 5).await.unwrap();
    let quote = shop.quote(2, 3).await;
    assert_eq!(shape(&quote.combinations[0]), [(id, 3)]);
    assert_eq!(quote.expires_at.get(), MONTH_END_MS);
    clock.advance(Duration::from_millis(1));
    let quote = shop.quote(2, 3).await;
    assert!(quote.combinations.is_empty() && quote.greedy.is_none());
    // Expired, though its row still says that it is active.
    clock.advance(Duration::from_secs(61));
    assert!(shop.quote(2, 3).await.combinations.is_empty());
    let state = format!("select count(*) from product where id = {id} and state = 'ACTIVE'");
    assert_eq!(shop.market.int(&state).await, 1);
}

async fn amount_is_within_the_months_limit(on: On) {
    let shop = Shop::open(on, 2).await;
    shop.market.offer(1, 2_000, 20).await.unwrap();
    let ask = async |units: u16| {
        let quote = shop.scrap.quote(member(2), Units::new(units), exactly());
        quote.await.map(|quote| quote.combinations.len())
    };
    assert_eq!(ask(0).await, Err(QuoteError::Amount));
    assert_eq!(ask(20).await, Ok(1));
    assert_eq!(ask(21).await, Err(QuoteError::Limit));
    let bought = |month, units| {
        vec![format!(
            "insert into member_month (member_id, month, providing, bought) values (2, {month}, 100, {units})"
        )]
    };
    shop.market.sql(bought(202_610, 20)).await;
    assert_eq!(ask(20).await, Ok(1), "last month's purchases do not count");
    shop.market.sql(bought(202_611, 15)).await;
    assert_eq!(ask(6).await, Err(QuoteError::Limit));
    assert_eq!(ask(5).await, Ok(1));
    // More than the amount is acceptable only as far as the limit goes.
    shop.insert(&[whole(90, 6, 10), whole(91, 5, 9_999)]).await;
    let conditions = Conditions {
        surplus: Surplus::Accepted,
        sellers_max: None,
    };
    let quote = shop.scrap.quote(member(2), Units::new(4), conditions);
    let quote = quote.await.unwrap();
    let amounts: Vec<_> = quote
        .combinations
        .iter()
        .map(|one| one.units.get())
        .collect();
    assert_eq!(amounts, [4, 5, 5]);
}

fn whole(id: i64, units: u16, price: i64) -> Offer {
    Offer {
        id,
        seller: 1,
        units,
        price,
        split: false,
        expires_at: MONTH_END_MS,
    }
}

async fn quoted_parts_show_the_offer_and_its_price(on: On) {
    let shop = Shop::open(on, 3).await;
    let whole = shop.market.offer_as(1, 500, 7, false).await.unwrap();
    let split = shop.market.offer_as(2, 1_001, 10, true).await.unwrap();
    shop.market.sell(split, 1).await;
    let quote = shop.quote(3, 9).await;
    let best = &quote.combinations[0];
    assert_eq!(
        shape(best),
        [(whole, 7), (split, 2)],
        "the whole offer is not cut"
    );
    let [first, second] = &best.parts[..] else {
        panic!("two parts: {best:?}");
    };
    let money = |won| Won::new(won);
    // 1,001 won for ten units are 101 for each.
    let prices = [first.price, first.price_of_all, first.unit_price];
    assert_eq!(prices, [500, 500, 72].map(money));
    let prices = [second.price, second.price_of_all, second.unit_price];
    assert_eq!(prices, [202, 909, 101].map(money));
    assert_eq!(best.price, money(702));
    assert_eq!((first.left.get(), second.left.get()), (7, 9));
    assert_eq!(first.member_name, "member 1");
    // The same parts at the same prices have the same id, others another.
    assert_eq!(shop.quote(3, 9).await.combinations[0].id, best.id);
    let ids: std::collections::HashSet<_> = quote.combinations.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), quote.combinations.len());
    let raised = format!("update product set price = 501 where id = {whole}");
    shop.market.sql(vec![raised]).await;
    let after = shop.quote(3, 9).await;
    assert_eq!(shape(&after.combinations[0]), shape(best));
    assert_ne!(after.combinations[0].id, best.id);
    assert_eq!(Units::new(9), best.units);
    let rows = shop
        .market
        .rows("select count(*) from trade".to_owned())
        .await;
    assert_eq!(
        rows[0].try_get::<i64, _>(0).unwrap(),
        0,
        "a quote buys nothing"
    );
}
