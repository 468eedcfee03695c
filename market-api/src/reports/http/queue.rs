//! Routes of `/api/admin/reports`: the queue, and decisions.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ReportId};
use shared::text::is_blank;
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InPath, InQuery, Page, PageSize,
    cursor, done, success,
};
use utoipa::{IntoParams, ToSchema};

use super::super::{Decision, DecisionError, QueueQuery, QueueRow, ReportState, Reports, Verdict};
use super::request_id;
use crate::auth::Admin;
use crate::db::row::TextColumn as _;

/// Bound of a remark, in characters.
const NOTE_CHARS_MAX: usize = 200;

/// A page of reports.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct QueueParameters {
    /// Only reports in this state.
    #[param(inline, value_type = Option<ReportStateName>)]
    state: Option<String>,
    /// Rows of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 2)]
    size: Option<String>,
    /// `nextCursorId` of the previous page. 0: the first page.
    #[param(value_type = Option<u32>)]
    cursor_id: Option<String>,
}

/// The states of a report.
// Only for the document: the column's type reads them.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "stands for a text in the document")]
enum ReportStateName {
    Open,
    Upheld,
    Dismissed,
}

/// A report in the queue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportView {
    #[schema(value_type = u32)]
    report_id: ReportId,
    /// The category that the reporter named.
    target_category: &'static str,
    /// The id that the reporter named.
    target_id: u64,
    /// What it is about: `MEMBER`, `PRODUCT`, `REVIEW` or `CHAT`.
    subject: &'static str,
    /// The id of that.
    subject_id: u64,
    reason: String,
    /// The text reported, as it was then.
    #[schema(required = true)]
    excerpt: Option<String>,
    /// `OPEN`, `UPHELD` or `DISMISSED`.
    state: &'static str,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    #[schema(value_type = u32)]
    reporter_id: MemberId,
    reporter_name: String,
    /// The member reported.
    #[schema(value_type = u32)]
    member_id: MemberId,
    member_name: String,
    member_blocked: bool,
    /// How many members' reports of the member count towards the automatic block, which 5 cause.
    member_reports: u32,
    /// Whether the reporter shared a room or a trade with the member: only then it counts.
    known: bool,
    #[schema(required = true, value_type = Option<String>, example = "2025-08-07T12:34:56.789")]
    decided_at: Option<LocalDateTime>,
    /// The administrator who decided it.
    #[schema(required = true, value_type = Option<u32>)]
    decided_by: Option<MemberId>,
    #[schema(required = true)]
    note: Option<String>,
}

impl From<QueueRow> for ReportView {
    fn from(row: QueueRow) -> Self {
        Self {
            report_id: row.report,
            target_category: row.category.name(),
            target_id: row.target,
            subject: row.subject.name(),
            subject_id: row.subject_id,
            reason: row.reason,
            excerpt: row.excerpt,
            state: row.state.name(),
            created_at: row.created_at,
            reporter_id: row.reporter,
            reporter_name: row.reporter_name,
            member_id: row.member,
            member_name: row.member_name,
            member_blocked: row.is_member_blocked,
            member_reports: row.member_reports,
            known: row.is_known,
            decided_at: row.decided_at,
            decided_by: row.decided_by,
            note: row.note,
        }
    }
}

/// Lists reports: open ones oldest first, others newest first.
#[utoipa::path(
    get, path = "/api/admin/reports", tag = "admin", params(QueueParameters),
    operation_id = "report_queue",
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<ReportView>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(reports): State<Reports>,
    _: Admin,
    InQuery(asked): InQuery<QueueParameters>,
) -> Result<Json<Envelope<Page<ReportView>>>, ApiError> {
    let size = PageSize::parse(asked.size.as_deref(), PageSize::LIST)?;
    let query = QueueQuery {
        state: state(asked.state.as_deref())?,
        size,
        after: cursor(asked.cursor_id.as_deref())?,
    };
    let found = reports.queue(&query).await?;
    let page = found.into_page(size, |row| row.report.get(), ReportView::from);
    Ok(success(page))
}

fn state(text: Option<&str>) -> Result<Option<ReportState>, ErrorCode> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| ReportState::from_text(text).ok_or(ErrorCode::InvalidParameter))
        .transpose()
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DecisionBody {
    decision: DecisionName,
    /// With `UPHOLD`: block the member.
    #[serde(default)]
    block: Option<bool>,
    /// With `UPHOLD`: delete the offer or the review.
    #[serde(default)]
    remove: Option<bool>,
    /// A remark for other administrators, up to 200 characters.
    #[serde(default)]
    #[schema(max_length = 200)]
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum DecisionName {
    /// The report is right.
    Uphold,
    /// It is not, and no longer counts towards a block. One that has happened stays.
    Dismiss,
}

/// Decides a report, and notifies the reporter.
#[utoipa::path(
    post, path = "/api/admin/reports/{id}/decide", tag = "admin", request_body = DecisionBody,
    operation_id = "decide_report",
    params(("id" = u32, Path, description = "The report", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The report is decided.", body = Done),
        (status = 400, description = "No such report (7003); invalid body, `block` or `remove` with \
            `DISMISS`, or `remove` of a member or a chat message (1006).", body = ErrorBody),
        (status = 403, description = "Administrators only, or a block of oneself (1003); the caller is \
            blocked (2012).", body = ErrorBody),
        (status = 409, description = "Decided before (7004).", body = ErrorBody),
    ),
)]
pub(super) async fn decide(
    State(reports): State<Reports>,
    admin: Admin,
    InPath(report): InPath<ReportId>,
    headers: HeaderMap,
    InBody(body): InBody<DecisionBody>,
) -> Result<Json<Done>, ApiError> {
    let decision = Decision {
        by: admin.0.member,
        report,
        verdict: verdict(&body)?,
        note: note(body.note)?,
        request: request_id(&headers),
    };
    reports.decide(decision).await?;
    Ok(done())
}

fn verdict(body: &DecisionBody) -> Result<Verdict, ErrorCode> {
    let (block, remove) = (body.block.unwrap_or(false), body.remove.unwrap_or(false));
    match body.decision {
        DecisionName::Uphold => Ok(Verdict::Uphold { block, remove }),
        DecisionName::Dismiss if block || remove => Err(ErrorCode::InvalidParameter),
        DecisionName::Dismiss => Ok(Verdict::Dismiss),
    }
}

/// The trimmed remark, if it is not blank. PostgreSQL cannot store NUL.
fn note(text: Option<String>) -> Result<Option<String>, ErrorCode> {
    let text = text.unwrap_or_default();
    let text = text.trim();
    if text.chars().count() > NOTE_CHARS_MAX || text.contains('\0') {
        return Err(ErrorCode::InvalidParameter);
    }
    Ok((!is_blank(text)).then(|| text.to_owned()))
}

impl From<DecisionError> for ApiError {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Unknown => ErrorCode::ReportUnknown.into(),
            DecisionError::Closed => ErrorCode::ReportClosed.into(),
            DecisionError::Oneself => ErrorCode::Forbidden.into(),
            DecisionError::NotRemovable => ErrorCode::InvalidParameter.into(),
            DecisionError::Db(error) => error.into(),
        }
    }
}
