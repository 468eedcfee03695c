//! Adapter of the gateway seam for Toss Payments, over its public HTTP API (`domain.md` 9.2).
//!
//! ```text
//! client: request, deadline ─► codes: class of an error │ shape: payment of a body
//! ```

mod client;
mod codes;
mod shape;

pub use client::{NoTossClient, TossGateway, TossSettings, TossTimes};
