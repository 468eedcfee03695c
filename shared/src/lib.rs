//! Types and conventions that both servers share.
//!
//! It holds what would otherwise exist twice and could differ: the identifiers, amounts and times
//! of the wire, the claims of tokens and their verification, the six things every process has (a
//! clock, settings, logs, traces, its share of open files, an orderly stop), domain events, the address of a
//! Redis, the exact shapes of [`json`] from outside, and the HTTP conventions of the site ([`web`]).
//!
//! What belongs here: a type or rule that both servers need in the same form. The crate has no
//! rules of rooms, offers or purchases, only their ids; it has no SQL and no STOMP; only [`web`]
//! knows HTTP and opens a socket, only [`files`] writes files. Code that one server alone needs
//! stays in that server, even if it looks general.

pub mod claims;
pub mod clock;
pub mod config;
pub mod drain;
pub mod event;
pub mod files;
pub mod ids;
pub mod json;
pub mod limits;
pub mod money;
pub mod redis;
pub mod telemetry;
pub mod text;
pub mod trace;
pub mod web;
