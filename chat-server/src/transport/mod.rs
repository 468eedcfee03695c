//! Transport: from an HTTP request to a connection.

pub mod websocket;
