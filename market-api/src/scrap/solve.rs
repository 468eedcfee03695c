//! The exact optimizer: a pure function from offers to the best combinations.
//!
//! Combinations are ordered by price, number of offers, surplus, then by their offers in the order of expiry
//! and product id, then by their amounts in that order. So the earliest expiry decides first, and among offers
//! that expire together the sorted product ids. The order is total: the answer does not depend on the order of
//! the offers.

use std::collections::BTreeMap;

use shared::ids::MemberId;
use shared::money::{Units, Won};

use super::best::{Choice, Partial, Table};
use super::offers::{Candidate, Combination, Nearest, Part, PriceOverflow, Request, Solution};
use super::prune::{Bounds, Ranked, prune};
use crate::products::Sale;

/// The best combinations of the offers. An offer that is listed twice counts once.
///
/// # Errors
/// [`PriceOverflow`]; impossible with the prices that the database admits.
pub fn solve(offers: &[Candidate], request: &Request) -> Result<Solution, PriceOverflow> {
    let offers = sorted(offers);
    let ranked = (0..).zip(&offers);
    let ranked: Vec<_> = ranked.map(|(rank, offer)| Ranked { rank, offer }).collect();
    let table = table(&ranked, request, request.up_to, request.answers)?;
    let wanted = usize::from(request.units.get());
    let mut found: Vec<_> = (wanted..=usize::from(request.up_to.get()))
        .flat_map(|units| {
            table
                .best(units)
                .into_iter()
                .map(move |one| (units - wanted, one))
        })
        .collect();
    found.sort_unstable_by(|(surplus, one), (other_surplus, other)| {
        let key = |surplus, one: &Partial| (one.price, one.offers(), surplus);
        let keys = key(*surplus, one).cmp(&key(*other_surplus, other));
        keys.then_with(|| one.cmp(other))
    });
    found.truncate(request.answers);
    let combinations: Option<Vec<_>> = found.iter().map(|(_, one)| combine(one, &offers)).collect();
    let combinations = combinations.ok_or(PriceOverflow)?;
    let nearest = match combinations.is_empty() {
        true => nearest(&ranked, request)?,
        false => Nearest::default(),
    };
    Ok(Solution {
        combinations,
        nearest,
    })
}

/// Each product once, in the order of expiry and id.
fn sorted(offers: &[Candidate]) -> Vec<Candidate> {
    let mut offers = offers.to_vec();
    offers.sort_by_key(|offer| offer.product);
    offers.dedup_by_key(|offer| offer.product);
    offers.sort_by_key(|offer| offer.expires_at);
    offers
}

