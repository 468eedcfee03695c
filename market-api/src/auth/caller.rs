//! Extractors that authenticate the caller, for handlers of any state. They read the application's
//! services from the request's extensions.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use shared::claims::Role;
use shared::ids::MemberId;
use shared::web::{ApiError, Credentials, ErrorCode, is_own_page};

use super::{AccessCookie, Auth, Identity, Origin};
use crate::http::{Limits, ResponseContext};

/// The authenticated caller: not blocked and within the rate limit. A request that changes data and is
/// authenticated by cookie must come from one of our pages (CSRF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The caller's member id.
    pub member: MemberId,
    /// The role now, read from the database at this request.
    pub role: Role,
}

/// A caller with the administrator's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin(pub Caller);

/// As [`Caller`], for `GET /api/members/info` only: also accepts a refresh token in the access cookie,
/// because the first front end's server sends it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoCaller(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        caller(parts, AccessCookie::Strict).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = caller(parts, AccessCookie::Strict).await?;
        match caller.role {
            Role::Admin => Ok(Self(caller)),
            Role::NewMember | Role::Member => Err(ErrorCode::Forbidden.into()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InfoCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        caller(parts, AccessCookie::AlsoRefresh).await.map(Self)
    }
}

async fn caller(parts: &Parts, access_cookie: AccessCookie) -> Result<Caller, ApiError> {
    let auth: &Auth = part(parts)?;
    let credentials = Credentials::from_headers(&parts.headers);
    let (identity, cookies) = auth.identify(&credentials, access_cookie).await?;
    let response_context: &ResponseContext = part(parts)?;
    for cookie in cookies {
        response_context.set_cookie(cookie);
    }
    response_context.prefer(identity.language);
    refuse_other_pages(parts, &identity)?;
    if !part::<Arc<Limits>>(parts)?.allow_member(identity.member) {
        auth.metrics
            .rate_limited
            .with_label_values(&["member"])
            .inc();
        return Err(ErrorCode::TooManyRequests.into());
    }
    Ok(Caller {
        member: identity.member,
        role: identity.role,
    })
}

/// CSRF check: a browser adds cookies to a form sent from any page.
fn refuse_other_pages(parts: &Parts, identity: &Identity) -> Result<(), ApiError> {
    let allowed: &Arc<[String]> = part(parts)?;
    let is_forgeable = identity.origin == Origin::Cookie && !parts.method.is_safe();
    if is_forgeable && !is_own_page(&parts.headers, allowed) {
        return Err(ErrorCode::Forbidden.into());
    }
    Ok(())
}

fn part<T: Send + Sync + 'static>(parts: &Parts) -> Result<&T, ApiError> {
    parts.extensions.get::<T>().ok_or_else(|| {
        let name = std::any::type_name::<T>();
        tracing::error!("route without its HTTP stack: extension {name} is missing");
        ErrorCode::Internal.into()
    })
}
