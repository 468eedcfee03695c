//! Benchmark of lists under the load that the first DaPanDa's team published: 70 members and 50 offers, with a
//! maximum of 780 ms for mobile data and 2.39 s for Wi-Fi before they had a cache. Also with 100,000 offers.
//!
//! `cargo bench -p market-api --bench lists`, with the addresses of `infra/services` in the environment.
//! All members send requests concurrently, each one after the other; meanwhile an offer changes a few times, so
//! that pages are read again. Measured in the process, without HTTP. Bounded by a number of requests per
//! member and a deadline for the whole run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program: it prints, reads its environment and the time, and may fail"
)]

#[path = "../tests/products/fixtures.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod fixtures;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::{Market, first_page, member, new_data, number, spot_form};
use market_api::cache::{Cache, LocalCache, RedisCache};
use market_api::products::{Filter, Kind, ListQuery, NewSpot, Position, Products, Sort};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::On;
use tokio::task::JoinSet;

const MEMBERS: i64 = 70;
const REQUESTS_EACH: usize = 40;
const CHANGES: u32 = 10;
const DEADLINE: Duration = Duration::from_secs(540);

/// Rows in one statement.
const ROWS: i64 = 500;

#[tokio::main]
async fn main() {
    tokio::time::timeout(DEADLINE, run())
        .await
        .expect("the benchmark takes too long");
}

async fn run() {
    println!(
        "| database | offers | cache | list | p50 ms | p95 ms | p99 ms | worst ms | requests/s | queries | busy |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for on in [On::Postgres, On::Sqlite] {
        for offers in [50, 100_000] {
            let market = Market::open(on).await;
            seed(&market, offers).await;
            for cache in ["none", "process", "redis"] {
                for (kind, sort) in [
                    (Kind::MobileData, Sort::Recent),
                    (Kind::MobileData, Sort::MostUnits),
                    (Kind::Wifi, Sort::BestRated),
                    (Kind::Wifi, Sort::Nearest),
                ] {
                    measure(&market, on, offers, cache, (kind, sort)).await;
                }
            }
        }
    }
}

fn cache_of(name: &str) -> Arc<dyn Cache> {
    let redis = match name {
        "process" => return Arc::new(LocalCache::new()),
        "redis" => std::env::var("TEST_REDIS_URL").expect("infra/services up redis"),
        // Nothing listens there: every list is read from the database.
        _ => "redis://127.0.0.1:1".to_owned(),
    };
    Arc::new(RedisCache::connect(&redis.parse().unwrap(), RedisCache::ANSWER_MAX).unwrap())
}

async fn measure(market: &Market, on: On, offers: i64, cache: &str, what: (Kind, Sort)) {
    let (kind, sort) = what;
    let (products, metrics) = market.instance(cache_of(cache));
    // Until the cache is connected, or its breaker is open.
    let first = first_page(kind, sort, 20);
    let ready = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            products.lists().list(first).await.unwrap();
            let bypassed = metrics.list_pages.with_label_values(&["bypass"]).get();
            let kept = metrics.list_pages.with_label_values(&["cache"]).get();
            if kept > 0 || (cache == "none" && bypassed > 3) {
                break;
            }
            look.tick().await;
        }
    };
    ready.await;
    let before = metrics.list_queries.get();
    let begun = Instant::now();
    let mut members = JoinSet::new();
    for reader in 1..=MEMBERS {
        members.spawn(ask(products.clone(), kind, sort, reader));
    }
    let changing = change(market, &products, kind);
    let (times, ()) = tokio::join!(members.join_all(), changing);
    let elapsed = begun.elapsed().as_secs_f64();
    let busy: usize = times.iter().map(|(_, busy)| busy).sum();
    let mut times: Vec<f64> = times.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "| {on:?} | {offers} | {cache} | {} {sort:?} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {} | {busy} |",
        kind.name(),
        at(50),
        at(95),
        at(99),
        at(100),
        times.len() as f64 / elapsed,
        metrics.list_queries.get() - before,
    );
}

