//! Offers and their lists, on both databases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the services' addresses are in the environment"
)]

#[path = "../support/mod.rs"]
mod support;

mod cursors;
mod defects;
mod distance;
mod fixtures;
mod kept;
mod optimizer;
mod oracle;
mod rest;
mod rules;
mod scrap;
mod walks;
