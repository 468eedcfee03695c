//! What stands between nodes and keeps their logs: the contracts of store and bus for every adapter, what is peculiar
//! to each, and the appender on the real store.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, also in its helpers"
)]

mod append;
mod bus_contract;
#[path = "../support/certificates.rs"]
mod certificates;
mod contract;
mod presence_contract;
#[path = "../support/program.rs"]
#[expect(dead_code, reason = "tests/server uses the rest of it")]
mod program;
mod redis;
mod scylla;
mod store_contract;
#[path = "../support/mod.rs"]
mod support;
