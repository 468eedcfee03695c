//! Building blocks of the domains: idempotency keys, the outbox and its relay, scheduled jobs, on both databases; clients of providers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod compare;
mod idempotency;
mod outbox;
mod payments;
mod payouts;
mod provider;
mod relay;
mod schedule;
mod toss;
