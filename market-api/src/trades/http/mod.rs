//! Routes of purchases, histories and market prices.

mod error;
mod history;
mod price;
mod purchase;
mod scrap;
mod spot;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Trades;

/// The routes.
pub fn routes(trades: Trades) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(price::market_price))
        .routes(routes!(purchase::buy_data))
        .routes(routes!(scrap::buy_scrap))
        .routes(routes!(spot::buy_wifi))
        .routes(routes!(spot::buy_hotspot))
        .routes(routes!(history::purchases))
        .routes(routes!(history::cash))
        .with_state(trades)
}
