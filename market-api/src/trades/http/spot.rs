//! Routes of purchases of time. Wi-Fi and hotspots differ in the name of the item's field.

use axum::extract::State;
use serde::Deserialize;
use shared::clock::LocalDateTime;
use shared::ids::{ItemId, ProductId};
use shared::money::Won;
use shared::web::{ApiError, Envelope, ErrorBody, InBodyWithBytes};
use utoipa::ToSchema;

use super::super::answer::TradedTime;
use super::super::{Purchase, SpotOrder, Trades};
use crate::auth::Caller;
use crate::bookings::Wanted;
use crate::idempotency::{IdempotencyKey, IdempotentRequest, Reply};
use crate::products::Kind;

/// A purchase of time on a Wi-Fi spot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WifiPurchase {
    /// The offer.
    #[schema(value_type = u32, minimum = 1)]
    product_id: ProductId,
    /// Its item.
    #[schema(value_type = u32, minimum = 1)]
    wifi_id: ItemId,
    /// The start, to the minute. One that has passed today means now while the time lasts, then, at a spot
    /// that is open over midnight or all day, the next day.
    #[schema(value_type = String, example = "2025-08-07T12:30:00.000")]
    start_time: LocalDateTime,
    /// The end, to the minute; only the time of day counts.
    #[schema(value_type = String, example = "2025-08-08T13:00:00.000")]
    end_time: LocalDateTime,
    /// The price in won that the buyer saw. If it is another by now, the purchase is refused (4008).
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    price: Option<Won>,
}

/// A purchase of time on a hotspot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HotspotPurchase {
    /// The offer.
    #[schema(value_type = u32, minimum = 1)]
    product_id: ProductId,
    /// Its item.
    #[schema(value_type = u32, minimum = 1)]
    hotspot_id: ItemId,
    /// The start, to the minute. One that has passed today means now while the time lasts, then, at a spot
    /// that is open over midnight or all day, the next day.
    #[schema(value_type = String, example = "2025-08-07T12:30:00.000")]
    start_time: LocalDateTime,
    /// The end, to the minute; only the time of day counts.
    #[schema(value_type = String, example = "2025-08-08T13:00:00.000")]
    end_time: LocalDateTime,
    /// The price in won that the buyer saw. If it is another by now, the purchase is refused (4008).
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    price: Option<Won>,
}

/// Buys time on a Wi-Fi spot.
#[utoipa::path(
    post, path = "/api/trades/wifi", tag = "trades",
    request_body = WifiPurchase,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible characters: the same request under the same key is done once.")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Bought. The same times again are answered with the first purchase, \
            and `Idempotent-Replayed: true`.", body = Envelope<TradedTime>),
        (status = 400, description = "No such product (3002), no longer available (3003), no minutes \
            (3007), another item or kind (3010), own product (4002), too little cash (4004), past, more \
            than seven days ahead, or outside the opening hours (4006), invalid body or key (1006).",
            body = ErrorBody),
        (status = 409, description = "The price has changed (4008): `data` has the present one. Fully \
            booked at that time (4009). A request with this key still runs (5010).", body = ErrorBody),
        (status = 422, description = "The key was used for another request (5009).", body = ErrorBody),
        (status = 503, description = "The database is unavailable (1010) or busy (5006).",
            body = ErrorBody),
    ),
)]
pub(super) async fn buy_wifi(
    State(trades): State<Trades>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    InBodyWithBytes { value, bytes }: InBodyWithBytes<WifiPurchase>,
) -> Result<Reply, ApiError> {
    let order = SpotOrder {
        kind: Kind::Wifi,
        product: value.product_id,
        item: value.wifi_id,
        wanted: Wanted::new(value.start_time, value.end_time),
        price: value.price,
    };
    let once =
        key.map(|key| IdempotentRequest::new(caller.member, "POST /api/trades/wifi", key, &bytes));
    let purchase = Purchase {
        buyer: caller.member,
        once,
        order,
    };
    Ok(trades.buy_time(purchase).await?)
}

/// Buys time on a hotspot.
#[utoipa::path(
    post, path = "/api/trades/hotspot", tag = "trades",
    request_body = HotspotPurchase,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible characters: the same request under the same key is done once.")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Bought. The same times again are answered with the first purchase, \
            and `Idempotent-Replayed: true`.", body = Envelope<TradedTime>),
        (status = 400, description = "No such product (3002), no longer available (3003), no minutes \
            (3007), another item or kind (3010), own product (4002), too little cash (4004), past, more \
            than seven days ahead, or outside the opening hours (4006), invalid body or key (1006).",
            body = ErrorBody),
        (status = 409, description = "The price has changed (4008): `data` has the present one. Fully \
            booked at that time (4009). A request with this key still runs (5010).", body = ErrorBody),
        (status = 422, description = "The key was used for another request (5009).", body = ErrorBody),
        (status = 503, description = "The database is unavailable (1010) or busy (5006).",
            body = ErrorBody),
    ),
)]
pub(super) async fn buy_hotspot(
    State(trades): State<Trades>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    InBodyWithBytes { value, bytes }: InBodyWithBytes<HotspotPurchase>,
) -> Result<Reply, ApiError> {
    let order = SpotOrder {
        kind: Kind::Hotspot,
        product: value.product_id,
        item: value.hotspot_id,
        wanted: Wanted::new(value.start_time, value.end_time),
        price: value.price,
    };
    let once = key
        .map(|key| IdempotentRequest::new(caller.member, "POST /api/trades/hotspot", key, &bytes));
    let purchase = Purchase {
        buyer: caller.member,
        once,
        order,
    };
    Ok(trades.buy_time(purchase).await?)
}
