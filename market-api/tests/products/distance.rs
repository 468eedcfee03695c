//! Lists by distance, compared with brute force.

use std::sync::Arc;

use market_api::cache::RedisCache;
use market_api::products::{Filter, Kind, ListQuery, Position, Sort};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::fixtures::{Market, SEOUL, at, first_page, ids_of, page_size, random};
use crate::on_both;
use crate::support::On;

on_both! {
    distance_order_is_that_of_brute_force_on_a_thousand_sets,
    dense_cell_gives_the_same_pages_as_the_index,
}

/// A random position of a spot or a reader: dense, sparse, and at the seams of the map.
fn random_place(style: u32, rng: &mut StdRng) -> Position {
    let mut near = |middle: f64, reach: f64| middle + rng.random_range(-reach..=reach);
    let (latitude, longitude): (f64, f64) = match style {
        0 => (near(SEOUL.0, 0.05), near(SEOUL.1, 0.05)),
        1 => (near(36.0, 2.5), near(127.5, 2.5)),
        2 => (near(0.0, 90.0), near(0.0, 180.0)),
        3 => (near(-17.0, 3.0), near(180.0, 3.0)),
        4 => (near(89.0, 1.0), near(0.0, 180.0)),
        // A grid: many at exactly the same position.
        _ => (
            (near(370.0, 4.0)).round() / 10.0,
            near(1270.0, 4.0).round() / 10.0,
        ),
    };
    let longitude = if longitude > 180.0 {
        longitude - 360.0
    } else {
        longitude
    };
    at(latitude.clamp(-90.0, 90.0), longitude)
}

/// Replaces all spots.
async fn place_spots(market: &Market, places: &[Position], rng: &mut StdRng) {
    let mut texts: Vec<String> = ["spot", "sort_key_history", "product"]
        .map(|table| format!("delete from {table}"))
        .into();
    if matches!(market.base.db.dialect(), market_api::db::Dialect::Sqlite) {
        texts.insert(0, "delete from spot_place".to_owned());
    }
    let (mut products, mut spots) = (Vec::new(), Vec::new());
    for (id, place) in (1..).zip(places) {
        products.push(format!("({id}, 1, 'WIFI', 'ACTIVE', 100, 1, 1)"));
        let (opens, closes) = (rng.random_range(0..1_440), rng.random_range(0..1_440));
        spots.push(format!(
            "({id}, 't', '', {:?}, {:?}, '', 1, 1, {opens}, {closes}, 1)",
            place.latitude(),
            place.longitude()
        ));
    }
    texts.push(format!(
        "insert into product (id, member_id, kind, state, price, created_at, updated_at) values {}",
        products.join(", ")
    ));
    texts.push(format!(
        "insert into spot (product_id, title, content, latitude, longitude, address, opens_at, \
         closes_at, open_minute, close_minute, capacity) values {}",
        spots.join(", ")
    ));
    market.sql(texts).await;
}

/// Reads all pages of a list from an instance other than the market's own.
async fn walk(products: &market_api::products::Products, mut query: ListQuery) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let page = products.lists().list(query).await.unwrap();
        ids.extend(ids_of(&page));
        match page.next {
            None => return ids,
            next => query.after = next,
        }
    }
}

async fn distance_order_is_that_of_brute_force_on_a_thousand_sets(on: On) {
    let mut rng = random();
    let market = Market::open(on).await;
    market.members(1, 1).await;
    // Nothing listens there: without a cache this instance always searches the index.
    let nowhere = RedisCache::connect(
        &"redis://127.0.0.1:1".parse().unwrap(),
        RedisCache::ANSWER_MAX,
    )
    .unwrap();
    let (without_cache, metrics) = market.instance(Arc::new(nowhere));
    for set in 0..1_000 {
        let style = set % 6;
        let places: Vec<_> = (0..rng.random_range(1..=40))
            .map(|_| random_place(style, &mut rng))
            .collect();
        place_spots(&market, &places, &mut rng).await;
        market.invalidate(Kind::Wifi).await;

        let mut first = first_page(Kind::Wifi, Sort::Nearest, 1);
        first.size = page_size(rng.random_range(1..=50));
        first.at = Some(match rng.random_bool(0.1) {
            true => places[0],
            false => random_place(style, &mut rng),
        });
        if rng.random_bool(0.3) {
            first.filter = Filter::Open;
        }
        let truth = market.truth(&first).await;
        assert_eq!(
            market.walk(first).await,
            truth,
            "{set}: {first:?} {places:?}"
        );
        assert_eq!(
            walk(&without_cache, first).await,
            truth,
            "{set}: {first:?} {places:?}"
        );
    }
    let bypassed = metrics.list_pages.with_label_values(&["bypass"]).get();
    assert!(bypassed >= 1_000, "{bypassed}");
}

/// More spots than a cell caches: near pages come from the cell, far ones from the index, with equal results.
async fn dense_cell_gives_the_same_pages_as_the_index(on: On) {
    let mut rng = random();
    let market = Market::open(on).await;
    market.members(3, 1).await;
    let places: Vec<_> = (0..1_500).map(|_| random_place(0, &mut rng)).collect();
    place_spots(&market, &places, &mut rng).await;
    for reader in 1..=3 {
        for filter in [Filter::None, Filter::Open] {
            let mut first = first_page(Kind::Wifi, Sort::Nearest, 20);
            first.reader = crate::fixtures::member(reader);
            first.filter = filter;
            first.at = Some(at(
                SEOUL.0 + rng.random_range(-0.004..0.004),
                SEOUL.1 + rng.random_range(-0.004..0.004),
            ));
            let truth = market.truth(&first).await;
            assert_eq!(market.walk(first).await, truth);
        }
    }
}
