//! The Redis bus when Redis fails, and each thing that the client library does not do by itself.
//!
//! Every test has servers of its own, which it freezes, kills and moves things between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/certificates.rs"]
mod certificates;
mod client;
mod cluster;
mod encrypted;
mod line;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../contract/make.rs"]
mod make;
mod node;
mod outage;
mod ready;
mod sentinel;
mod server;
#[path = "../support/mod.rs"]
mod support;
