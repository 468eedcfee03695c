//! Route of purchases of a combination.

use axum::extract::State;
use serde::Deserialize;
use shared::ids::{ItemId, ProductId};
use shared::money::{Units, Won};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InBodyWithBytes};
use utoipa::ToSchema;

use super::super::answer::Traded;
use super::super::{Purchase, PurchaseError, ScrapOrder, ScrapPart, Trades};
use crate::auth::Caller;
use crate::idempotency::{IdempotencyKey, IdempotentRequest, Reply};

/// A quoted combination, in the form of the quote. Fields that are not named here are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScrapPurchase {
    /// The sum of the amounts, in gigabytes.
    #[schema(example = 1.5)]
    total_amount: f64,
    /// The quoted sum of the prices, in won. If it is another by now, the purchase is refused (4008).
    #[schema(value_type = i64)]
    total_price: Won,
    /// 1 to 20 parts, each of another product.
    combinations: Vec<PurchasedPart>,
}

/// A part of an offer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PurchasedPart {
    /// The offer.
    #[schema(value_type = u32, minimum = 1)]
    product_id: ProductId,
    /// Its item.
    #[schema(value_type = u32, minimum = 1)]
    mobile_data_id: ItemId,
    /// Gigabytes, in steps of 0.1: all of a whole offer.
    #[schema(example = 0.5)]
    purchase_amount: f64,
}

impl TryFrom<ScrapPurchase> for ScrapOrder {
    type Error = ApiError;

    fn try_from(asked: ScrapPurchase) -> Result<Self, ApiError> {
        let units = |gigabytes| {
            let units = Units::from_gigabytes(gigabytes);
            units.map_err(|_invalid| ErrorCode::InvalidParameter)
        };
        let mut parts = Vec::with_capacity(asked.combinations.len());
        for part in asked.combinations {
            parts.push(ScrapPart {
                product: part.product_id,
                item: part.mobile_data_id,
                units: units(part.purchase_amount)?,
            });
        }
        Ok(Self::new(
            parts,
            units(asked.total_amount)?,
            asked.total_price,
        )?)
    }
}

/// Buys a quoted combination: exactly its offers and amounts, or nothing.
#[utoipa::path(
    post, path = "/api/trades/mobile-data/scrap", tag = "trades",
    request_body = ScrapPurchase,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible characters: the same request under the same key is done once.")),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Bought.", body = Envelope<Traded>),
        (status = 400, description = "No such product (3002), another item (3009), no plan (3011), own \
            product (4002), too little cash (4004), more than may be bought in a month (4007), not a \
            combination, invalid body or key (1006).", body = ErrorBody),
        (status = 409, description = "An offer is gone (4003), has less left (4005), or the price has \
            changed (4008): `data` has a new quote. A request with this key still runs (5010).",
            body = ErrorBody),
        (status = 422, description = "The key was used for another request (5009).", body = ErrorBody),
        (status = 503, description = "The database is unavailable (1010) or busy (5006).",
            body = ErrorBody),
    ),
)]
pub(super) async fn buy_scrap(
    State(trades): State<Trades>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    InBodyWithBytes { value, bytes }: InBodyWithBytes<ScrapPurchase>,
) -> Result<Reply, ApiError> {
    const ROUTE: &str = "POST /api/trades/mobile-data/scrap";
    let order = ScrapOrder::try_from(value)?;
    let units = order.units();
    let purchase = Purchase {
        buyer: caller.member,
        once: key.map(|key| IdempotentRequest::new(caller.member, ROUTE, key, &bytes)),
        order,
    };
    match trades.buy_scrap(purchase).await {
        Err(error @ PurchaseError::QuoteOutdated(_)) => {
            let quote = trades.quote(caller.member, units).await?;
            let quote = serde_json::to_value(quote).map_err(|_defect| ErrorCode::Internal)?;
            Err(ApiError::from(error).with_data(quote))
        }
        done => Ok(done?),
    }
}
