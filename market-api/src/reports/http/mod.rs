//! The route of reports, and the administrators' routes of their queue.

mod queue;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use shared::web::{ApiError, Done, ErrorBody, ErrorCode, InBody, InPath, REQUEST_ID, done};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Category, NewReport, Reason, ReportError, Reports, TargetId};
use crate::auth::Caller;

/// The routes.
pub fn routes(reports: Reports) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(report))
        .routes(routes!(queue::list))
        .routes(routes!(queue::decide))
        .with_state(reports)
}

/// What the id of a report is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum TargetCategory {
    /// A member, or a chat room: then its other member.
    Member,
    /// An offer, or a review.
    Product,
    /// A review.
    Review,
    /// A chat message.
    Chat,
}

impl From<TargetCategory> for Category {
    fn from(category: TargetCategory) -> Self {
        match category {
            TargetCategory::Member => Self::Member,
            TargetCategory::Product => Self::Product,
            TargetCategory::Review => Self::Review,
            TargetCategory::Chat => Self::Chat,
        }
    }
}

/// A report.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReportBody {
    /// Why: 1 to 100 characters, without the spaces around them.
    #[schema(min_length = 1, max_length = 100)]
    reason: String,
    target_category: TargetCategory,
}

/// Reports a member, an offer, a review or a chat message. The member reported does not see who did.
#[utoipa::path(
    post, path = "/api/report/{id}", tag = "reports", request_body = ReportBody,
    params(("id" = u64, Path, description = "What is reported: an id of its category", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The report waits for an administrator.", body = Done),
        (status = 400, description = "One's own (7002), no such member (2005), product (3002), review \
            (6002) or message (8004), a message of another's room (8002), invalid id, reason or \
            category (1006).", body = ErrorBody),
        (status = 409, description = "Reported before (7001).", body = ErrorBody),
        (status = 429, description = "Too many requests, or more than 20 reports within a day (1009).",
            body = ErrorBody),
        (status = 503, description = "The chat server or the market is unavailable (1010) or busy \
            (5006).", body = ErrorBody),
    ),
)]
async fn report(
    State(reports): State<Reports>,
    caller: Caller,
    InPath(target): InPath<TargetId>,
    headers: HeaderMap,
    InBody(body): InBody<ReportBody>,
) -> Result<Json<Done>, ApiError> {
    let reason = Reason::parse(&body.reason).ok_or(ErrorCode::InvalidParameter)?;
    let new = NewReport {
        reporter: caller.member,
        category: body.target_category.into(),
        target,
        reason,
        request: request_id(&headers),
    };
    reports.file(new).await?;
    Ok(done())
}

/// The id of the request, which the HTTP stack has checked or made.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?;
    id.to_str().ok().map(str::to_owned)
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Repeated => ErrorCode::ReportRepeated.into(),
            ReportError::Oneself => ErrorCode::SelfReport.into(),
            ReportError::TooMany => ErrorCode::TooManyRequests.into(),
            ReportError::MemberUnknown => ErrorCode::MemberUnknown.into(),
            ReportError::ProductUnknown => ErrorCode::ProductUnknown.into(),
            ReportError::ReviewUnknown => ErrorCode::ReviewUnknown.into(),
            ReportError::MessageUnknown => ErrorCode::MessageUnknown.into(),
            ReportError::NotParticipant => ErrorCode::NotParticipant.into(),
            ReportError::ChatUnavailable => ErrorCode::Unavailable.into(),
            ReportError::Db(error) => error.into(),
        }
    }
}
