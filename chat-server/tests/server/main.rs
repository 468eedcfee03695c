//! A running server as its clients see it: the wire, REST, several nodes, the program itself.
//!
//! One program for all of them, because each one that holds the whole server takes long to link. Tests that measure
//! their process have programs of their own beside this folder.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something fails"
)]

mod chat;
mod crash;
mod foreign;
mod model;
mod nodes;
#[path = "../support/program.rs"]
mod program;
mod push;
mod rest;
#[path = "../support/mod.rs"]
mod support;
mod wire;
