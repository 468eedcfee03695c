//! Which offers the best combinations can use: a few hundred at most, however many there are.
//!
//! `U` is the largest acceptable amount, `K` the number of answers. An offer is left out if each combination
//! with it has `K` better ones: exchange it for one of the better offers that the combination does not use.
//!
//! * A whole offer of `w` units is exchanged for a better one (price, expiry, id) of the same size. A
//!   combination has at most `U/w - 1` others of that size, so the first `U/w + K - 1` stay.
//! * Of a split offer a combination takes `x` units. They are exchanged for `x` units of an unused, better one
//!   (unit price, expiry, id) with as many left. At most `U - x` other offers are in use, so it stays if it is
//!   among the first `U - x + K` of those, for any `x`.
//! * One unit of a split offer is exchanged for one of a strictly cheaper offer that is not used up. At most
//!   `U - 1` are, so an offer goes with `U + K - 1` strictly cheaper ones.

use shared::money::Won;

use super::offers::Candidate;
use crate::products::Sale;

/// An offer and its place in the order of expiry and product id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked<'a> {
    pub(super) rank: u32,
    pub(super) offer: &'a Candidate,
}

impl Ranked<'_> {
    fn key(&self) -> (Won, u32) {
        (self.offer.price, self.rank)
    }

    fn units(&self) -> usize {
        usize::from(self.offer.units.get())
    }
}

/// The largest acceptable amount and the number of answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) up_to: usize,
    pub(super) answers: usize,
}

impl Bounds {
    /// How many whole offers of a size stay.
    pub(super) const fn whole_of_size(self, size: usize) -> usize {
        self.up_to / size + self.answers - 1
    }

    /// How many split offers stay of those that have so many units left.
    const fn split_with(self, units: usize) -> usize {
        self.up_to - units + self.answers
    }

    /// How many strictly cheaper offers exclude a split offer.
    pub(super) const fn cheaper_split(self) -> usize {
        self.up_to + self.answers - 1
    }
}

/// The offers that the best combinations can use, in no order.
pub(super) fn prune<'a>(offers: &[Ranked<'a>], bounds: Bounds) -> Vec<Ranked<'a>> {
    let of = |sale: Sale| {
        let mut of_sale: Vec<_> = offers.iter().filter(|one| one.offer.sale == sale).collect();
        of_sale.sort_unstable_by_key(|one| one.key());
        of_sale
    };
    let mut sizes = vec![0; bounds.up_to + 1];
    let mut kept = Vec::new();
    for whole in of(Sale::Whole) {
        let size = whole.units();
        if (1..=bounds.up_to).contains(&size) && sizes[size] < bounds.whole_of_size(size) {
            sizes[size] += 1;
            kept.push(*whole);
        }
    }
    let split = of(Sale::Split);
    let dearest = split.iter().filter(|one| one.units() > 0);
    let dearest = dearest
        .map(|one| one.offer.price)
        .nth(bounds.cheaper_split() - 1);
    // How many came before with at least so many units.
    let mut before = vec![0; bounds.up_to + 1];
    for one in split {
        if dearest.is_some_and(|dearest| dearest < one.offer.price) {
            break;
        }
        let most = one.units().min(bounds.up_to);
        let stays = (1..=most).any(|units| before[units] < bounds.split_with(units));
        before[..=most].iter_mut().for_each(|count| *count += 1);
        if stays {
            kept.push(*one);
        }
    }
    kept
}
