//! Stand-ins for services that the two servers call: HTTP servers with state of their own.
//!
//! `dapanda` and tests serve them, and the servers' real clients talk to them over HTTP, so that the code
//! of production runs unchanged. They are a crate of their own because a production server must not
//! contain a login without a password.
//!
//! What this crate does not do: depend on a server, or listen; the program that serves a router does.

mod chance;
mod faults;
pub mod fcm;
mod journal;
mod jwt;
pub mod login;
mod lost;
pub mod payout;
pub mod toss;
pub mod web_push;
