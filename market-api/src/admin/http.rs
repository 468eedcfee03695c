//! Routes of `/api/admin`: administrators' commands.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use shared::ids::MemberId;
use shared::web::{ApiError, Done, ErrorBody, ErrorCode, InPath, REQUEST_ID, done};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AccountStatus, AdminCommand, AdminError, Admins};
use crate::auth::Admin;

/// The routes, for administrators only.
pub fn routes(admins: Admins) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(block))
        .routes(routes!(unblock))
        .with_state(admins)
}

/// Blocks a member, from the next request on.
#[utoipa::path(
    post, path = "/api/admin/members/{id}/block", tag = "admin",
    params(("id" = u32, Path, description = "The member", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The member is blocked.", body = Done),
        (status = 400, description = "No such member (2005), invalid member id (1006).",
            body = ErrorBody),
    ),
)]
async fn block(
    State(admins): State<Admins>,
    admin: Admin,
    InPath(member): InPath<MemberId>,
    headers: HeaderMap,
) -> Result<Json<Done>, ApiError> {
    let command = command(&admin, member, AccountStatus::Blocked, &headers);
    admins.carry_out(command).await?;
    Ok(done())
}

/// Unblocks a member.
#[utoipa::path(
    post, path = "/api/admin/members/{id}/unblock", tag = "admin",
    params(("id" = u32, Path, description = "The member", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The member may log in.", body = Done),
        (status = 400, description = "No such member (2005), invalid member id (1006).",
            body = ErrorBody),
    ),
)]
async fn unblock(
    State(admins): State<Admins>,
    admin: Admin,
    InPath(member): InPath<MemberId>,
    headers: HeaderMap,
) -> Result<Json<Done>, ApiError> {
    let command = command(&admin, member, AccountStatus::Active, &headers);
    admins.carry_out(command).await?;
    Ok(done())
}

fn command(
    admin: &Admin,
    member: MemberId,
    status: AccountStatus,
    headers: &HeaderMap,
) -> AdminCommand {
    let request = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    AdminCommand {
        by: admin.0.member,
        member,
        status,
        request: request.map(str::to_owned),
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Oneself => ErrorCode::Forbidden.into(),
            AdminError::MemberUnknown => ErrorCode::MemberUnknown.into(),
            AdminError::Db(error) => error.into(),
        }
    }
}
