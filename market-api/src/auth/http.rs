//! `/api/auth/logout` and `/.well-known/jwks.json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::AppendHeaders;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use shared::claims::{Jwk, Jwks, SignError};
use shared::web::{ApiError, Credentials, Done, ErrorCode, done, is_own_page};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Auth, AuthError, IssueError};

/// `Cache-Control` of the public keys. Five minutes: a new key is published before it signs, and a verifier
/// that meets an unknown key id fetches them again.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");

#[derive(Clone, Debug)]
struct Api {
    auth: Auth,
    allowed_origins: Arc<[String]>,
}

/// The routes. `allowed_origins` are the pages that may log a browser out by cookie.
pub fn routes(auth: Auth, allowed_origins: Arc<[String]>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(log_out))
        .routes(routes!(keys))
        .with_state(Api {
            auth,
            allowed_origins,
        })
}

type LoggedOut = (AppendHeaders<Vec<(HeaderName, HeaderValue)>>, Json<Done>);

/// Logs out: ends the session and revokes its tokens at once.
///
/// Also for blocked members, and with an expired access token.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "login", security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "OK. The cookies are removed.", body = Done)),
)]
async fn log_out(State(api): State<Api>, headers: HeaderMap) -> Result<LoggedOut, ApiError> {
    let credentials = Credentials::from_headers(&headers);
    // CSRF check: otherwise another site's page could log members out.
    let by_cookie = credentials.bearer.is_none() && credentials.has_cookies();
    if by_cookie && !is_own_page(&headers, &api.allowed_origins) {
        return Err(ErrorCode::Forbidden.into());
    }
    let cookies = api.auth.end(&credentials).await?;
    let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE, cookie));
    Ok((AppendHeaders(cookies.collect()), done()))
}

/// The public keys that verify tokens (RFC 7517); the current signing key is the first.
#[derive(Debug, Serialize, ToSchema)]
struct PublicKeys {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Jwk>,
}

/// The public keys that verify tokens.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "login",
    responses((status = 200, description = "OK.", body = PublicKeys)),
)]
async fn keys(State(api): State<Api>) -> ([(HeaderName, HeaderValue); 1], Json<PublicKeys>) {
    let Jwks { keys } = api.auth.keys().published();
    ([(CACHE_CONTROL, KEYS_AGE)], Json(PublicKeys { keys }))
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::TokenMissing => ErrorCode::TokenMissing.into(),
            AuthError::TokenInvalid => ErrorCode::TokenInvalid.into(),
            AuthError::Blocked => ErrorCode::MemberBlocked.into(),
            AuthError::Sign(error) => not_signed(&error),
            AuthError::Db(error) => error.into(),
        }
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Sign(error) => not_signed(&error),
            IssueError::Db(error) => error.into(),
        }
    }
}

fn not_signed(error: &SignError) -> ApiError {
    tracing::error!("token not signed: {error}");
    ErrorCode::Internal.into()
}
