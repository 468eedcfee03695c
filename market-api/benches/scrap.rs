//! Benchmark of scrap quotes among 100,000 offers: the optimizer alone, and quotes from both databases. Also how
//! much dearer the first site's choice is.
//!
//! `cargo bench -p market-api --bench scrap`, with the addresses of `infra/services` in the environment;
//! `cargo bench -p market-api --bench scrap -- --greedy` prints the comparison with the first site.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program: it prints, reads its environment, and may fail"
)]

#[path = "../tests/products/fixtures.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod fixtures;
#[path = "../tests/products/oracle.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod oracle;
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::num::NonZeroU16;

use criterion::{BenchmarkId, Criterion};
use fixtures::{Market, member};
use market_api::scrap::{Candidate, Conditions, Request, Scrap, Surplus, greedy, solve};
use oracle::Offer;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::money::Units;
use support::On;

const OFFERS: i64 = 100_000;
const SELLERS: i64 = 20_000;
const MONTH_END_MS: i64 = 1_796_050_800_000;

fn main() {
    if std::env::args().any(|argument| argument == "--greedy") {
        return compare_with_the_first_site();
    }
    let mut criterion = Criterion::default().configure_from_args();
    for prices in [Prices::Random, Prices::Equal] {
        solver(&mut criterion, prices);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for on in [On::Postgres, On::Sqlite] {
        for prices in [Prices::Random, Prices::Equal] {
            quotes(&mut criterion, &runtime, on, prices);
        }
    }
    criterion.final_summary();
}

/// Won for 0.1 GB.
#[derive(Clone, Copy, Debug)]
enum Prices {
    /// 80 to 250.
    Random,
    /// 100: only the last criteria decide.
    Equal,
}

/// Random offers; half of them, or another share in percent, are split.
fn offers(rng: &mut StdRng, count: i64, split: u32, prices: Prices) -> Vec<Offer> {
    let offer = |id| {
        let (units, split) = (rng.random_range(1..=20), rng.random_ratio(split, 100));
        let unit_price = match prices {
            Prices::Random => rng.random_range(80..=250),
            Prices::Equal => 100,
        };
        Offer {
            id,
            seller: rng.random_range(2..=SELLERS),
            units,
            price: if split {
                unit_price
            } else {
                unit_price * i64::from(units)
            },
            split,
            expires_at: MONTH_END_MS,
        }
    };
    (1..=count).map(offer).collect()
}

/// What a quote reads of these offers (`domain.md` 10.3), and the cheapest by unit price.
fn read(offers: &[Offer], cheapest: usize) -> Vec<Candidate> {
    let mut sorted = offers.to_vec();
    let mut read: Vec<&Offer> = Vec::new();
    sorted.sort_by_key(|offer| (offer.price, offer.id));
    for size in 1..=20 {
        let of_size = sorted
            .iter()
            .filter(|offer| !offer.split && offer.units == size);
        read.extend(of_size.take(usize::from(20 / size) + 4));
    }
    let mut split: Vec<_> = sorted.iter().filter(|offer| offer.split).collect();
    split.sort_by_key(|offer| (offer.price, offer.units, offer.id));
    read.extend(&split[..24]);
    for size in 1..=20 {
        let last = split[23].price;
        let of_size = split
            .iter()
            .filter(|offer| offer.price == last && offer.units == size);
        read.extend(of_size.take(24));
    }
    let mut by_unit_price: Vec<_> = offers.iter().collect();
    by_unit_price.sort_by_key(|offer| (offer.candidate().unit_price(), offer.id));
    read.extend(&by_unit_price[..cheapest]);
    read.into_iter().map(|offer| offer.candidate()).collect()
}

/// Twenty units; ten units or more; twenty of two sellers at most.
const KINDS: [&str; 3] = ["exactly 20", "at least 10", "20 of 2 sellers"];

fn request(kind: &str) -> Request {
    let exactly = |units| Request::exactly(Units::new(units), Units::new(20)).unwrap();
    match kind {
        "at least 10" => exactly(10).or_up_to(Units::MAX),
        "20 of 2 sellers" => exactly(20).from_sellers(NonZeroU16::new(2).unwrap()),
        _ => exactly(20),
    }
}

fn conditions(kind: &str) -> (Units, Conditions) {
    let (mut units, mut conditions) = (20, Conditions::default());
    match kind {
        "at least 10" => (units, conditions.surplus) = (10, Surplus::Accepted),
        "20 of 2 sellers" => conditions.sellers_max = NonZeroU16::new(2),
        _ => {}
    }
    (Units::new(units), conditions)
}

fn solver(criterion: &mut Criterion, prices: Prices) {
    let all = offers(&mut StdRng::seed_from_u64(7), OFFERS, 50, prices);
    let mut group = criterion.benchmark_group(format!("solve, {prices:?} prices"));
    for kind in KINDS {
        let few_sellers = request(kind) == request("20 of 2 sellers");
        let read = read(&all, if few_sellers { 2_000 } else { 100 });
        let request = request(kind);
        group.bench_with_input(BenchmarkId::from_parameter(kind), &read, |bencher, read| {
            bencher.iter(|| solve(black_box(read), &request).unwrap());
        });
    }
    group.finish();
}

fn quotes(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime, on: On, prices: Prices) {
    let market = runtime.block_on(async {
        let market = Market::open(on).await;
        seed(&market, prices).await;
        market
    });
    let scrap = Scrap::new(market.base.db.clone());
    let mut group = criterion.benchmark_group(format!("quote on {on:?}, {prices:?} prices"));
    group.sample_size(50);
    for kind in KINDS {
        let (units, conditions) = conditions(kind);
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                let quote = scrap.quote(member(1), units, conditions);
                runtime.block_on(quote).unwrap()
            });
        });
    }
    group.finish();
}

