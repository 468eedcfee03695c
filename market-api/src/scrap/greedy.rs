//! The first site's choice (`domain.md` 10.2), for comparison only: it may find nothing where there is
//! something, or something dearer than necessary.

use shared::money::{Units, Won};

use super::offers::{Candidate, Combination, Part};
use crate::products::Sale;

/// How many of the cheapest offers the first site read.
const READ_MAX: usize = 100;

/// How many combinations it found at most before it took the cheapest.
const FOUND_MAX: usize = 5;

/// What the first site would have chosen: from each of the 100 offers with the lowest unit price it took
/// consecutive offers, until the amount was met or exceeded; of the first five that met it the cheapest.
#[must_use]
pub fn greedy(offers: &[Candidate], units: Units) -> Option<Combination> {
    let mut cheapest: Vec<_> = offers
        .iter()
        .filter(|offer| offer.units > Units::ZERO)
        .filter_map(|offer| Some((offer.unit_price()?, offer)))
        .collect();
    cheapest.sort_by_key(|(unit_price, offer)| {
        let is_split = offer.sale == Sale::Split;
        let most_left = std::cmp::Reverse(offer.units);
        (*unit_price, most_left, is_split, offer.product)
    });
    cheapest.dedup_by_key(|(_, offer)| offer.product);
    cheapest.truncate(READ_MAX);
    let starts = (0..cheapest.len()).filter_map(|start| walk(&cheapest[start..], units));
    starts.take(FOUND_MAX).min_by_key(|found| found.price)
}

/// Takes offers one after the other until they have the amount; `None` if they never have exactly that.
fn walk(offers: &[(Won, &Candidate)], units: Units) -> Option<Combination> {
    let (mut missing, mut price) = (units, Won::ZERO);
    let mut parts = Vec::new();
    for (_, offer) in offers {
        let (taken, paid) = match offer.sale {
            Sale::Whole => (offer.units, offer.price),
            Sale::Split => {
                let taken = offer.units.min(missing);
                (taken, offer.price.checked_times_units(taken)?)
            }
        };
        missing = missing.checked_sub(taken)?;
        price = price.checked_add(paid)?;
        parts.push(Part {
            product: offer.product,
            units: taken,
            price: paid,
        });
        if missing == Units::ZERO {
            parts.sort_by_key(|part| part.product);
            return Some(Combination {
                parts,
                units,
                price,
            });
        }
    }
    None
}
