//! The stand-in of the payment gateway, over HTTP.

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
mod support;
mod transactions;
mod webhooks;
