//! Reading a list to its end while others change it.

use std::collections::HashSet;
use std::time::Duration;

use market_api::products::{Filter, Kind, ListQuery, NewSpot, Sort};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::fixtures::{
    Market, counted, first_page, ids_of, member, new_data, page_size, product, random, spot_form,
};
use crate::on_both;
use crate::support::On;

on_both! {
    walk_skips_and_repeats_nothing_that_does_not_change,
    walk_of_a_list_at_rest_is_the_whole_list_in_order,
}

const MEMBERS: i64 = 40;

/// The filter that lists of this kind offer.
fn filter_of(kind: Kind) -> Filter {
    match kind {
        Kind::MobileData => Filter::Units(shared::money::Units::new(2)),
        Kind::Wifi | Kind::Hotspot => Filter::Open,
    }
}

/// Few keys for many rows, so that ties are frequent.
async fn offer_one(market: &Market, kind: Kind, rng: &mut StdRng) -> Option<i64> {
    let by = rng.random_range(1..=MEMBERS);
    if rng.random_bool(0.3) {
        market.base.clock.advance(Duration::from_millis(1));
    }
    if kind == Kind::MobileData {
        let units = rng.random_range(1..=4);
        let price = i64::from(units) * rng.random_range(1..=3);
        return market.offer_as(by, price, units, rng.random()).await.ok();
    }
    let form = random_form(rng);
    let spot = NewSpot::parse(member(by), kind, form).unwrap();
    let id = market.products.offer_spot(spot).await.unwrap();
    let id = crate::fixtures::number(id);
    market.rate(id, rng.random_range(0..3) * 1_000).await;
    Some(id)
}

fn random_form(rng: &mut StdRng) -> market_api::products::SpotForm {
    let step = |rng: &mut StdRng| f64::from(rng.random_range(-3..=3)) / 500.0;
    let place = (37.5 + step(rng), 127.0 + step(rng));
    let mut form = spot_form(rng.random_range(1..=3) * 100, place);
    let hour = rng.random_range(0..24);
    form.opens_at = format!("2026-11-01T{hour:02}:00:00").parse().unwrap();
    form
}

/// Changes an offer in one of the possible ways.
async fn change_one(market: &Market, kind: Kind, id: i64, rng: &mut StdRng) {
    market.base.clock.advance(Duration::from_millis(1));
    let row = market
        .rows(format!("select member_id from product where id = {id}"))
        .await;
    let by: i64 = sqlx::Row::try_get(&row[0], 0).unwrap();
    match (rng.random_range(0..4), kind) {
        // Refused if it is deleted already.
        (0, _) => _ = market.products.delete(member(by), product(id)).await,
        (1, _) => market.rate(id, rng.random_range(0..5) * 1_000).await,
        (_, Kind::MobileData) if rng.random() => market.sell(id, rng.random_range(1..=4)).await,
        (_, Kind::MobileData) => {
            let units = rng.random_range(1..=4);
            let to = new_data(by, rng.random_range(1..=12), units, rng.random());
            // Refused if it is partly sold or exceeds its seller's limit: then it stays unchanged.
            _ = market.edit(id, to).await;
        }
        (_, Kind::Wifi | Kind::Hotspot) => {
            let spot = NewSpot::parse(member(by), kind, random_form(rng)).unwrap();
            _ = market.products.change_spot(product(id), spot).await;
        }
    }
}

/// Reads one list to its end; returns the number of rows.
async fn walk_while_others_change(market: &Market, first: ListQuery, rng: &mut StdRng) -> usize {
    let kind = first.kind;
    let before: HashSet<i64> = market.truth(&first).await.into_iter().collect();
    let all: Vec<i64> = before.iter().copied().collect();
    let mut touched = HashSet::new();
    let mut met = Vec::new();
    let mut query = first;
    loop {
        query.size = page_size(rng.random_range(1..=5));
        let mut victims: Vec<i64> = (0..rng.random_range(0..3))
            .map(|_| all[rng.random_range(0..all.len())])
            .collect();
        // Often the row at the page's end: the next page depends on it.
        victims.extend(met.last().filter(|_| rng.random_bool(0.5)));
        touched.extend(victims.iter().copied());
        let mut others = StdRng::seed_from_u64(rng.random());
        let changes = async {
            for id in victims {
                change_one(market, kind, id, &mut others).await;
            }
            offer_one(market, kind, &mut others).await;
        };
        let (page, ()) = tokio::join!(market.list(query), changes);
        met.extend(ids_of(&page));
        assert!(met.len() < 2_000, "a walk without an end");
        match page.next {
            None => break,
            next => query.after = next,
        }
    }
    let counts = counted(&met);
    let unchanged: Vec<i64> = market
        .truth(&first)
        .await
        .into_iter()
        .filter(|id| before.contains(id) && !touched.contains(id))
        .collect();
    for id in &unchanged {
        assert_eq!(counts.get(id), Some(&1), "{first:?}: {id} of {met:?}");
    }
    let kept: HashSet<i64> = unchanged.iter().copied().collect();
    met.retain(|id| kept.contains(id));
    assert_eq!(met, unchanged, "{first:?}");
    counts.len()
}

async fn walk_skips_and_repeats_nothing_that_does_not_change(on: On) {
    let mut rng = random();
    let market = Market::open(on).await;
    market.members(MEMBERS, 1_000).await;
    for kind in Kind::ALL {
        for _ in 0..50 {
            offer_one(&market, kind, &mut rng).await;
        }
        for sort in Sort::of(kind) {
            for (filter, least) in [(Filter::None, 10), (Filter::None, 10), (filter_of(kind), 2)] {
                let mut first = first_page(kind, *sort, 1);
                first.filter = filter;
                let met = walk_while_others_change(&market, first, &mut rng).await;
                assert!(met > least, "{first:?} has met only {met}");
            }
        }
    }
    let moved = market.int("select count(*) from sort_key_history").await;
    assert!(moved > 50, "only {moved} rows have moved");
}

async fn walk_of_a_list_at_rest_is_the_whole_list_in_order(on: On) {
    let mut rng = random();
    let market = Market::open(on).await;
    market.members(MEMBERS, 1_000).await;
    for kind in Kind::ALL {
        for _ in 0..40 {
            offer_one(&market, kind, &mut rng).await;
        }
        for sort in Sort::of(kind) {
            for filter in [Filter::None, filter_of(kind)] {
                for rows in [1, 3, 100] {
                    let mut first = first_page(kind, *sort, rows);
                    first.filter = filter;
                    let truth = market.truth(&first).await;
                    assert!(truth.len() > 2, "{first:?}: {truth:?}");
                    assert_eq!(market.walk(first).await, truth, "{first:?}");
                    // Once more, from the cache.
                    assert_eq!(market.walk(first).await, truth, "{first:?}");
                }
            }
        }
    }
}
