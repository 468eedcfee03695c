//! Routes of payments.

mod charge;
mod checkout;
mod error;
mod hook;
mod refund;

use reqwest::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Payments;

pub use hook::WebhookPath;

/// The routes. Without the secret part of the webhook's path there is no webhook. `pay_page`: where members pay, for
/// pages without the gateway's widget.
pub fn routes(
    payments: Payments,
    webhook: Option<WebhookPath>,
    pay_page: Option<Url>,
) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(charge::save_amount))
        .routes(routes!(charge::verify_amount))
        .routes(routes!(charge::charge))
        .routes(routes!(charge::list))
        .routes(routes!(refund::refund))
        .routes(routes!(refund::list))
        .with_state(payments.clone())
        .merge(checkout::routes(payments.clone(), pay_page))
        .merge(hook::routes(payments, webhook))
}
