//! Routes of lists of reviews.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId, ReviewId, TradeId};
use shared::money::Units;
use shared::web::{
    ApiError, Envelope, ErrorBody, ErrorCode, InPath, InQuery, Page, PageInfo, PageSize, cursor,
    success,
};
use utoipa::{IntoParams, ToSchema};

use super::super::{Cursor, ListError, ReviewQuery, ReviewRow, Reviews, Side, Sort};
use crate::auth::Caller;

/// A page of reviews.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ReviewParameters {
    /// `RECENT` (default), `OLDEST`, `RATING_DESC` or `RATING_ASC`.
    review_sort_option: Option<String>,
    /// Rows of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 2)]
    size: Option<String>,
    /// `nextCursorId` of the previous page. 0: the first page.
    #[param(value_type = Option<u64>)]
    cursor_id: Option<String>,
}

impl ReviewParameters {
    fn parse(&self, member: MemberId, side: Side) -> Result<ReviewQuery, ErrorCode> {
        let name = self.review_sort_option.as_deref();
        let sort = match name.filter(|name| !name.is_empty()) {
            Some(name) => Sort::parse(name).ok_or(ErrorCode::SortOptionUnknown)?,
            None => Sort::Recent,
        };
        let number: Option<u64> = cursor(self.cursor_id.as_deref())?;
        let after = number
            .map(|number| Cursor::parse(sort, number).ok_or(ErrorCode::InvalidParameter))
            .transpose()?;
        Ok(ReviewQuery {
            member,
            side,
            sort,
            size: PageSize::parse(self.size.as_deref(), PageSize::LIST)?,
            after,
        })
    }
}

/// A review about a member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceivedReview {
    #[schema(value_type = u32)]
    review_id: ReviewId,
    /// Stars.
    #[schema(example = 4.5)]
    rating: f64,
    /// May be empty.
    comment: String,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
    #[schema(value_type = u32)]
    reviewer_id: MemberId,
    reviewer_name: String,
    /// The reviewer's side of the trade.
    #[schema(value_type = u32)]
    trade_id: TradeId,
    /// Mobile data: gigabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 1.5)]
    data_amount: Option<Units>,
    /// Time on a spot: minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_amount: Option<u32>,
    /// The offer; of several the first.
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// `MOBILE_DATA`, `WIFI` or `HOTSPOT`.
    item_type: &'static str,
}

impl From<ReviewRow> for ReceivedReview {
    fn from(row: ReviewRow) -> Self {
        Self {
            review_id: row.id,
            rating: row.stars.get(),
            comment: row.comment,
            created_at: row.created_at,
            updated_at: row.updated_at,
            reviewer_id: row.reviewer,
            reviewer_name: row.other_name,
            trade_id: row.trade,
            data_amount: row.units,
            time_amount: row.minutes,
            product_id: row.product,
            item_type: row.kind.name(),
        }
    }
}

/// A review by a member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenReview {
    #[schema(value_type = u32)]
    review_id: ReviewId,
    /// Stars.
    #[schema(example = 4.5)]
    rating: f64,
    /// May be empty.
    comment: String,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
    #[schema(value_type = u32)]
    reviewer_id: MemberId,
    #[schema(value_type = u32)]
    reviewee_id: MemberId,
    reviewee_name: String,
    /// The reviewer's side of the trade.
    #[schema(value_type = u32)]
    trade_id: TradeId,
    /// Mobile data: gigabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 1.5)]
    data_amount: Option<Units>,
    /// Time on a spot: minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_amount: Option<u32>,
    /// The offer; of several the first.
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// `MOBILE_DATA`, `WIFI` or `HOTSPOT`.
    item_type: &'static str,
}

impl From<ReviewRow> for WrittenReview {
    fn from(row: ReviewRow) -> Self {
        Self {
            review_id: row.id,
            rating: row.stars.get(),
            comment: row.comment,
            created_at: row.created_at,
            updated_at: row.updated_at,
            reviewer_id: row.reviewer,
            reviewee_id: row.reviewee,
            reviewee_name: row.other_name,
            trade_id: row.trade,
            data_amount: row.units,
            time_amount: row.minutes,
            product_id: row.product,
            item_type: row.kind.name(),
        }
    }
}

/// Lists the reviews about the caller.
#[utoipa::path(
    get, path = "/api/reviews/received", tag = "reviews", params(ReviewParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<ReceivedReview>>),
        (status = 400, description = "Unknown sort option (3000), invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn received(
    State(reviews): State<Reviews>,
    caller: Caller,
    InQuery(asked): InQuery<ReviewParameters>,
) -> Result<Json<Envelope<Page<ReceivedReview>>>, ApiError> {
    page(&reviews, &asked.parse(caller.member, Side::Received)?).await
}

/// Lists the reviews about a member.
#[utoipa::path(
    get, path = "/api/members/{id}/reviews/received", tag = "reviews",
    params(("id" = u32, Path, description = "The member", minimum = 1), ReviewParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<ReceivedReview>>),
        (status = 400, description = "No such member (2005), unknown sort option (3000), invalid parameter (1006).",
            body = ErrorBody),
    ),
)]
pub(super) async fn received_of_member(
    State(reviews): State<Reviews>,
    _caller: Caller,
    InPath(member): InPath<MemberId>,
    InQuery(asked): InQuery<ReviewParameters>,
) -> Result<Json<Envelope<Page<ReceivedReview>>>, ApiError> {
    page(&reviews, &asked.parse(member, Side::Received)?).await
}

/// Lists the reviews by the caller.
#[utoipa::path(
    get, path = "/api/reviews/wrote", tag = "reviews", params(ReviewParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<WrittenReview>>),
        (status = 400, description = "Unknown sort option (3000), invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn wrote(
    State(reviews): State<Reviews>,
    caller: Caller,
    InQuery(asked): InQuery<ReviewParameters>,
) -> Result<Json<Envelope<Page<WrittenReview>>>, ApiError> {
    page(&reviews, &asked.parse(caller.member, Side::Written)?).await
}

/// The same as `/api/reviews/wrote`, under the name of an older back end.
#[utoipa::path(
    get, path = "/api/reviews/written", tag = "reviews", params(ReviewParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<WrittenReview>>),
        (status = 400, description = "Unknown sort option (3000), invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn written(
    State(reviews): State<Reviews>,
    caller: Caller,
    InQuery(asked): InQuery<ReviewParameters>,
) -> Result<Json<Envelope<Page<WrittenReview>>>, ApiError> {
    page(&reviews, &asked.parse(caller.member, Side::Written)?).await
}

async fn page<V: From<ReviewRow>>(
    reviews: &Reviews,
    query: &ReviewQuery,
) -> Result<Json<Envelope<Page<V>>>, ApiError> {
    let found = reviews.list(query).await?;
    Ok(success(Page {
        data: found.rows.into_iter().map(V::from).collect(),
        page_info: PageInfo::new(found.next.map(Cursor::get), query.size),
    }))
}

impl From<ListError> for ApiError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::MemberUnknown => ErrorCode::MemberUnknown.into(),
            ListError::Db(error) => error.into(),
        }
    }
}
