//! Scripted faults of a stand-in: what its next answers to a target are.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;

/// An answer other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests; retry after these seconds.
    Throttled(Option<u32>),
    /// Unavailable; retry after these seconds.
    Unavailable(Option<u32>),
    /// The message is refused.
    Refused,
    /// The access token, or the signature, is refused.
    Unauthenticated,
    /// A late success.
    Slow(Duration),
    /// No answer at all.
    Hang,
}

/// The script: faults by target, and one for all.
#[derive(Debug, Default)]
pub(crate) struct Script {
    next: HashMap<String, VecDeque<Fault>>,
    all: Option<Fault>,
}

impl Script {
    pub(crate) fn add(&mut self, target: &str, faults: &[Fault]) {
        let next = self.next.entry(target.to_owned()).or_default();
        next.extend(faults);
    }

    pub(crate) fn set_all(&mut self, fault: Option<Fault>) {
        self.all = fault;
    }

    pub(crate) fn take(&mut self, target: &str) -> Option<Fault> {
        let next = self.next.get_mut(target).and_then(VecDeque::pop_front);
        next.or(self.all)
    }
}

/// The answer of a fault that does not succeed in the end. `body` is the JSON of a status.
pub(crate) async fn play(
    fault: Fault,
    body: impl Fn(StatusCode) -> serde_json::Value,
) -> Option<Response> {
    let answer = |status: StatusCode, after: Option<u32>| {
        let mut response = (status, Json(body(status))).into_response();
        if let Some(seconds) = after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Some(response)
    };
    match fault {
        Fault::Throttled(after) => answer(StatusCode::TOO_MANY_REQUESTS, after),
        Fault::Unavailable(after) => answer(StatusCode::SERVICE_UNAVAILABLE, after),
        Fault::Refused => answer(StatusCode::FORBIDDEN, None),
        Fault::Unauthenticated => answer(StatusCode::UNAUTHORIZED, None),
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            None
        }
        Fault::Hang => std::future::pending().await,
    }
}
