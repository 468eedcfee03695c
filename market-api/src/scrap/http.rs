//! Routes of `/api/trades/mobile-data/scrap`: quotes.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use std::num::NonZeroU16;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::ProductId;
use shared::money::{Units, Won};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InQuery, parameter, success};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::quote::{Conditions, Quote, QuoteError, QuotedCombination, QuotedPart, Scrap, Surplus};
use crate::auth::Caller;
use crate::products::Sale;

/// The routes.
pub fn routes(scrap: Scrap) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(quote))
        .with_state(scrap)
}

/// The amount, and the conditions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct QuoteParameters {
    /// Gigabytes with one decimal, up to 2.
    #[param(required = true, value_type = f64, minimum = 0.1, maximum = 2.0, example = 1.5)]
    data_amount: Option<String>,
    /// True: more than the amount is acceptable, up to what may be bought this month.
    #[param(value_type = Option<bool>, default = false)]
    at_least: Option<String>,
    /// The largest number of sellers.
    #[param(value_type = Option<u16>, minimum = 1)]
    sellers: Option<String>,
}

/// A part of an offer in a combination.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScrapPart {
    #[schema(value_type = u32)]
    product_id: ProductId,
    #[schema(value_type = u32)]
    mobile_data_id: ProductId,
    /// The seller's name.
    member_name: String,
    /// URL of the seller's picture.
    profile_image_url: Option<String>,
    /// The price in won of all that is left of the offer.
    #[schema(value_type = i64)]
    price: Won,
    /// The price in won of `purchaseAmount`.
    #[schema(value_type = i64)]
    purchase_price: Won,
    /// What is left of the offer, in gigabytes.
    #[schema(value_type = f64, example = 1.5)]
    remain_amount: Units,
    /// The amount in this combination, in gigabytes.
    #[schema(value_type = f64, example = 0.5)]
    purchase_amount: Units,
    /// The price in won of 100 MB.
    #[serde(rename = "pricePer100MB")]
    #[schema(value_type = i64)]
    unit_price: Won,
    /// Whether the offer is sold in parts.
    split_type: bool,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
}

impl From<QuotedPart> for ScrapPart {
    fn from(part: QuotedPart) -> Self {
        Self {
            product_id: part.product,
            mobile_data_id: part.product,
            member_name: part.member_name,
            profile_image_url: part.member_image,
            price: part.price_of_all,
            purchase_price: part.price,
            remain_amount: part.left,
            purchase_amount: part.units,
            unit_price: part.unit_price,
            split_type: part.sale == Sale::Split,
            updated_at: part.updated_at,
        }
    }
}

/// A combination of offers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScrapCombination {
    /// A digest of products, amounts and prices.
    quote_id: String,
    /// The sum of the amounts, in gigabytes.
    #[schema(value_type = f64, example = 1.5)]
    total_amount: Units,
    /// The sum of the prices, in won.
    #[schema(value_type = i64)]
    total_price: Won,
    /// The parts by product id.
    combinations: Vec<ScrapPart>,
}

impl From<QuotedCombination> for ScrapCombination {
    fn from(found: QuotedCombination) -> Self {
        Self {
            quote_id: found.id,
            total_amount: found.units,
            total_price: found.price,
            combinations: found.parts.into_iter().map(ScrapPart::from).collect(),
        }
    }
}

/// The best combinations for an amount, as on the wire: also in the `data` of a refused purchase. Without a
/// combination the sums are 0 and the list is empty.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrapQuote {
    /// The amount of the best combination, in gigabytes.
    #[schema(value_type = f64, example = 1.5)]
    total_amount: Units,
    /// Its price in won.
    #[schema(value_type = i64)]
    total_price: Won,
    /// Its parts by product id.
    combinations: Vec<ScrapPart>,
    /// A digest of its products, amounts and prices.
    quote_id: Option<String>,
    /// The offers are valid at least until then.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    expires_at: LocalDateTime,
    /// Up to five combinations, best first.
    candidates: Vec<ScrapCombination>,
    /// The combination that the first site would have chosen.
    greedy: Option<ScrapCombination>,
    /// Without a combination: the next smaller amount that has one, in gigabytes.
    #[schema(value_type = Option<f64>)]
    nearest_below: Option<Units>,
    /// The next larger one.
    #[schema(value_type = Option<f64>)]
    nearest_above: Option<Units>,
}

impl From<Quote> for ScrapQuote {
    fn from(quote: Quote) -> Self {
        let candidates = quote.combinations.into_iter();
        let candidates: Vec<_> = candidates.map(ScrapCombination::from).collect();
        let best = candidates.first().cloned();
        let (total_amount, total_price, combinations, quote_id) = match best {
            Some(best) => {
                let id = Some(best.quote_id);
                (best.total_amount, best.total_price, best.combinations, id)
            }
            None => (Units::ZERO, Won::ZERO, Vec::new(), None),
        };
        Self {
            total_amount,
            total_price,
            combinations,
            quote_id,
            expires_at: LocalDateTime::from_unix(quote.expires_at),
            candidates,
            greedy: quote.greedy.map(ScrapCombination::from),
            nearest_below: quote.nearest.below,
            nearest_above: quote.nearest.above,
        }
    }
}

/// The cheapest combinations of others' offers for an amount of mobile data.
#[utoipa::path(
    get, path = "/api/trades/mobile-data/scrap", tag = "trades", params(QuoteParameters),
    operation_id = "scrap_quote",
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<ScrapQuote>),
        (status = 400, description = "More data than the caller may buy this month (4007), invalid \
            parameter (1006).", body = ErrorBody),
    ),
)]
async fn quote(
    State(scrap): State<Scrap>,
    caller: Caller,
    InQuery(query): InQuery<QuoteParameters>,
) -> Result<Json<Envelope<ScrapQuote>>, ApiError> {
    let units: Option<Units> = parameter(query.data_amount.as_deref())?;
    let at_least: Option<bool> = parameter(query.at_least.as_deref())?;
    let sellers_max: Option<NonZeroU16> = parameter(query.sellers.as_deref())?;
    let conditions = Conditions {
        surplus: match at_least {
            Some(true) => Surplus::Accepted,
            Some(false) | None => Surplus::Refused,
        },
        sellers_max,
    };
    let units = units.ok_or(ErrorCode::InvalidParameter)?;
    let quote = scrap.quote(caller.member, units, conditions).await?;
    Ok(success(quote.into()))
}

impl From<QuoteError> for ApiError {
    fn from(error: QuoteError) -> Self {
        match error {
            // In a query an impossible amount is an invalid parameter.
            QuoteError::Amount => ErrorCode::InvalidParameter.into(),
            QuoteError::Limit => ErrorCode::PurchaseLimit.into(),
            QuoteError::Db(error) => error.into(),
        }
    }
}
