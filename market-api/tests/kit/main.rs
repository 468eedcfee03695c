//! Building blocks of the domains: idempotency keys, the outbox and its relay, scheduled jobs, on both databases.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod idempotency;
mod outbox;
mod payments;
mod relay;
mod schedule;
