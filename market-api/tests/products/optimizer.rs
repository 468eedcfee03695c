//! The optimizer against independent solutions. No database.

use std::num::NonZeroU16;

use market_api::scrap::{Candidate, Combination, PriceOverflow, Request, greedy, solve};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use shared::money::{Units, Won};

use crate::fixtures::random;
use crate::oracle::{Offer, Ranked, all_sets, by_partitions, by_subsets, partitions};

/// Shapes of random markets.
#[derive(Clone, Copy, Debug)]
struct Shape {
    offers: usize,
    units_max: u16,
    sellers: i64,
    /// Share of split offers in percent.
    split: u32,
    /// Few prices and several expiries: many combinations are equal but for the last criteria.
    ties: bool,
}

fn market(rng: &mut StdRng, shape: Shape) -> Vec<Offer> {
    let mut ids: Vec<i64> = (1..=i64::try_from(shape.offers).unwrap()).collect();
    ids.shuffle(rng);
    let offer = |id| {
        let units = rng.random_range(1..=shape.units_max);
        let split = rng.random_ratio(shape.split, 100);
        let unit_price = match shape.ties {
            true => rng.random_range(1..=3) * 10,
            false => rng.random_range(80..=250),
        };
        let off = if shape.ties {
            0
        } else {
            rng.random_range(0..units.into())
        };
        Offer {
            id,
            seller: rng.random_range(1..=shape.sellers),
            units,
            price: if split {
                unit_price
            } else {
                unit_price * i64::from(units) - off
            },
            split,
            expires_at: if shape.ties {
                rng.random_range(1..=2)
            } else {
                1
            },
        }
    };
    ids.into_iter().map(offer).collect()
}

fn candidates(offers: &[Offer]) -> Vec<Candidate> {
    offers.iter().map(|offer| offer.candidate()).collect()
}

fn exactly(units: u16) -> Request {
    Request::exactly(Units::new(units), Units::new(20)).unwrap()
}

/// An answer in the form of the oracle; checks its sums.
fn ranked(found: &Combination, offers: &[Offer], wanted: u16) -> Ranked {
    let mut price = 0;
    let mut parts = Vec::new();
    for part in &found.parts {
        let id = i64::from(part.product.get());
        let offer = offers.iter().find(|offer| offer.id == id).unwrap();
        let units = part.units.get();
        assert!(units > 0 && units <= offer.units);
        assert!(offer.split || units == offer.units, "a whole offer was cut");
        let paid = if offer.split {
            offer.price * i64::from(units)
        } else {
            offer.price
        };
        assert_eq!(part.price, Won::new(paid));
        price += paid;
        parts.push((offer.expires_at, id, units));
    }
    assert!(
        found
            .parts
            .is_sorted_by(|one, next| one.product < next.product)
    );
    assert_eq!(found.price, Won::new(price));
    let units: u16 = parts.iter().map(|(_, _, units)| units).sum();
    assert_eq!(found.units, Units::new(units));
    parts.sort_unstable();
    Ranked {
        price,
        offers: parts.len(),
        surplus: units - wanted,
        products: parts.iter().map(|(expiry, id, _)| (*expiry, *id)).collect(),
        amounts: parts.iter().map(|(_, _, units)| *units).collect(),
    }
}

/// All answers, their order and the nearest amounts, against all sets.
fn check_all_sets(offers: &[Offer], request: Request, asked: Asked) {
    let Asked {
        units,
        up_to,
        limit,
        sellers_max,
        answers,
    } = asked;
    let mut expected = all_sets(offers, units, up_to, sellers_max);
    let solution = solve(&candidates(offers), &request).unwrap();
    let found = solution.combinations.iter();
    let found: Vec<_> = found.map(|one| ranked(one, offers, units)).collect();
    let is_feasible = !expected.is_empty();
    expected.truncate(answers);
    assert_eq!(found, expected, "{asked:?} of {offers:?}");
    if is_feasible {
        return assert_eq!(solution.nearest, market_api::scrap::Nearest::default());
    }
    let feasible = |amount: &u16| !all_sets(offers, *amount, *amount, sellers_max).is_empty();
    let nearest = solution.nearest;
    assert_eq!(
        nearest.below.map(Units::get),
        (1..units).rev().find(feasible),
        "{offers:?}"
    );
    let above = (units + 1..=limit).find(feasible);
    assert_eq!(
        nearest.above.map(Units::get),
        above,
        "{asked:?} of {offers:?}"
    );
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    units: u16,
    up_to: u16,
    limit: u16,
    sellers_max: usize,
    answers: usize,
}

