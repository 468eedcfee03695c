//! `POST /internal/events`: domain events of the market. With a service's token.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use shared::event::{EventPost, RefusedEvents};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, success};
use utoipa::ToSchema;

use super::HttpState;
use super::extract::Service;
use crate::events::TakeError;

/// A batch of events, in the order to apply them.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "only described: the body is read as `shared::event::EventPost`"
)]
pub(super) struct EventsBody {
    /// When it was sent, in Korean time. A batch older than five minutes is refused.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    posted_at: String,
    /// At most 200: `v`, `eventId`, `kind`, `aggregate`, `aggregateSeq`, `occurredAt`, `traceparent`,
    /// `members`, `data`.
    #[schema(max_items = 200)]
    events: Vec<Value>,
}

/// What was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventsTaken {
    /// Number of events.
    stored: usize,
}

impl From<TakeError> for ApiError {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Refused(refused) => {
                let refused = serde_json::to_value(RefusedEvents { refused });
                Self::from(ErrorCode::InvalidParameter)
                    .with_status(StatusCode::UNPROCESSABLE_ENTITY)
                    .with_data(refused.unwrap_or_default())
            }
            TakeError::Unavailable => ErrorCode::ChatUnavailable.into(),
            TakeError::Stale => ErrorCode::Unavailable.into(),
            TakeError::Invalid => ErrorCode::InvalidParameter.into(),
        }
    }
}

/// Takes events: applies them to members and appends them to inboxes. Repeating a batch changes
/// nothing.
#[utoipa::path(
    post, path = "/internal/events", tag = "events", request_body = EventsBody,
    security(("service" = [])),
    responses(
        (status = 200, description = "OK. All of them are stored.", body = Envelope<EventsTaken>),
        (status = 400, description = "No valid batch (1006).", body = ErrorBody),
        (status = 401, description = "No token (2014), or not a valid service token (2007).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 422, description = "The events named in `data.refused` can never be stored (1006); the \
            others should be posted again.", body = ErrorBody),
        (status = 503, description = "The store is unavailable (8007), or the batch is too old (1010).",
            body = ErrorBody),
    ),
)]
pub(super) async fn take(
    State(state): State<HttpState>,
    _: Service,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Envelope<EventsTaken>>, ApiError> {
    let body = body.map_err(|rejected| match rejected.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::BodyTooLarge,
        _ => ErrorCode::InvalidParameter,
    })?;
    let post: EventPost = serde_json::from_slice(&body).map_err(|error| {
        tracing::warn!("a post of events cannot be read: {error}");
        ErrorCode::InvalidParameter
    })?;
    let stored = state.events.take(post).await?;
    Ok(success(EventsTaken { stored }))
}
