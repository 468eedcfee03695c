//! Words that both servers use.
//!
//! Here lives what would otherwise be written twice and could then differ: the identifiers, amounts
//! and times of the wire, the claims of a token and their checking, the five things every process
//! has (a clock, settings, logs, its share of open files, an orderly stop), the address of a Redis,
//! the exact shapes of [`json`] from outside, and the HTTP conventions of the site ([`web`]).
//!
//! What may live here: a type or rule that both servers need in the same form. It knows nothing of
//! rooms, offers or purchases beyond their names; it has no SQL and no STOMP; only [`web`] knows
//! HTTP and opens a socket, only [`files`] writes files. What one server alone needs lives there, even if
//! it looks general.

pub mod claims;
pub mod clock;
pub mod config;
pub mod drain;
pub mod files;
pub mod ids;
pub mod json;
pub mod limits;
pub mod money;
pub mod redis;
pub mod telemetry;
pub mod text;
pub mod web;
