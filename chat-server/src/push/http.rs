//! HTTP towards push services: clients with time-outs, bounded answers, `Retry-After`.

use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};

use super::Delivery;

/// From the connection to the end of the answer. Services answer within a second.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Of these, for the connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Bound of an answer. 16 KiB: an error is an object of a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// A service that names a longer time is retried at this time: the message itself expires.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A client that neither follows redirects nor uses a proxy of the environment: requests go to the address
/// that was checked, or not at all.
pub(super) fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_MAX)
        .timeout(REQUEST_MAX)
}

/// An answer of a service.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// The service was not reached, or its answer is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("not reached")]
    Http(#[source] reqwest::Error),
    #[error("its answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        // Without its URL: an endpoint is a secret of the member's.
        Self::Http(error.without_url())
    }
}

impl Answer {
    pub(super) async fn read(mut response: Response) -> Result<Self, NoAnswer> {
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status,
            retry_after,
            body,
        })
    }

    /// The outcome of an answer that every service gives in the same way; `None` for the others.
    pub(super) fn common_outcome(&self) -> Option<Delivery> {
        let retries = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if self.status.is_success() {
            Some(Delivery::Delivered)
        } else if self.status.is_server_error() || retries.contains(&self.status) {
            Some(Delivery::RetryAfter(self.retry_after))
        } else {
            None
        }
    }
}

/// In seconds. A date (the other form of RFC 9110 §10.2.3) is left to the caller's own backoff.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The error with its causes, for the log.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
