//! The types of the optimizer: what it takes, and what it returns.

use std::num::NonZeroU16;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};

use crate::products::Sale;

/// Largest amount of a request: what a member may buy in a month (`domain.md` 6.2).
pub const UNITS_MAX: u16 = 20;

/// Largest number of combinations in an answer.
pub const ANSWERS_MAX: usize = 5;

/// An offer that a combination may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The product.
    pub product: ProductId,
    /// Its seller.
    pub seller: MemberId,
    /// What is left of it.
    pub units: Units,
    /// [`Sale::Whole`]: won for all units. [`Sale::Split`]: won for one unit.
    pub price: Won,
    /// Whether it is sold whole or in parts.
    pub sale: Sale,
    /// Its expiry.
    pub expires_at: UnixMillis,
}

impl Candidate {
    /// The price of 0.1 GB, for a whole offer rounded up.
    #[must_use]
    pub fn unit_price(&self) -> Option<Won> {
        match self.sale {
            Sale::Whole => self.price.checked_div_ceil(u32::from(self.units.get())),
            Sale::Split => Some(self.price),
        }
    }

    /// The price of all that is left.
    #[must_use]
    pub fn price_of_all(&self) -> Option<Won> {
        match self.sale {
            Sale::Whole => Some(self.price),
            Sale::Split => self.price.checked_times_units(self.units),
        }
    }
}

/// The amount that a buyer wants, and the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The amount.
    pub(super) units: Units,
    /// The largest acceptable amount; equal to `units` unless more may be bought.
    pub(super) up_to: Units,
    /// The largest amount that the buyer may buy.
    pub(super) limit: Units,
    /// The largest number of sellers.
    pub(super) sellers_max: Option<NonZeroU16>,
    /// The largest number of combinations.
    pub(super) answers: usize,
}

impl Request {
    /// A request for exactly this amount, of a buyer who may buy up to `limit`. `None` unless
    /// 1 ≤ `units` ≤ `limit` ≤ [`UNITS_MAX`].
    #[must_use]
    pub fn exactly(units: Units, limit: Units) -> Option<Self> {
        let fits = Units::ZERO < units && units <= limit && limit <= Units::new(UNITS_MAX);
        fits.then_some(Self {
            units,
            up_to: units,
            limit,
            sellers_max: None,
            answers: ANSWERS_MAX,
        })
    }

    /// The same, but up to `slack` more is acceptable, within the limit.
    #[must_use]
    pub fn or_up_to(mut self, slack: Units) -> Self {
        let up_to = self.units.checked_add(slack);
        self.up_to = up_to.map_or(self.limit, |up_to| up_to.min(self.limit));
        self
    }

    /// The same, from at most so many sellers.
    #[must_use]
    pub fn from_sellers(mut self, sellers_max: NonZeroU16) -> Self {
        self.sellers_max = Some(sellers_max);
        self
    }

    /// The same, with at most so many combinations in the answer, from 1 to [`ANSWERS_MAX`].
    #[must_use]
    pub fn with_answers(mut self, answers: usize) -> Self {
        self.answers = answers.clamp(1, ANSWERS_MAX);
        self
    }
}

/// A part of a combination: units of one offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The product.
    pub product: ProductId,
    /// The amount taken: all that is left of a whole offer.
    pub units: Units,
    /// The price of this amount.
    pub price: Won,
}

/// Offers that together have an acceptable amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination {
    /// The parts by product id, each product once.
    pub parts: Vec<Part>,
    /// The sum of their amounts.
    pub units: Units,
    /// The sum of their prices.
    pub price: Won,
}

/// The amounts next to an amount for which there is no combination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nearest {
    /// The next smaller one.
    pub below: Option<Units>,
    /// The next larger one within the buyer's limit.
    pub above: Option<Units>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The best combinations, best first, no two with the same amounts of the same products.
    pub combinations: Vec<Combination>,
    /// Without a combination: the amounts next to the request that have one.
    pub nearest: Nearest,
}

/// A sum of prices exceeds the range of [`Won`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sum of prices is out of range")]
pub struct PriceOverflow;
