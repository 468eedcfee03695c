//! The wire as its clients see it: a running server, real sockets, every byte.
//!
//! `rows_…` are the probes of other servers' behaviour, with what ours should do; the others follow
//! the contract from the upgrade to the end of a connection.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something fails"
)]

mod acks;
mod events;
mod framing;
mod holes;
mod inbox;
mod leaving;
mod living;
mod once;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../rest/outage.rs"]
mod outage;
mod restored;
mod rows_connect;
mod rows_frames;
mod sending;
mod start;
mod stopping;
mod subscribing;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod transactions;
mod upgrading;
