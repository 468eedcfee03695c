//! Extractors of who asks, for handlers of any state.
//!
//! They find what they need among the request's extensions, where the application puts it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use shared::claims::Role;
use shared::ids::MemberId;
use shared::web::{CommonError, Credentials, is_own_page};

use super::{AccessCookie, Auth, Identity, Origin};
use crate::http::{ApiError, Limits, ResponseContext};

/// The member who asks: logged in, not blocked, not too often; with cookies only from our pages if
/// something is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub member: MemberId,
    /// What they may do, now.
    pub role: Role,
}

/// An operator who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin(pub Caller);

/// As [`Caller`], for `GET /api/members/info` only: the first front end's server asks with the
/// refresh token in the access cookie.
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
            Role::NewMember | Role::Member => Err(CommonError::Forbidden.into()),
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
        return Err(CommonError::TooMany.into());
    }
    Ok(Caller {
        member: identity.member,
        role: identity.role,
    })
}

/// A browser sends cookies with a form of any page.
fn refuse_other_pages(parts: &Parts, identity: &Identity) -> Result<(), ApiError> {
    let allowed: &Arc<[String]> = part(parts)?;
    let is_forgeable = identity.origin == Origin::Cookie && !parts.method.is_safe();
    if is_forgeable && !is_own_page(&parts.headers, allowed) {
        return Err(CommonError::Forbidden.into());
    }
    Ok(())
}

fn part<T: Send + Sync + 'static>(parts: &Parts) -> Result<&T, ApiError> {
    parts.extensions.get::<T>().ok_or_else(|| {
        let name = std::any::type_name::<T>();
        tracing::error!("a route is served without its http_stack: {name} is missing");
        CommonError::Internal.into()
    })
}
