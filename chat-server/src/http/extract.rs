//! Extractors of the authenticated caller; their errors have the envelope's form.

use axum::extract::FromRequestParts;
use http::header::ORIGIN;
use http::request::Parts;
use shared::web::{ApiError, Credentials, ErrorCode, is_own_page};

use super::HttpState;
use crate::auth::{Identity, Origin};
use crate::members::MemberError;
use crate::metrics::BlockedAt;

/// The authenticated member.
pub(super) struct Caller(pub(super) Identity);

impl FromRequestParts<HttpState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let credentials = Credentials::from_headers(&parts.headers);
        let candidates = state.auth.candidates(&credentials).await?;
        let by_cookie = |one: &Identity| one.origin == Origin::Cookie;
        let forgeable = candidates.iter().any(by_cookie) && !parts.method.is_safe();
        if forgeable && !is_own_page(&parts.headers, &state.allowed_origins) {
            return Err(ErrorCode::Forbidden.into());
        }
        let identity = state.members.pick(candidates).await;
        let identity = identity.inspect_err(|error| {
            if let MemberError::Blocked(_) = error {
                state.metrics.close_blocked.count(BlockedAt::Rest);
            }
        })?;
        Ok(Self(identity))
    }
}

/// An operator's request for a change. Operators have no token, so a form of a foreign page that is
/// sent from an operator's own browser must not count as one.
pub(super) struct Operator;

impl FromRequestParts<HttpState> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let is_from_page = parts.headers.contains_key(ORIGIN);
        if is_from_page && !is_own_page(&parts.headers, &state.allowed_origins) {
            return Err(ErrorCode::Forbidden.into());
        }
        Ok(Self)
    }
}

/// An authenticated service, whichever it is.
pub(super) struct Service;

impl FromRequestParts<HttpState> for Service {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let credentials = Credentials::from_headers(&parts.headers);
        state.auth.service(credentials.bearer.as_ref()).await?;
        Ok(Self)
    }
}
