//! Request ids: the header, generated ids, and the check of ids that clients send.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Header of the request id, in both directions; the id is also in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is accepted from a client: a UUID has 36 characters, a trace id 32.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Ids for requests that come without one.
#[derive(Debug)]
pub struct RequestIds {
    node: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// Ids that begin with this random number, which distinguishes nodes and restarts.
    #[must_use]
    pub fn new(node: u64) -> Self {
        Self {
            node,
            count: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:016x}-{count:x}", self.node);
        HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// The client's request id, if it is safe in logs.
pub(super) fn named(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let bytes = id.as_bytes();
    let harmless = (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(plain);
    harmless.then(|| id.clone())
}
