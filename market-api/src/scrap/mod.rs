//! Scrap: the cheapest combinations of several sellers' offers for an amount of mobile data.
//!
//! ```text
//! candidates ─► prune ─► solve ─► up to five combinations, in a total order
//!            └► greedy ─► what the first site would have chosen
//! ```
//!
//! What this module does not do: buy. A purchase (`trades`) takes exactly the offers of a quote.

mod best;
mod greedy;
mod offers;
mod prune;
mod solve;

pub use greedy::greedy;
pub use offers::{
    ANSWERS_MAX, Candidate, Combination, Nearest, Part, PriceOverflow, Request, Solution, UNITS_MAX,
};
pub use solve::solve;
