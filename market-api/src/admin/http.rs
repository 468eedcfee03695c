//! Routes of `/api/admin`: administrators' commands, and the audit log.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InPath, InQuery, Page, PageParameters,
    REQUEST_ID, done, success,
};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AccountStatus, AdminCommand, AdminError, Admins};
use crate::audit::{Actor, Recorded};
use crate::auth::Admin;

/// The routes, for administrators only.
pub fn routes(admins: Admins) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(block))
        .routes(routes!(unblock))
        .routes(routes!(audit))
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

/// Unblocks a member. Reports before it no longer count towards an automatic block.
#[utoipa::path(
    post, path = "/api/admin/members/{id}/unblock", tag = "admin",
    params(("id" = u32, Path, description = "The member", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The member may log in.", body = Done),
        (status = 400, description = "No such member, or a closed account (2005), invalid member id \
            (1006).", body = ErrorBody),
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

/// A row of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditView {
    audit_id: u64,
    /// The administrator; null for operators at the command line, and for the market's own rules.
    #[schema(required = true, value_type = Option<u32>)]
    actor_id: Option<MemberId>,
    #[schema(example = "member.block")]
    action: String,
    #[schema(example = "member:7")]
    target: String,
    #[schema(required = true)]
    request_id: Option<String>,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
}

impl From<Recorded> for AuditView {
    fn from(row: Recorded) -> Self {
        Self {
            audit_id: row.id,
            actor_id: match row.actor {
                Actor::Member(member) => Some(member),
                Actor::System => None,
            },
            action: row.action,
            target: row.target,
            request_id: row.request,
            created_at: row.created_at,
        }
    }
}

/// Lists what administrators, operators and the market's own rules did, newest first.
#[utoipa::path(
    get, path = "/api/admin/audit", tag = "admin", params(PageParameters),
    operation_id = "audit_log",
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<Page<AuditView>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
async fn audit(
    State(admins): State<Admins>,
    _: Admin,
    InQuery(asked): InQuery<PageParameters>,
) -> Result<Json<Envelope<Page<AuditView>>>, ApiError> {
    let (size, before) = asked.parse()?;
    let found = admins.audit(size, before).await?;
    Ok(success(found.into_page(
        size,
        |row| row.id,
        AuditView::from,
    )))
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
