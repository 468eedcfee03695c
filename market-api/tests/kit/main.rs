//! Building blocks of the domains: idempotency keys, the outbox, scheduled jobs, on both databases.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod idempotency;
mod outbox;
mod schedule;