#[test]
fn answers_are_the_best_of_all_sets() {
    let mut rng = random();
    for round in 0..10_000 {
        // Small amounts of many offers, so that most are left out; larger ones of few.
        let (offers, units_max, limit) = match round % 3 {
            0 => (rng.random_range(0..=12), 3, 3),
            1 => (rng.random_range(0..=7), 5, 6),
            _ => (rng.random_range(0..=5), 9, 10),
        };
        let shape = Shape {
            offers,
            units_max,
            sellers: rng.random_range(1..=5),
            split: [0, 30, 60, 100][rng.random_range(0..4)],
            ties: rng.random_ratio(2, 3),
        };
        let offers = market(&mut rng, shape);
        let units = rng.random_range(1..=limit);
        let answers = rng.random_range(1..=5);
        let request = Request::exactly(Units::new(units), Units::new(limit)).unwrap();
        let mut request = request.with_answers(answers);
        let mut asked = Asked {
            units,
            up_to: units,
            limit,
            sellers_max: 20,
            answers,
        };
        if rng.random_ratio(1, 3) {
            let slack = rng.random_range(1..=4);
            request = request.or_up_to(Units::new(slack));
            asked.up_to = (units + slack).min(limit);
        }
        if rng.random_ratio(1, 2) {
            let sellers = rng.random_range(1..=3);
            request = request.from_sellers(NonZeroU16::new(sellers).unwrap());
            asked.sellers_max = sellers.into();
        }
        check_all_sets(&offers, request, asked);
    }
}

/// The cheapest answer costs what an oracle says, and the first site's choice costs as much or more.
fn check_price(offers: &[Offer], units: u16, expected: Option<i64>) {
    let candidates = candidates(offers);
    let solution = solve(&candidates, &exactly(units)).unwrap();
    let found = solution.combinations.iter();
    let found: Vec<_> = found.map(|one| ranked(one, offers, units)).collect();
    let price = found.first().map(|best| best.price);
    assert_eq!(price, expected, "{units} units of {offers:?}");
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    assert!(found.iter().all(|one| one.surplus == 0));
    if let Some(first_site) = greedy(&candidates, Units::new(units)) {
        let first_site = ranked(&first_site, offers, units);
        assert_eq!(first_site.surplus, 0);
        assert!(
            price.is_some_and(|price| price <= first_site.price),
            "{offers:?}"
        );
    }
}

#[test]
fn price_is_the_lowest_of_all_subsets() {
    let mut rng = random();
    for _ in 0..10_000 {
        let shape = Shape {
            offers: rng.random_range(0..=12),
            units_max: 20,
            sellers: 9,
            split: [0, 20, 50, 100][rng.random_range(0..4)],
            ties: rng.random_ratio(1, 4),
        };
        let offers = market(&mut rng, shape);
        let units = rng.random_range(1..=20);
        check_price(&offers, units, by_subsets(&offers, units));
    }
}

#[test]
fn price_is_the_lowest_of_all_partitions() {
    let partitions: Vec<_> = (0..=20).map(|number| partitions(number, number)).collect();
    assert_eq!(partitions.iter().map(Vec::len).sum::<usize>(), 2_714);
    let mut rng = random();
    for _ in 0..1_000 {
        let shape = Shape {
            offers: rng.random_range(13..=300),
            units_max: 20,
            sellers: 99,
            split: [0, 0, 5, 20, 50][rng.random_range(0..5)],
            ties: rng.random_ratio(1, 4),
        };
        let offers = market(&mut rng, shape);
        let units = rng.random_range(1..=20);
        check_price(&offers, units, by_partitions(&offers, units, &partitions));
    }
}

