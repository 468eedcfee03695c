//! `/api/members`: the member's own profile.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use shared::text::Language;
use shared::web::{ApiError, Done, ErrorBody, ErrorCode, InBody, done};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{MemberError, Members};
use crate::auth::Caller;

/// The routes.
pub fn routes(members: Members) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(become_member))
        .routes(routes!(language))
        .with_state(members)
}

/// Completes the onboarding: a new member gets the role of a member. No effect on others.
#[utoipa::path(
    post, path = "/api/members/role", tag = "members", security(("access" = []), ("bearer" = [])),
    responses((status = 204, description = "OK.")),
)]
async fn become_member(
    State(members): State<Members>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    members.become_member(caller.member).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
struct NewLanguage {
    /// `ko` (Korean) or `en` (English).
    #[schema(pattern = "^(ko|en)$")]
    language: String,
}

/// Sets the caller's language, for notifications and for requests without `Accept-Language`.
#[utoipa::path(
    post, path = "/api/members/language", tag = "members", request_body = NewLanguage,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Done),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
async fn language(
    State(members): State<Members>,
    caller: Caller,
    InBody(new): InBody<NewLanguage>,
) -> Result<Json<Done>, ApiError> {
    let language = Language::parse(&new.language).ok_or(ErrorCode::InvalidParameter)?;
    members.set_language(caller.member, language).await?;
    Ok(done())
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Unknown => ErrorCode::MemberUnknown.into(),
            MemberError::Blocked => ErrorCode::MemberBlocked.into(),
            MemberError::Db(error) => error.into(),
        }
    }
}
