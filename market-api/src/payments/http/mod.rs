//! Routes of payments.

mod charge;
mod error;
mod hook;
mod refund;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Payments;

pub use hook::WebhookPath;

/// The routes. Without the secret part of the webhook's path there is no webhook.
pub fn routes(payments: Payments, webhook: Option<WebhookPath>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(charge::save_amount))
        .routes(routes!(charge::verify_amount))
        .routes(routes!(charge::charge))
        .routes(routes!(charge::list))
        .routes(routes!(refund::refund))
        .routes(routes!(refund::list))
        .with_state(payments.clone())
        .merge(hook::routes(payments, webhook))
}
