//! What a page has to know before a charge.

use axum::Json;
use axum::extract::State;
use reqwest::Url;
use serde::Serialize;
use shared::web::{Envelope, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::{GatewayState, Payments};
use crate::auth::Caller;

/// What the route needs.
#[derive(Clone, Debug)]
struct Checkout {
    payments: Payments,
    pay_page: Option<Url>,
}

pub(super) fn routes(payments: Payments, pay_page: Option<Url>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(checkout))
        .with_state(Checkout { payments, pay_page })
}

/// How members pay on this site.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckoutView {
    /// False: this server has no payment gateway, and charges answer 503 (1010).
    available: bool,
    /// The page to which a browser goes with `orderId`, `orderName`, `amount`, `successUrl` and `failUrl` in the
    /// query. `null`: the front end shows the widget of the payment gateway.
    pay_page: Option<String>,
}

/// How members pay on this site: whether charges are possible, and the page for payments, if there is one.
#[utoipa::path(
    get, path = "/api/payments/checkout", tag = "payments",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "OK.", body = Envelope<CheckoutView>)),
)]
async fn checkout(State(checkout): State<Checkout>, _: Caller) -> Json<Envelope<CheckoutView>> {
    success(CheckoutView {
        available: checkout.payments.gateway_status().get() != GatewayState::Missing,
        pay_page: checkout.pay_page.map(String::from),
    })
}
