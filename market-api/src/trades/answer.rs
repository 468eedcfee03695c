//! The response of a purchase, as it is sent and stored under the request's key.

use http::StatusCode;
use serde::Serialize;
use shared::clock::LocalDateTime;
use shared::ids::TradeId;
use shared::money::Won;
use shared::web::success;
use utoipa::ToSchema;

use crate::bookings::Booked;
use crate::idempotency::Answer;

/// A purchase.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traded {
    /// The buyer's trade.
    #[schema(value_type = u32)]
    trade_id: TradeId,
}

/// A purchase of time: what was booked, which is not always what was sent (a start that has passed).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TradedTime {
    /// The buyer's trade.
    #[schema(value_type = u32)]
    trade_id: TradeId,
    /// What was paid, in won.
    #[schema(value_type = i64)]
    price: Won,
    /// When the time starts.
    #[schema(value_type = String, example = "2025-08-07T12:30:00.000")]
    start_time: LocalDateTime,
    /// When it ends.
    #[schema(value_type = String, example = "2025-08-07T13:00:00.000")]
    end_time: LocalDateTime,
}

/// The response of a purchase.
pub(super) fn of(trade_id: TradeId) -> Result<Answer, sqlx::Error> {
    answer(Traded { trade_id })
}

/// The response of a purchase of time.
pub(super) fn of_time(booked: &Booked) -> Result<Answer, sqlx::Error> {
    answer(TradedTime {
        trade_id: booked.trade,
        price: booked.price,
        start_time: LocalDateTime::from_unix(booked.slot.starts_at),
        end_time: LocalDateTime::from_unix(booked.slot.ends_at),
    })
}

fn answer(data: impl Serialize) -> Result<Answer, sqlx::Error> {
    let axum::Json(body) = success(data);
    let body = serde_json::to_string(&body).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(Answer {
        status: StatusCode::OK,
        body,
    })
}
