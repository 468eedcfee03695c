//! From HTTP to connections.

pub mod listener;
pub mod websocket;