/// Rows in one statement.
const ROWS: usize = 500;

async fn seed(market: &Market, prices: Prices) {
    let members: Vec<_> = (1..=SELLERS).collect();
    for ids in members.chunks(ROWS) {
        let rows = ids
            .iter()
            .map(|id| format!("({id}, 'KAKAO', '{id}', 'member {id}', 'ROLE_MEMBER', 1, 1)"));
        let rows: Vec<_> = rows.collect();
        market
            .sql(vec![format!(
                "insert into member (id, provider, provider_id, name, role, created_at, updated_at) values {}",
                rows.join(", ")
            )])
            .await;
    }
    let offers = offers(&mut StdRng::seed_from_u64(7), OFFERS, 50, prices);
    for offers in offers.chunks(ROWS) {
        let rows: Vec<_> = offers.iter().map(|offer| offer.row()).collect();
        let text = format!(
            "insert into product ({}) values {}",
            Offer::COLUMNS,
            rows.join(", ")
        );
        market.sql(vec![text]).await;
    }
    market.sql(vec!["analyze".to_owned()]).await;
}

/// Random markets for each row of the table.
const CASES: usize = 2_000;

#[expect(clippy::cast_precision_loss, reason = "small numbers for a table")]
fn compare_with_the_first_site() {
    println!("| offers | split | finds nothing | dearer | mean extra where dearer | worst |");
    println!("|---|---|---|---|---|---|");
    let mut rng = StdRng::seed_from_u64(7);
    for (count, split) in [
        (10, 0),
        (10, 20),
        (10, 50),
        (20, 0),
        (20, 20),
        (20, 50),
        (50, 0),
        (50, 20),
        (50, 50),
        (100, 0),
        (100, 20),
        (100, 50),
        (1_000, 0),
        (1_000, 20),
        (1_000, 50),
    ] {
        let (mut feasible, mut missed, mut extras) = (0_usize, 0_usize, Vec::new());
        for _ in 0..CASES {
            let offers = offers(&mut rng, count, split, Prices::Random);
            let offers: Vec<_> = offers.iter().map(|offer| offer.candidate()).collect();
            let units = Units::new(rng.random_range(1..=20));
            let request = Request::exactly(units, Units::new(20))
                .unwrap()
                .with_answers(1);
            let solution = solve(&offers, &request).unwrap();
            let Some(best) = solution.combinations.first() else {
                continue;
            };
            feasible += 1;
            match greedy(&offers, units) {
                None => missed += 1,
                Some(found) if found.price > best.price => {
                    extras.push(found.price.get() as f64 / best.price.get() as f64 - 1.0);
                }
                Some(_) => {}
            }
        }
        let percent = |part: usize| 100.0 * part as f64 / feasible as f64;
        let mean = 100.0 * extras.iter().sum::<f64>() / extras.len().max(1) as f64;
        let worst = 100.0 * extras.iter().copied().fold(0.0, f64::max);
        println!(
            "| {count} | {split} % | {:.1} % | {:.1} % | {mean:.1} % | {worst:.0} % |",
            percent(missed),
            percent(extras.len()),
        );
    }
}
