//! Purchases and the books, on both databases. Every scenario ends with a verification of the ledger.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the seed and the number of sequences are in the environment"
)]

#[path = "../products/fixtures.rs"]
#[expect(dead_code, reason = "the other program uses the rest")]
mod fixtures;
#[path = "../support/mod.rs"]
mod support;

mod bookings;
mod credits;
mod defects;
mod findings;
mod history;
mod ledger;
mod model;
mod purchases;
mod races;
mod reviews;
mod scrap;
mod sequences;
mod shop;
