//! Routes of `/api/products/market-price`.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::money::Won;
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InQuery, success};
use utoipa::{IntoParams, ToSchema};

use super::super::Trades;
use crate::auth::Caller;
use crate::products::Kind;

/// Parameters of the market price.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct PriceParameters {
    /// The kind of product.
    #[param(inline, required = true, value_type = ProductType)]
    product_type: Option<String>,
}

/// The kinds of products.
// Only for the OpenAPI document: `Kind::parse` reads them.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "stands for a text in the document")]
enum ProductType {
    MobileData,
    Wifi,
    Hotspot,
}

/// Prices of recent trades, in won; 0 without trades.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prices {
    /// The price of the last trade.
    #[schema(value_type = i64)]
    recent_price: Won,
    /// The mean price.
    #[schema(value_type = i64)]
    average_price: Won,
}

/// Market price: the prices of the last thirty days, for 0.1 GB or for ten minutes.
#[utoipa::path(
    get, path = "/api/products/market-price", tag = "products", params(PriceParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<Prices>),
        (status = 400, description = "Unknown product type (3001).", body = ErrorBody),
    ),
)]
pub(super) async fn market_price(
    State(trades): State<Trades>,
    _caller: Caller,
    InQuery(query): InQuery<PriceParameters>,
) -> Result<Json<Envelope<Prices>>, ApiError> {
    let kind = query.product_type.as_deref().and_then(Kind::parse);
    let price = trades
        .market_price(kind.ok_or(ErrorCode::ProductTypeUnknown)?)
        .await?;
    Ok(success(Prices {
        recent_price: price.recent,
        average_price: price.average,
    }))
}