/// The best combinations of each amount up to a bound.
fn table(
    offers: &[Ranked<'_>],
    request: &Request,
    up_to: Units,
    answers: usize,
) -> Result<Table, PriceOverflow> {
    // As many sellers as units are no limit.
    let sellers_max = request.sellers_max.map(|sellers| sellers.get());
    match sellers_max.filter(|sellers| *sellers < up_to.get()) {
        None => any_sellers(offers, up_to, answers),
        Some(sellers) => few_sellers(offers, usize::from(sellers), up_to, answers),
    }
}

fn any_sellers(
    offers: &[Ranked<'_>],
    up_to: Units,
    answers: usize,
) -> Result<Table, PriceOverflow> {
    let bounds = Bounds {
        up_to: usize::from(up_to.get()),
        answers,
    };
    let mut table = Table::new(up_to, None, answers);
    for one in prune(offers, bounds) {
        table.add(&choices(&one, up_to)?)?;
    }
    Ok(table)
}

/// The ways to take a part of an offer.
fn choices(one: &Ranked<'_>, up_to: Units) -> Result<Vec<Choice>, PriceOverflow> {
    let choice = |units: Units, price: Won| {
        let part = Partial::of(one.rank, units, price);
        (usize::from(units.get()), part)
    };
    let Candidate {
        units, price, sale, ..
    } = *one.offer;
    match sale {
        Sale::Whole => Ok(vec![choice(units, price)]),
        Sale::Split => {
            let parts = (1..=units.min(up_to).get()).map(|units| {
                let units = Units::new(units);
                let price = price.checked_times_units(units).ok_or(PriceOverflow)?;
                Ok(choice(units, price))
            });
            parts.collect()
        }
    }
}

/// A group is a seller: a combination takes one of the best combinations of the seller's own offers, or none.
///
/// Per amount only some sellers are needed: of a combination that takes this amount from another one, at least
/// `answers` better ones take it from one of these (as in [`prune`]; the others' places are `sellers_max - 1`,
/// each with a unit at least).
fn few_sellers(
    offers: &[Ranked<'_>],
    sellers_max: usize,
    up_to: Units,
    answers: usize,
) -> Result<Table, PriceOverflow> {
    let mut by_seller: BTreeMap<MemberId, Vec<Ranked<'_>>> = BTreeMap::new();
    for one in offers {
        by_seller.entry(one.offer.seller).or_default().push(*one);
    }
    // For each amount: a seller's best combination, the seller's number, and all kept ones of the seller.
    let mut of_amount: Vec<Vec<(Partial, usize, Vec<Partial>)>> = Vec::new();
    of_amount.resize_with(usize::from(up_to.get()) + 1, Vec::new);
    for (number, own) in by_seller.values().enumerate() {
        for (units, best) in best_of_seller(own, up_to, answers)? {
            if let Some(first) = best.first() {
                of_amount[units].push((*first, number, best));
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<Choice>> = BTreeMap::new();
    for (units, mut sellers) in of_amount.into_iter().enumerate().skip(1) {
        let others = (sellers_max - 1).min(usize::from(up_to.get()) - units);
        sellers.sort_unstable_by_key(|(first, ..)| *first);
        for (_, number, best) in sellers.into_iter().take(others + answers) {
            let group = groups.entry(number).or_default();
            group.extend(best.into_iter().map(|one| (units, one)));
        }
    }
    let mut table = Table::new(up_to, Some(sellers_max), answers);
    for group in groups.values() {
        table.add(group)?;
    }
    Ok(table)
}

/// The best combinations of one seller's offers, for each amount.
fn best_of_seller(
    own: &[Ranked<'_>],
    up_to: Units,
    answers: usize,
) -> Result<Vec<(usize, Vec<Partial>)>, PriceOverflow> {
    if let [one] = own {
        // Most sellers have one offer, which needs no table.
        let fits = |(units, _): &Choice| (1..=usize::from(up_to.get())).contains(units);
        let choices = choices(one, up_to)?.into_iter().filter(fits);
        return Ok(choices.map(|(units, part)| (units, vec![part])).collect());
    }
    let table = any_sellers(own, up_to, answers)?;
    Ok(table
        .amounts()
        .map(|units| (units, table.best(units)))
        .collect())
}

fn combine(one: &Partial, offers: &[Candidate]) -> Option<Combination> {
    let part = |(rank, units)| {
        let offer = offers.get(usize::try_from(rank).ok()?)?;
        let price = match offer.sale {
            Sale::Whole => Some(offer.price),
            Sale::Split => offer.price.checked_times_units(units),
        };
        Some(Part {
            product: offer.product,
            units,
            price: price?,
        })
    };
    let mut parts: Vec<Part> = one.parts().map(part).collect::<Option<_>>()?;
    parts.sort_by_key(|part| part.product);
    Some(Combination {
        units: Units::checked_sum(parts.iter().map(|part| part.units))?,
        price: Won::checked_sum(parts.iter().map(|part| part.price))?,
        parts,
    })
}

/// The amounts next to the request that have a combination, up to the buyer's limit.
fn nearest(offers: &[Ranked<'_>], request: &Request) -> Result<Nearest, PriceOverflow> {
    let table = table(offers, request, request.limit, 1)?;
    let wanted = usize::from(request.units.get());
    let feasible = |units: &usize| !table.best(*units).is_empty();
    let amount = |units: usize| u16::try_from(units).ok().map(Units::new);
    let (below, mut above) = (1..wanted, wanted + 1..table.amounts().end);
    Ok(Nearest {
        below: below.rev().find(feasible).and_then(amount),
        above: above.find(feasible).and_then(amount),
    })
}
