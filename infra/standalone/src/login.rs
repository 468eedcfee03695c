//! Login without a password, for demo members on the page of this program only.
//!
//! The response sets the market's cookies and also contains the access token: cookies are shared by
//! all tabs of a browser, while two tabs should be two members. So the page uses the token; the
//! cookies belong to a login through a provider.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use market_api::app::Market;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::claims::{ACCESS_LIFETIME, MemberToken};
use shared::config::Secret;
use shared::ids::MemberId;
use shared::web::{ErrorCode, SetCookie, guarded};

use crate::demo::{self, DemoMember};

/// A member's number, in JSON.
const BODY_BYTES_MAX: usize = 1 << 10;

/// Dependencies of the login routes.
#[derive(Debug)]
pub(crate) struct Login {
    /// Issues tokens and begins sessions.
    pub(crate) market: Arc<Market>,
    /// The demo's administrator; none if another administrator has blocked the account.
    pub(crate) administrator: Option<MemberId>,
    /// Longest message, so that the page can warn before the server refuses.
    pub(crate) message_chars_max: usize,
}

impl Login {
    fn administrator(&self) -> Option<DemoMember> {
        self.administrator.map(demo::administrator)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginRequest {
    member_id: u64,
}

/// The page's copy of the login.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIn<'a> {
    member: DemoMember,
    access_token: &'a str,
    expires_in_seconds: u64,
}

/// `/dev/members`, `/dev/login`.
pub(crate) fn router(login: Login) -> Router {
    let routes = Router::new()
        .route("/dev/members", get(list_members))
        .route("/dev/login", post(log_in))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    guarded(routes, BODY_BYTES_MAX).with_state(Arc::new(login))
}

async fn list_members(State(login): State<Arc<Login>>) -> Response {
    let members: Vec<_> = demo::members().collect();
    let administrator = login.administrator();
    success(&json!({
        "members": members,
        "administrator": administrator,
        "messageCharsMax": login.message_chars_max,
    }))
}

/// The content type must be JSON, so that a page of another site cannot send the request without a
/// preflight.
async fn log_in(
    State(login): State<Arc<Login>>,
    request: Result<Json<LoginRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(JsonRejection::MissingJsonContentType(_)) => {
            return ErrorCode::UnsupportedBody.into_response();
        }
        Err(other) if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return ErrorCode::BodyTooLarge.into_response();
        }
        Err(_) => return ErrorCode::InvalidParameter.into_response(),
    };
    let wanted = |one: &DemoMember| u64::from(u32::from(one.member_id)) == request.member_id;
    let mut members = demo::members().chain(login.administrator());
    let Some(member) = members.find(wanted) else {
        return failure(StatusCode::BAD_REQUEST, 2005, "not a demo member");
    };
    let tokens = match login.market.log_in(member.member_id).await {
        Ok(tokens) => tokens,
        Err(failure) => return failure.into_response(),
    };
    let cookies = AppendHeaders([
        (
            SET_COOKIE,
            cookie("accessToken", &tokens.access, MemberToken::Access),
        ),
        (
            SET_COOKIE,
            cookie("refreshToken", &tokens.refresh, MemberToken::Refresh),
        ),
    ]);
    let body = LoggedIn {
        member,
        access_token: tokens.access.expose(),
        expires_in_seconds: ACCESS_LIFETIME.as_secs(),
    };
    (cookies, success(&body)).into_response()
}

/// Without `Secure`: this is plain HTTP on this computer.
fn cookie(name: &str, token: &Secret<String>, kind: MemberToken) -> HeaderValue {
    let cookie = SetCookie {
        name,
        value: token.expose(),
        lifetime: kind.lifetime(),
        domain: None,
        secure: false,
    };
    cookie.header().expect("a token is of plain letters")
}

fn success(data: &impl Serialize) -> Response {
    let body = json!({"code": 0, "message": "ok", "data": data});
    Json(body).into_response()
}

fn failure(status: StatusCode, code: u16, message: &str) -> Response {
    (status, Json(json!({"code": code, "message": message}))).into_response()
}
