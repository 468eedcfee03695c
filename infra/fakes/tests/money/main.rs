//! The stand-ins of the ways of money in and out, over HTTP: the payment gateway and the payout provider.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its helpers"
)]

mod cancels;
mod charges;
mod faults;
mod files;
mod keys;
mod pages;
mod payouts;
mod sums;
mod support;
mod transactions;
mod webhooks;
