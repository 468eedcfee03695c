//! An answer that never arrives: the connection closes instead.
//!
//! It is a body whose first piece is an error: the server drops the connection before it has sent the head.
//! Thus it works in every program that serves the router, without a hand on its sockets.

use std::io;

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;

/// Closes the connection without an answer.
pub(crate) fn lost() -> Response {
    let error = io::Error::other("the connection is closed on purpose");
    let pieces = stream::iter([Err::<&'static str, _>(error)]);
    Response::new(Body::from_stream(pieces))
}
