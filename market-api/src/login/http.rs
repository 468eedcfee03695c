//! Routes `/oauth2/authorization/{provider}` and `/login/oauth2/code/{provider}`: redirects of a browser to and
//! from a provider.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use shared::claims::Role;
use shared::config::Secret;
use shared::web::{ApiError, ErrorBody, ErrorCode, InPath, InQuery, SetCookie, cookies};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    ATTEMPT_TIME, LoggedIn, LoginError, Logins, PARAMETER_BYTES_MAX, Returned, secret_text,
};

/// The cookie that binds an attempt to a browser: a random text, `HttpOnly`.
const BROWSER_COOKIE: &str = "loginAttempt";

/// The cookie's name over TLS: the prefix makes browsers accept it from this host only, so that no other
/// host of the domain can set it (RFC 6265bis, 4.1.3.2).
const SECURE_BROWSER_COOKIE: &str = "__Host-loginAttempt";

/// The length of the cookie's value, as made by [`secret_text`].
const BROWSER_BYTES: usize = 43;

/// The routes.
pub fn routes(logins: Logins) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(finish))
        .with_state(logins)
}

/// Begins a login: redirects the browser to the provider, `kakao`, `google` or `naver`.
#[utoipa::path(
    get, path = "/oauth2/authorization/{provider}", tag = "login",
    params(("provider" = String, Path, description = "kakao, google or naver")),
    responses(
        (status = 302, description = "Redirect to the provider."),
        (status = 404, description = "Unknown provider (1004).", body = ErrorBody),
        (status = 503, description = "Temporarily unavailable (1010).", body = ErrorBody),
    ),
)]
async fn begin(
    State(logins): State<Logins>,
    InPath(provider): InPath<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let at = logins.provider(&provider).ok_or(ErrorCode::RouteUnknown)?;
    // Two tabs that log in concurrently share the cookie; a new value would invalidate the earlier attempt.
    let name = logins.browser_cookie();
    let known = browsers(&headers, name).into_iter().next();
    let browser = known.unwrap_or_else(secret_text);
    let url = logins.begin(at, &browser, &headers).await?;
    let cookie = SetCookie {
        name,
        value: &browser,
        lifetime: ATTEMPT_TIME,
        domain: None,
        secure: logins.settings.secure_cookies,
    };
    let cookie = cookie.header().map_err(|_odd| ErrorCode::Internal)?;
    Ok(redirect(url.as_str(), vec![cookie]))
}

/// Parameters of a provider's callback.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Query {
    /// The authorization code.
    code: Option<String>,
    /// The state of the login attempt.
    state: Option<String>,
    /// The provider's error code.
    error: Option<String>,
    /// The issuer (RFC 9207).
    iss: Option<String>,
}

/// Ends a login: the provider's callback. Redirects the browser to the front end.
///
/// After a success to `/data`, a new member to `/data?on-boarding=true`. After an error to `/?error=…` with
/// 2006 (no login attempt of this browser), 2009 (the provider refused), 2012 (blocked), 1010 or 5006 (try
/// again). A repeated callback has the result of the first one; one of an old attempt keeps the session that
/// the browser has.
#[utoipa::path(
    get, path = "/login/oauth2/code/{provider}", tag = "login",
    params(("provider" = String, Path, description = "kakao, google or naver"), Query),
    responses(
        (status = 302, description = "Redirect to the front end."),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
        (status = 404, description = "Unknown provider (1004).", body = ErrorBody),
    ),
)]
async fn finish(
    State(logins): State<Logins>,
    InPath(provider): InPath<String>,
    InQuery(query): InQuery<Query>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let at = logins.provider(&provider).ok_or(ErrorCode::RouteUnknown)?;
    let browsers = browsers(&headers, logins.browser_cookie());
    let mut finished = match returned(query) {
        Some(returned) => logins.finish(at, returned, browsers, &headers).await,
        None => Err(LoginError::Unknown),
    };
    // The callback of an attempt that is over, such as by the browser's back button.
    if let Err(LoginError::Unknown | LoginError::Before(_)) = finished
        && let Some(session) = logins.session(&headers).await
    {
        finished = Ok(session);
    }
    let outcome = match &finished {
        Ok(logged_in) => logged_in.outcome,
        Err(error) => error.outcome(),
    };
    let labels = [at.provider.path(), outcome];
    logins.metrics.logins.with_label_values(&labels).inc();
    let front = logins.front_url(&headers);
    let front = front.as_str().trim_end_matches('/');
    Ok(match finished {
        Ok(logged_in) => {
            let more = match logged_in.role {
                Role::NewMember => "?on-boarding=true",
                Role::Member | Role::Admin => "",
            };
            redirect(&format!("{front}/data{more}"), logged_in.cookies)
        }
        Err(error) => {
            error.log(at.provider.path());
            redirect(&format!("{front}/?error={}", error.number()), Vec::new())
        }
    })
}

impl Logins {
    /// Browsers accept the prefix over TLS only, also at `localhost`.
    fn browser_cookie(&self) -> &'static str {
        let is_tls = self.settings.public_url.scheme() == "https";
        if self.settings.secure_cookies && is_tls {
            SECURE_BROWSER_COOKIE
        } else {
            BROWSER_COOKIE
        }
    }

    /// The session that the browser already has, for the callback of an old attempt.
    async fn session(&self, headers: &HeaderMap) -> Option<LoggedIn> {
        let (role, cookies) = self.auth.session(headers).await?;
        Some(LoggedIn {
            role,
            cookies,
            outcome: "again",
        })
    }
}

/// The values of the attempt cookie. Of several cookies with the name any may be ours: their order has no
/// meaning (RFC 6265, 5.4).
fn browsers(headers: &HeaderMap, name: &str) -> Vec<String> {
    let shown = cookies(headers, name).into_iter().map(Secret::into_exposed);
    let shown = shown.filter(|browser| browser.len() == BROWSER_BYTES);
    shown.collect()
}

/// Rejects parameters that no provider sends: overlong ones and control characters, not all of which the
/// database can store.
fn returned(query: Query) -> Option<Returned> {
    let Query {
        code,
        state,
        error,
        iss,
    } = query;
    let parts = [&code, &state, &error, &iss];
    let is_sent = |part: &&Option<String>| {
        part.as_ref().is_none_or(|text| {
            text.len() <= PARAMETER_BYTES_MAX && !text.contains(char::is_control)
        })
    };
    parts.iter().all(is_sent).then_some(Returned {
        code,
        state,
        error,
        issuer: iss,
    })
}

fn redirect(to: &str, cookies: Vec<HeaderValue>) -> Response {
    let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE, cookie));
    let cookies = AppendHeaders(cookies.collect::<Vec<_>>());
    (StatusCode::FOUND, cookies, [(LOCATION, to)]).into_response()
}
