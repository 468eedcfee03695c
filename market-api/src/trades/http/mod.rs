//! Routes of purchases, histories and market prices.

mod error;
mod history;
mod price;
mod purchase;
mod scrap;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Trades;

/// The routes.
pub fn routes(trades: Trades) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(price::market_price))
        .routes(routes!(purchase::buy_data))
        .routes(routes!(scrap::buy_scrap))
        .routes(routes!(history::purchases))
        .routes(routes!(history::cash))
        .with_state(trades)
}
