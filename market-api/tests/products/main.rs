//! Offers and their lists, on both databases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod cursors;
mod defects;
mod distance;
mod fixtures;
mod kept;
mod rest;
mod rules;
mod walks;
