//! The response of a purchase, as it is sent and stored under the request's key.

use http::StatusCode;
use serde::Serialize;
use shared::ids::TradeId;
use shared::web::success;
use utoipa::ToSchema;

use crate::idempotency::Answer;

/// A purchase.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traded {
    /// The buyer's trade.
    #[schema(value_type = u32)]
    trade_id: TradeId,
}

/// The response of a purchase.
pub(super) fn of(trade_id: TradeId) -> Result<Answer, sqlx::Error> {
    let axum::Json(body) = success(Traded { trade_id });
    let body = serde_json::to_string(&body).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(Answer {
        status: StatusCode::OK,
        body,
    })
}
