//! Who asks, and for what: extractors whose refusals come in the envelope.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::HttpState;
use super::envelope::Failure;
use crate::auth::{Credentials, Identity, Origin};
use crate::members::MemberError;
use crate::metrics::ShutOut;

/// The member who asks.
pub(super) struct Caller(pub(super) Identity);

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Failure> {
        let credentials = Credentials::from_headers(&parts.headers);
        let identity = state.auth.member(&credentials).await?;
        let forgeable = identity.origin == Origin::Cookie && !parts.method.is_safe();
        if forgeable && !is_own_page(&parts.headers, &state.allowed_origins) {
            return Err(Failure::Forbidden);
        }
        let standing = state.members.check(identity.member).await;
        standing.inspect_err(|error| {
            if let MemberError::Blocked(_) = error {
                state.metrics.shut_out.count(ShutOut::Rest);
            }
        })?;
        Ok(Self(identity))
    }
}

/// A browser sends cookies along with a form of any page, so a change by cookie must come from a
/// page of ours. Browsers send `Origin` with every such request.
fn is_own_page(headers: &HeaderMap, allowed: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(ORIGIN) else {
        return false;
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_own = authority.is_some_and(|authority| Some(authority) == text(HOST));
    is_own || allowed.iter().any(|allowed| allowed == origin)
}

/// An operator who wants something changed. Operators show no token, so a form of a page anywhere
/// on the net that is sent from an operator's own browser must not count as one.
pub(super) struct Operator;

impl FromRequestParts<HttpState> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Failure> {
        let is_from_page = parts.headers.contains_key(ORIGIN);
        if is_from_page && !is_own_page(&parts.headers, &state.allowed_origins) {
            return Err(Failure::Forbidden);
        }
        Ok(Self)
    }
}

/// A service that asks. Which one makes no difference.
pub(super) struct Service;

impl FromRequestParts<HttpState> for Service {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Failure> {
        let credentials = Credentials::from_headers(&parts.headers);
        state.auth.service(credentials.bearer.as_ref()).await?;
        Ok(Self)
    }
}

/// The one parameter of the path.
pub(super) struct InPath<T>(pub(super) T);

impl<T: FromStr> FromRequestParts<HttpState> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Failure> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_rejection| Failure::Parameter)?;
        text.parse()
            .map(Self)
            .map_err(|_not_one| Failure::Parameter)
    }
}

/// The parameters of the query. Unknown ones are ignored, one that is there twice is wrong.
pub(super) struct InQuery<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<HttpState> for InQuery<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(parameters) = query.map_err(|_rejection| Failure::Parameter)?;
        Ok(Self(parameters))
    }
}

/// The body as JSON, whatever it calls itself.
pub(super) struct InBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for InBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Failure> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
            _ => Failure::Parameter,
        })?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            tracing::warn!("a body was refused: {error}");
            Failure::Parameter
        })
    }
}

/// A parameter of the query, if it is there and not empty.
pub(super) fn parameter<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Failure> {
    let text = text.filter(|text| !text.is_empty());
    text.map(str::parse)
        .transpose()
        .map_err(|_not_one| Failure::Parameter)
}
