//! Routes of members' blocks.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InPath, InQuery, Page, PageParameters, done,
    success,
};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{BlockError, BlockRow, Blocks, BlocksQuery};
use crate::auth::Caller;

/// The routes.
pub fn routes(blocks: Blocks) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(block, unblock))
        .routes(routes!(blocked))
        .with_state(blocks)
}

/// Blocks a member: the two no longer see each other's offers, buy from or write to each other.
#[utoipa::path(
    post, path = "/api/members/{id}/block", tag = "members", operation_id = "block_member",
    params(("id" = u32, Path, description = "The member", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The member is blocked.", body = Done),
        (status = 400, description = "No such member (2005), oneself or invalid member id (1006).",
            body = ErrorBody),
        (status = 429, description = "The caller blocks 500 members already (1009).", body = ErrorBody),
    ),
)]
async fn block(
    State(blocks): State<Blocks>,
    caller: Caller,
    InPath(member): InPath<MemberId>,
) -> Result<Json<Done>, ApiError> {
    blocks.block(caller.member, member).await?;
    Ok(done())
}

/// Undoes the caller's block of a member. If that member blocks the caller, the two stay separated.
#[utoipa::path(
    delete, path = "/api/members/{id}/block", tag = "members", operation_id = "unblock_member",
    params(("id" = u32, Path, description = "The member", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The member is not blocked.", body = Done),
        (status = 400, description = "No such member (2005), oneself or invalid member id (1006).",
            body = ErrorBody),
    ),
)]
async fn unblock(
    State(blocks): State<Blocks>,
    caller: Caller,
    InPath(member): InPath<MemberId>,
) -> Result<Json<Done>, ApiError> {
    blocks.unblock(caller.member, member).await?;
    Ok(done())
}

/// A member whom the caller blocks.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BlockedMember {
    #[schema(value_type = u32)]
    member_id: MemberId,
    name: String,
    #[schema(required = true)]
    profile_image_url: Option<String>,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    blocked_at: LocalDateTime,
}

impl From<BlockRow> for BlockedMember {
    fn from(row: BlockRow) -> Self {
        Self {
            member_id: row.member,
            name: row.name,
            profile_image_url: row.image,
            blocked_at: row.blocked_at,
        }
    }
}

/// Lists the members whom the caller blocks.
#[utoipa::path(
    get, path = "/api/members/blocked", tag = "members", params(PageParameters),
    operation_id = "blocked_members", security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<Page<BlockedMember>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
async fn blocked(
    State(blocks): State<Blocks>,
    caller: Caller,
    InQuery(asked): InQuery<PageParameters>,
) -> Result<Json<Envelope<Page<BlockedMember>>>, ApiError> {
    let (size, after) = asked.parse()?;
    let query = BlocksQuery {
        blocker: caller.member,
        size,
        after,
    };
    let found = blocks.blocked(&query).await?;
    Ok(success(found.into_page(
        size,
        |row| row.id,
        BlockedMember::from,
    )))
}

impl From<BlockError> for ApiError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Oneself => ErrorCode::InvalidParameter.into(),
            BlockError::MemberUnknown => ErrorCode::MemberUnknown.into(),
            BlockError::TooMany => ErrorCode::TooManyRequests.into(),
            BlockError::Db(error) => error.into(),
        }
    }
}
