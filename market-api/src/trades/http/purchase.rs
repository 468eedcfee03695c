//! Routes of purchases.

use axum::extract::State;
use serde::Deserialize;
use shared::ids::{ItemId, ProductId};
use shared::money::{Units, Won};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InBodyWithBytes};
use utoipa::ToSchema;

use super::super::answer::Traded;
use super::super::{DataOrder, Purchase, Trades};
use crate::auth::Caller;
use crate::idempotency::{IdempotencyKey, IdempotentRequest, Reply};

/// A purchase of mobile data from one offer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataPurchase {
    /// The offer.
    #[schema(value_type = u32, minimum = 1)]
    product_id: ProductId,
    /// Its item.
    #[schema(value_type = u32, minimum = 1)]
    mobile_data_id: ItemId,
    /// Gigabytes, in steps of 0.1: needed for a part of a split offer. Null, or all that is left, for a whole one.
    #[serde(default)]
    #[schema(example = 0.5)]
    data_amount: Option<f64>,
    /// The price in won that the buyer saw. If it is another by now, the purchase is refused (4008).
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    price: Option<Won>,
}

/// Buys mobile data from one offer.
#[utoipa::path(
    post, path = "/api/trades/mobile-data/default", tag = "trades",
    request_body = DataPurchase,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible characters: the same request under the same key is done once.")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Bought.", body = Envelope<Traded>),
        (status = 400, description = "No such product (3002), no longer available (3003), another \
            item (3009), no amount or not in steps of 0.1 GB (3006), no plan (3011), own product \
            (4002), sold out (4003), too little cash (4004), another amount is left (4005), more \
            than may be bought in a month (4007), invalid body or key (1006).", body = ErrorBody),
        (status = 409, description = "The price has changed (4008): `data` has the present one. A \
            request with this key still runs (5010).", body = ErrorBody),
        (status = 422, description = "The key was used for another request (5009).", body = ErrorBody),
        (status = 503, description = "The database is unavailable (1010) or busy (5006).",
            body = ErrorBody),
    ),
)]
pub(super) async fn buy_data(
    State(trades): State<Trades>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    InBodyWithBytes { value, bytes }: InBodyWithBytes<DataPurchase>,
) -> Result<Reply, ApiError> {
    let units = value.data_amount.map(Units::from_gigabytes).transpose();
    let order = DataOrder {
        product: value.product_id,
        item: value.mobile_data_id,
        units: units.map_err(|_invalid| ErrorCode::DataAmount)?,
        price: value.price,
    };
    let once = key.map(|key| {
        IdempotentRequest::new(
            caller.member,
            "POST /api/trades/mobile-data/default",
            key,
            &bytes,
        )
    });
    let purchase = Purchase {
        buyer: caller.member,
        once,
        order,
    };
    Ok(trades.buy_data(purchase).await?)
}
