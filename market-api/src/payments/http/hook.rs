//! The webhook: the gateway's notifications, under a path that only it knows.

use std::fmt;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use shared::config::Secret;
use shared::web::{ApiError, ErrorBody, ErrorCode, InPath};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Payments;

/// The secret part of the webhook's path.
#[derive(Clone)]
pub struct WebhookPath(pub Secret<String>);

impl fmt::Debug for WebhookPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookPath")
    }
}

/// What the route needs.
#[derive(Clone, Debug)]
struct Hook {
    payments: Payments,
    path: Option<WebhookPath>,
}

pub(super) fn routes(payments: Payments, path: Option<WebhookPath>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(notify))
        .with_state(Hook { payments, path })
}

/// Takes a notification of the payment gateway. Its contents are never believed: the order is looked up.
#[utoipa::path(
    post, path = "/hooks/toss/{secret}", tag = "payments",
    operation_id = "gateway_notification",
    params(("secret" = String, Path, description = "The secret part of the path.")),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 200, description = "Stored."),
        (status = 404, description = "Another path (1004).", body = ErrorBody),
        (status = 503, description = "Not stored: the gateway sends it again (1010, 5006).",
            body = ErrorBody),
    ),
)]
async fn notify(
    State(hook): State<Hook>,
    InPath(secret): InPath<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let is_it = hook.path.as_ref().is_some_and(|path| {
        let (ours, theirs) = (path.0.expose().as_bytes(), secret.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(ours, theirs).is_ok()
    });
    if !is_it {
        return Err(ErrorCode::RouteUnknown.into());
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::BodyTooLarge,
        _ => ErrorCode::InvalidParameter,
    })?;
    hook.payments.notify(&body).await?;
    Ok(StatusCode::OK)
}
