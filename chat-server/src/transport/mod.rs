//! From HTTP to connections.

pub mod websocket;
