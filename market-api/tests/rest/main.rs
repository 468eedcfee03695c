//! The market over HTTP, on both databases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod buyers;
mod chats;
mod closing;
mod contract;
mod crowd;
#[cfg(target_os = "linux")]
mod disk;
mod forms;
mod guard;
mod images;
mod killed;
mod login;
mod logs;
mod matrix;
mod members;
mod payments;
mod products;
mod program;
mod raw;
mod receipts;
mod reports;
mod reviews;
mod scrap;
mod secrets;
mod session;
mod site;
mod stopping;
mod tokens;
mod trace;
mod trades;
