//! Charges and refunds against a payment gateway and a payout provider with books of their own, over HTTP, on both
//! databases. Every scenario ends with a verification of the ledger, and with both sides' sums.

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
#[expect(dead_code, reason = "another program uses the rest")]
mod fixtures;
#[path = "../trades/shop.rs"]
#[expect(dead_code, reason = "another program uses the rest")]
mod shop;
#[path = "../support/mod.rs"]
mod support;

mod acceptance;
mod charges;
mod faults;
mod ledger;
mod legs;
mod operate;
mod reversals;
mod till;
