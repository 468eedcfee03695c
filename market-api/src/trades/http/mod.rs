//! Routes of purchases and market prices.

mod error;
mod price;
mod purchase;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Trades;

/// The routes.
pub fn routes(trades: Trades) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(price::market_price))
        .routes(routes!(purchase::buy_data))
        .with_state(trades)
}
