//! The table of the dynamic program: for each amount the best partial combinations.
//!
//! A combination is better than another by price, then by fewer offers, then by its offers in the order of
//! expiry and product id, then by their amounts in that order. Adding the same part to two combinations keeps
//! their order. So the best few of an amount consist of best few of smaller amounts, and a cell needs no more
//! of them than the answer.

use std::ops::Range;

use shared::money::{Units, Won};

use super::offers::{PriceOverflow, UNITS_MAX};

/// Parts of a combination: each has a unit at least.
const PARTS_MAX: usize = UNITS_MAX as usize;

/// A combination under construction. The derived order is that of the module's head among combinations of
/// the same amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partial {
    pub(super) price: Won,
    offers: usize,
    /// The places of the offers in the order of expiry and product id, ascending; the rest is zero.
    ranks: [u32; PARTS_MAX],
    /// The units taken of each.
    units: [u16; PARTS_MAX],
}

impl Partial {
    const EMPTY: Self = Self {
        price: Won::ZERO,
        offers: 0,
        ranks: [0; PARTS_MAX],
        units: [0; PARTS_MAX],
    };

    /// Units of the offer with this rank, at this price.
    pub(super) fn of(rank: u32, units: Units, price: Won) -> Self {
        let mut partial = Self::EMPTY;
        (partial.price, partial.offers) = (price, 1);
        (partial.ranks[0], partial.units[0]) = (rank, units.get());
        partial
    }

    pub(super) fn offers(&self) -> usize {
        self.offers
    }

    /// Rank and units of each part.
    pub(super) fn parts(&self) -> impl Iterator<Item = (u32, Units)> {
        let units = self.units.iter().map(|units| Units::new(*units));
        self.ranks.iter().copied().zip(units).take(self.offers)
    }

    /// Both together, at this price. They share no offer, and have [`PARTS_MAX`] parts at most.
    fn with(&self, other: &Self, price: Won) -> Self {
        let mut both = Self::EMPTY;
        (both.price, both.offers) = (price, self.offers + other.offers);
        let (mut own, mut others) = (0, 0);
        for place in 0..both.offers {
            let is_own = others == other.offers
                || (own < self.offers && self.ranks[own] < other.ranks[others]);
            let (from, index) = match is_own {
                true => (self, &mut own),
                false => (other, &mut others),
            };
            both.ranks[place] = from.ranks[*index];
            both.units[place] = from.units[*index];
            *index += 1;
        }
        both
    }
}

/// One way to take a part: its amount, and the part.
pub(super) type Choice = (usize, Partial);

/// The best combinations of each amount, or of each number of groups and amount.
#[derive(Debug)]
pub(super) struct Table {
    up_to: usize,
    /// The largest number of groups of a combination; `None` if it does not matter.
    groups_max: Option<usize>,
    answers: usize,
    /// For each number of groups (only one row if it does not matter), for each amount: the best, sorted.
    cells: Vec<Vec<Partial>>,
}

impl Table {
    pub(super) fn new(up_to: Units, groups_max: Option<usize>, answers: usize) -> Self {
        let up_to = usize::from(up_to.get());
        let rows = groups_max.map_or(1, |groups| groups + 1);
        let mut cells = vec![Vec::new(); rows * (up_to + 1)];
        cells[0].push(Partial::EMPTY);
        Self {
            up_to,
            groups_max,
            answers,
            cells,
        }
    }

    /// Adds a group of choices, of which a combination takes one or none.
    pub(super) fn add(&mut self, choices: &[Choice]) -> Result<(), PriceOverflow> {
        let width = self.up_to + 1;
        // From the largest to the smallest, so that no combination takes two choices of the group.
        let (rows, back) = match self.groups_max {
            None => (0..1, 0),
            Some(groups) => (1..groups + 1, width),
        };
        for row in rows.rev() {
            for amount in (1..width).rev() {
                let at = row * width + amount;
                let mut cell = std::mem::take(&mut self.cells[at]);
                for (units, choice) in choices.iter().filter(|(units, _)| *units <= amount) {
                    let rest = &self.cells[at - back - units];
                    improve(&mut cell, rest, choice, self.answers)?;
                }
                self.cells[at] = cell;
            }
        }
        Ok(())
    }

    /// The best combinations of an amount, best first.
    pub(super) fn best(&self, units: usize) -> Vec<Partial> {
        let rows = self.cells.iter().skip(units).step_by(self.up_to + 1);
        let mut best: Vec<Partial> = rows.flatten().copied().collect();
        best.sort_unstable();
        best.truncate(self.answers);
        best
    }

    /// The amounts of the table.
    pub(super) fn amounts(&self) -> Range<usize> {
        1..self.up_to + 1
    }
}

/// Adds to a cell what `rest` becomes by a choice, as far as it is among the best.
fn improve(
    cell: &mut Vec<Partial>,
    rest: &[Partial],
    choice: &Partial,
    answers: usize,
) -> Result<(), PriceOverflow> {
    for partial in rest {
        let price = partial.price.checked_add(choice.price);
        let price = price.ok_or(PriceOverflow)?;
        let worst = cell.last().filter(|_| cell.len() == answers);
        if worst.is_some_and(|worst| worst.price < price) {
            // The rest is sorted by price.
            return Ok(());
        }
        let new = partial.with(choice, price);
        if worst.is_some_and(|worst| *worst < new) {
            continue;
        }
        let place = cell.partition_point(|better| *better < new);
        cell.insert(place, new);
        cell.truncate(answers);
    }
    Ok(())
}