#[test]
fn answers_do_not_depend_on_the_order_of_offers() {
    let mut rng = random();
    for _ in 0..200 {
        let shape = Shape {
            offers: 150,
            units_max: 20,
            sellers: 40,
            split: 40,
            ties: true,
        };
        let mut offers = candidates(&market(&mut rng, shape));
        let mut request = exactly(rng.random_range(1..=20));
        if rng.random_ratio(1, 4) {
            request = request.from_sellers(NonZeroU16::new(2).unwrap());
        }
        let first = solve(&offers, &request).unwrap();
        offers.shuffle(&mut rng);
        // One listed twice counts once.
        offers.push(offers[0]);
        assert_eq!(solve(&offers, &request).unwrap(), first);
    }
}

/// The rules of pruning on markets whose offers all cost the same: only the last criteria decide.
#[test]
fn equal_prices_are_decided_by_number_expiry_and_id() {
    let offer = |id, units, split, expires_at| Offer {
        id,
        seller: id,
        units,
        price: if split { 100 } else { 100 * i64::from(units) },
        split,
        expires_at,
    };
    // One-unit offers first; the only ones that have all units come last.
    let mut offers: Vec<_> = (1..=200).map(|id| offer(id, 1, id % 2 == 0, 7)).collect();
    offers.extend([
        offer(201, 5, true, 7),
        offer(202, 5, false, 7),
        offer(203, 6, true, 6),
    ]);
    let solution = solve(&candidates(&offers), &exactly(5)).unwrap();
    let ids = |found: &Combination| -> Vec<(u32, u16)> {
        let parts = found.parts.iter();
        parts
            .map(|part| (part.product.get(), part.units.get()))
            .collect()
    };
    let found: Vec<_> = solution.combinations.iter().map(ids).collect();
    let expected = [
        vec![(203, 5)],
        vec![(201, 5)],
        vec![(202, 5)],
        // Two offers: the one that expires first, and the lowest id.
        vec![(1, 1), (203, 4)],
        vec![(2, 1), (203, 4)],
    ];
    assert_eq!(found, expected);
}

#[test]
fn first_site_finds_nothing_where_two_offers_fit() {
    let whole = |id, units, price| Offer {
        id,
        seller: id,
        units,
        price,
        split: false,
        expires_at: 1,
    };
    let offers = candidates(&[whole(1, 5, 500), whole(2, 7, 770), whole(3, 5, 600)]);
    assert_eq!(greedy(&offers, Units::new(10)), None);
    let solution = solve(&offers, &exactly(10)).unwrap();
    assert_eq!(solution.combinations[0].price, Won::new(1_100));
    assert_eq!(solution.combinations.len(), 1);
    // Nothing has 11 units; 10 and 12 are possible.
    let solution = solve(&offers, &exactly(11)).unwrap();
    assert_eq!(solution.combinations, []);
    assert_eq!(solution.nearest.below, Some(Units::new(10)));
    assert_eq!(solution.nearest.above, Some(Units::new(12)));
    // Twelve units cost more than ten, but are what there is.
    let solution = solve(&offers, &exactly(11).or_up_to(Units::MAX)).unwrap();
    assert_eq!(solution.combinations[0].units, Units::new(12));
}

#[test]
fn prices_out_of_range_are_an_error() {
    let offer = |id, split| Offer {
        id,
        seller: id,
        units: 1,
        price: i64::MAX,
        split,
        expires_at: 1,
    };
    for split in [false, true] {
        let offers = candidates(&[offer(1, split), offer(2, split)]);
        assert_eq!(solve(&offers, &exactly(2)), Err(PriceOverflow));
        assert_eq!(greedy(&offers, Units::new(2)), None);
    }
}

#[test]
fn request_has_one_to_twenty_units_within_the_buyers_limit() {
    let request = |units, limit| Request::exactly(Units::new(units), Units::new(limit));
    assert!(request(1, 1).is_some() && request(20, 20).is_some());
    for (units, limit) in [(0, 20), (21, 21), (5, 4), (20, 21), (1, 0)] {
        assert_eq!(request(units, limit), None, "{units} of {limit}");
    }
}
