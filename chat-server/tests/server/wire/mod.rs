//! The wire as its clients see it: a running server, real sockets, every byte.
//!
//! `rows_…` are the probes of other servers' behaviour, with what ours should do; the others follow
//! the contract from the upgrade to the end of a connection.

mod access;
mod acks;
mod events;
mod framing;
mod holes;
mod inbox;
mod leaving;
mod living;
mod once;
mod restored;
mod rows_connect;
mod rows_frames;
mod sending;
mod separated;
mod start;
mod stopping;
mod subscribing;
mod tokens;
mod transactions;
mod upgrading;
