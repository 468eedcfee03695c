//! Routes of reviews.

mod list;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::ids::{ReviewId, TradeId};
use shared::web::{ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InPath, done, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{FormError, NewReview, Review, ReviewError, Reviews};
use crate::auth::Caller;

/// The routes.
pub fn routes(reviews: Reviews) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(write))
        .routes(routes!(list::received))
        .routes(routes!(list::received_of_member))
        .routes(routes!(list::wrote))
        .routes(routes!(list::written))
        .routes(routes!(own, edit, delete))
        .with_state(reviews)
}

/// A review to write, or its new content.
#[derive(Debug, Deserialize, ToSchema)]
struct ReviewForm {
    /// 1.0 to 5.0 stars, with at most one decimal.
    #[schema(minimum = 1, maximum = 5, example = 4.5)]
    rating: f64,
    /// At most 50 characters; absent, null or empty: no text.
    #[schema(max_length = 50)]
    comment: Option<String>,
}

impl ReviewForm {
    fn parse(&self) -> Result<NewReview, FormError> {
        NewReview::parse(self.rating, self.comment.as_deref())
    }
}

/// The id of a review.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReviewWritten {
    #[schema(value_type = u32)]
    review_id: ReviewId,
}

/// A review of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OwnReview {
    #[schema(value_type = u32)]
    review_id: ReviewId,
    /// Stars.
    #[schema(example = 4.5)]
    rating: f64,
    comment: String,
}

impl From<Review> for OwnReview {
    fn from(review: Review) -> Self {
        Self {
            review_id: review.id,
            rating: review.stars.get(),
            comment: review.comment,
        }
    }
}

/// Reviews the other party of a trade of the caller: a buyer the seller, a seller the buyer. Once for each trade.
#[utoipa::path(
    post, path = "/api/trades/{id}/reviews", tag = "reviews", request_body = ReviewForm,
    params(("id" = u32, Path, description = "The caller's side of the trade", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<ReviewWritten>),
        (status = 400, description = "No such trade (4000), another member's (4001), a charge, a refund or a \
            purchase from several sellers (6004), invalid parameter (1006).", body = ErrorBody),
        (status = 409, description = "The trade is reviewed already (6003).", body = ErrorBody),
    ),
)]
async fn write(
    State(reviews): State<Reviews>,
    caller: Caller,
    InPath(trade): InPath<TradeId>,
    InBody(form): InBody<ReviewForm>,
) -> Result<Json<Envelope<ReviewWritten>>, ApiError> {
    let review_id = reviews.write(caller.member, trade, form.parse()?).await?;
    Ok(success(ReviewWritten { review_id }))
}

/// The content of a review of the caller.
#[utoipa::path(
    get, path = "/api/reviews/{id}", tag = "reviews",
    params(("id" = u32, Path, description = "The review", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<OwnReview>),
        (status = 400, description = "No such review (6002), another member's (6001), invalid review id (1006).",
            body = ErrorBody),
    ),
)]
async fn own(
    State(reviews): State<Reviews>,
    caller: Caller,
    InPath(review): InPath<ReviewId>,
) -> Result<Json<Envelope<OwnReview>>, ApiError> {
    let review = reviews.own(caller.member, review).await?;
    Ok(success(OwnReview::from(review)))
}

/// Changes a review of the caller: rating and text are replaced.
#[utoipa::path(
    patch, path = "/api/reviews/{id}", tag = "reviews", request_body = ReviewForm,
    params(("id" = u32, Path, description = "The review", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<ReviewWritten>),
        (status = 400, description = "No such review (6002), another member's (6001), invalid parameter (1006).",
            body = ErrorBody),
    ),
)]
async fn edit(
    State(reviews): State<Reviews>,
    caller: Caller,
    InPath(review_id): InPath<ReviewId>,
    InBody(form): InBody<ReviewForm>,
) -> Result<Json<Envelope<ReviewWritten>>, ApiError> {
    reviews
        .edit(caller.member, review_id, form.parse()?)
        .await?;
    Ok(success(ReviewWritten { review_id }))
}

/// Deletes a review of the caller. The trade may be reviewed again.
#[utoipa::path(
    delete, path = "/api/reviews/{id}", tag = "reviews",
    params(("id" = u32, Path, description = "The review", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Done),
        (status = 400, description = "No such review (6002), another member's (6001), invalid review id (1006).",
            body = ErrorBody),
    ),
)]
async fn delete(
    State(reviews): State<Reviews>,
    caller: Caller,
    InPath(review): InPath<ReviewId>,
) -> Result<Json<Done>, ApiError> {
    reviews.delete(caller.member, review).await?;
    Ok(done())
}

impl From<FormError> for ApiError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Rating | FormError::Comment => ErrorCode::InvalidParameter.into(),
        }
    }
}

impl From<ReviewError> for ApiError {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::TradeUnknown => ErrorCode::TradeUnknown.into(),
            ReviewError::TradeNotMine => ErrorCode::NotMyTrade.into(),
            ReviewError::NotReviewable => ErrorCode::NotReviewable.into(),
            ReviewError::Oneself => ErrorCode::SelfReview.into(),
            ReviewError::Repeated => ErrorCode::ReviewRepeated.into(),
            ReviewError::Unknown => ErrorCode::ReviewUnknown.into(),
            ReviewError::NotMine => ErrorCode::NotMyReview.into(),
            ReviewError::Db(error) => error.into(),
        }
    }
}
