//! What is asked for: extractors whose refusals come in the envelope, whatever the state.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::envelope::Refusal;
use crate::json::from_object;

/// Whether a request comes from a page of an allowed origin, or of the server's own.
///
/// A browser sends cookies along with a form of any page, so a change by cookie must come from a
/// page of ours. Browsers send `Origin` with every such request.
#[must_use]
pub fn is_own_page(headers: &HeaderMap, allowed: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(ORIGIN) else {
        return false;
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_own = authority.is_some_and(|authority| Some(authority) == text(HOST));
    is_own || allowed.iter().any(|allowed| allowed == origin)
}

/// The one parameter of the path.
#[derive(Clone, Copy, Debug)]
pub struct InPath<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_rejection| Refusal::Parameter)?;
        text.parse()
            .map(Self)
            .map_err(|_not_one| Refusal::Parameter)
    }
}

/// The parameters of the query. Unknown ones are ignored, one that is there twice is wrong.
#[derive(Clone, Copy, Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(parameters) = query.map_err(|_rejection| Refusal::Parameter)?;
        Ok(Self(parameters))
    }
}

/// The body as one JSON object in exactly the shapes of `T` ([`from_object`]), whatever it calls
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct InBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
            _ => Refusal::Parameter,
        })?;
        from_object(&body).map(Self).map_err(|error| {
            // Its place and kind; its text may quote the body.
            tracing::debug!(line = error.line(), kind = ?error.classify(), "a body was refused");
            Refusal::Parameter
        })
    }
}

/// A parameter of the query, if it is there and not empty.
///
/// # Errors
/// [`Refusal::Parameter`]: it is something else.
pub fn parameter<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Refusal> {
    let text = text.filter(|text| !text.is_empty());
    text.map(str::parse)
        .transpose()
        .map_err(|_not_one| Refusal::Parameter)
}
