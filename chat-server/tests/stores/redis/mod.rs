//! The Redis bus when Redis fails, and each thing that the client library does not do by itself.
//!
//! Every test has servers of its own, which it freezes, kills and moves things between.

mod client;
mod cluster;
mod encrypted;
mod line;
pub(crate) mod node;
mod outage;
mod presence;
mod ready;
mod sentinel;
pub(crate) mod server;
mod sessions;
mod turns;