/// A member reads first pages, and after some the second. Returns the times, and the number of refusals.
async fn ask(products: Products, kind: Kind, sort: Sort, reader: i64) -> (Vec<f64>, usize) {
    let mut rng = StdRng::seed_from_u64(reader.unsigned_abs());
    let here = Position::new(
        37.5665 + rng.random_range(-0.05..0.05),
        126.978 + rng.random_range(-0.05..0.05),
    );
    let mut times = Vec::with_capacity(REQUESTS_EACH);
    let (mut after, mut busy) = (None, 0);
    while times.len() < REQUESTS_EACH {
        let query = ListQuery {
            reader: member(reader),
            filter: Filter::None,
            at: here,
            after,
            ..first_page(kind, sort, 20)
        };
        let begun = Instant::now();
        let page = products.lists().list(query).await;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        // A refusal after two seconds: its time counts, and it is counted apart.
        busy += usize::from(page.is_err());
        let next = page.ok().and_then(|page| page.next);
        after = next.filter(|_| rng.random_bool(0.3));
    }
    (times, busy)
}

/// Offers are created and deleted during the run.
async fn change(market: &Market, products: &Products, kind: Kind) {
    for _ in 0..CHANGES {
        let id = match kind {
            Kind::MobileData => products
                .offer_data(new_data(1, 100, 1, true))
                .await
                .unwrap(),
            Kind::Wifi | Kind::Hotspot => {
                let spot = NewSpot::parse(member(1), kind, spot_form(100, fixtures::SEOUL));
                products.offer_spot(spot.unwrap()).await.unwrap()
            }
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        products.delete(member(1), id).await.unwrap();
        market
            .base
            .clock
            .advance(Duration::from_millis(number(id).unsigned_abs() % 7));
    }
}

/// Half mobile data, half Wi-Fi around Seoul.
async fn seed(market: &Market, offers: i64) {
    market.members(MEMBERS, 100).await;
    let mut rng = StdRng::seed_from_u64(7);
    let (month, expires) = (202_611, 1_796_050_800_000_i64);
    let mut id = 0;
    while id < offers {
        let (mut products, mut spots) = (Vec::new(), Vec::new());
        for _ in 0..ROWS.min(offers - id) {
            id += 1;
            // Not by member 1, whose offers change during the measurement.
            let by = rng.random_range(2..=MEMBERS);
            let (price, at) = (rng.random_range(100..3_000), 1_794_000_000_000_i64 + id);
            if id % 2 == 0 {
                let units = rng.random_range(1..=20);
                let unit = (price + units - 1) / units;
                products.push(format!(
                    "({id}, {by}, 'MOBILE_DATA', 'ACTIVE', {price}, {unit}, 1, {units}, {units}, 0, 0, \
                     {month}, {expires}, 0, {at}, {at})"
                ));
                continue;
            }
            let rate = rng.random_range(0..=50) * 100;
            products.push(format!(
                "({id}, {by}, 'WIFI', 'ACTIVE', {price}, null, null, null, null, null, null, null, null, \
                 {rate}, {at}, {at})"
            ));
            let north = 37.5665 + rng.random_range(-0.3..0.3_f64);
            let east = 126.978 + rng.random_range(-0.4..0.4_f64);
            spots.push(format!(
                "({id}, 'Café {id}', 'fast', {north:?}, {east:?}, 'Seoul', 1, 1, 540, 1080, 10)"
            ));
        }
        market
            .sql(vec![
                format!(
                    "insert into product (id, member_id, kind, state, price, unit_price, split, \
                     units_listed, units_left, units_sold, units_returned, month, expires_at, \
                     seller_rate, created_at, updated_at) values {}",
                    products.join(", ")
                ),
                format!(
                    "insert into spot (product_id, title, content, latitude, longitude, address, \
                     opens_at, closes_at, open_minute, close_minute, capacity) values {}",
                    spots.join(", ")
                ),
            ])
            .await;
    }
    let texts = match market.base.db.dialect() {
        // Ids were set explicitly; the sequence must continue after them.
        market_api::db::Dialect::Postgres => vec![
            format!(
                "alter table product alter column id restart with {}",
                offers + 1
            ),
            "analyze".to_owned(),
        ],
        market_api::db::Dialect::Sqlite => vec!["analyze".to_owned()],
    };
    market.sql(texts).await;
}
