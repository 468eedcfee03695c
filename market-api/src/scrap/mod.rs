//! Scrap: the cheapest combinations of several sellers' offers for an amount of mobile data.
//!
//! ```text
//! database ─► candidates ─► prune ─► solve ─► up to five combinations, in a total order ─► quote
//!                        └► greedy ─► what the first site would have chosen
//! ```
//!
//! Quotes are computed for each request and member, never cached or stored. Owns no table.
//!
//! What this module does not do: buy. A purchase (`trades`) takes exactly the offers of a quote.

mod best;
mod greedy;
mod http;
mod offers;
mod prune;
mod quote;
mod repo;
mod solve;

pub use greedy::greedy;
pub use http::{ScrapQuote, routes};
pub use offers::{
    ANSWERS_MAX, Candidate, Combination, Nearest, Part, PriceOverflow, Request, Solution, UNITS_MAX,
};
pub use quote::{Conditions, Quote, QuoteError, QuotedCombination, QuotedPart, Scrap, Surplus};
pub use solve::solve;
