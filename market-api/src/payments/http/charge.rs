//! Routes of charges, as the front end calls them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::TradeId;
use shared::money::Won;
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InQuery, Page, PageParameters, done,
    success,
};
use utoipa::ToSchema;

use super::super::{Charge, ChargeAnswer, ChargeError, ChargeOrder, Payments};
use crate::auth::Caller;
use crate::gateway::{OrderId, PaymentKey};

/// An order with its amount.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderAmount {
    /// The order: 6 to 64 characters of A-Z, a-z, 0-9, `-`, `_` and `=`.
    #[schema(value_type = String, min_length = 6, max_length = 64)]
    order_id: OrderId,
    /// Won, 1 to 10,000,000.
    #[schema(value_type = i64)]
    amount: Won,
}

/// Saves an order with its amount, before the payment. Again with another amount: replaced, until the payment is
/// confirmed.
#[utoipa::path(
    post, path = "/api/payments/save-amount", tag = "payments", request_body = OrderAmount,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Saved.", body = Done),
        (status = 400, description = "Invalid amount (5002), another member's order or one that is \
            being paid (5003), invalid order (1006).", body = ErrorBody),
        (status = 429, description = "Too many orders within a day (1009).", body = ErrorBody),
    ),
)]
pub(super) async fn save_amount(
    State(payments): State<Payments>,
    caller: Caller,
    InBody(asked): InBody<OrderAmount>,
) -> Result<Json<Done>, ApiError> {
    let member = caller.member;
    payments
        .save_order(member, asked.order_id, asked.amount)
        .await?;
    Ok(done())
}

/// Verifies the amount that the payment page returned. A difference has the code 5003 with status 200.
#[utoipa::path(
    post, path = "/api/payments/verify-amount", tag = "payments", request_body = OrderAmount,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The saved amount, or 5003: unknown order, another member's, or \
            another amount.", body = Done),
        (status = 400, description = "Invalid order (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn verify_amount(
    State(payments): State<Payments>,
    caller: Caller,
    InBody(asked): InBody<OrderAmount>,
) -> Result<Json<Done>, ApiError> {
    let verified = payments
        .verify_order(caller.member, &asked.order_id, asked.amount)
        .await;
    match verified {
        // The first site's front end reads the code of a successful response.
        Err(ChargeError::Mismatch) => {
            Err(ApiError::from(ErrorCode::AmountMismatch).with_status(StatusCode::OK))
        }
        verified => Ok(verified.map(|()| done())?),
    }
}

/// A payment to confirm.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentToConfirm {
    /// The payment, from the payment page.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    payment_key: PaymentKey,
    /// The order that it pays.
    #[schema(value_type = String, min_length = 6, max_length = 64)]
    order_id: OrderId,
    /// Won.
    #[schema(value_type = i64)]
    amount: Won,
}

/// A captured charge.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Charged {
    /// The charge.
    payment_id: u32,
    /// Won.
    #[schema(value_type = i64)]
    total_amount: Won,
}

/// Confirms a payment and credits its amount. Repeated, it returns the same.
#[utoipa::path(
    post, path = "/api/payments/charge", tag = "payments", request_body = PaymentToConfirm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Charged.", body = Envelope<Charged>),
        (status = 202, description = "Not known yet (5008): it is being verified.", body = ErrorBody),
        (status = 400, description = "Declined, expired, or the payment of another order (5001); \
            unknown order, another member's, or another amount (5003); invalid body (1006).",
            body = ErrorBody),
        (status = 503, description = "Busy (5006), or without a payment gateway (1010).",
            body = ErrorBody),
    ),
)]
pub(super) async fn charge(
    State(payments): State<Payments>,
    caller: Caller,
    InBody(asked): InBody<PaymentToConfirm>,
) -> Result<Response, ApiError> {
    let order = ChargeOrder {
        member: caller.member,
        key: asked.payment_key,
        order: asked.order_id,
        amount: asked.amount,
    };
    match payments.charge(order).await? {
        ChargeAnswer::Captured { id, amount } => {
            let charged = Charged {
                payment_id: id.get(),
                total_amount: amount,
            };
            Ok(success(charged).into_response())
        }
        ChargeAnswer::BeingVerified => Err(ErrorCode::BeingVerified.into()),
    }
}

/// A charge of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChargeView {
    payment_id: u32,
    order_id: String,
    /// Won.
    #[schema(value_type = i64)]
    amount: Won,
    /// `CREATED`, `CONFIRMING`, `UNKNOWN` (both: being verified), `WAITING` (for a deposit), `CAPTURED`, `FAILED`,
    /// `EXPIRED` or `MISMATCH`.
    state: &'static str,
    /// The trade, once captured.
    #[schema(value_type = Option<u32>)]
    trade_id: Option<TradeId>,
    /// The end of the time for a deposit.
    #[schema(value_type = Option<String>, example = "2025-08-07T12:34:56.789")]
    due_at: Option<LocalDateTime>,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
}

impl From<Charge> for ChargeView {
    fn from(charge: Charge) -> Self {
        Self {
            payment_id: charge.id.get(),
            order_id: charge.order.into(),
            amount: charge.amount,
            state: charge.state.name(),
            trade_id: charge.trade,
            due_at: charge.due_at.map(LocalDateTime::from_unix),
            created_at: LocalDateTime::from_unix(charge.created_at),
        }
    }
}

/// Lists the caller's charges, newest first.
#[utoipa::path(
    get, path = "/api/payments/charges", tag = "payments", params(PageParameters),
    security(("access" = []), ("bearer" = [])),
    operation_id = "charges",
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<Page<ChargeView>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(payments): State<Payments>,
    caller: Caller,
    InQuery(asked): InQuery<PageParameters>,
) -> Result<Json<Envelope<Page<ChargeView>>>, ApiError> {
    let (size, after) = asked.parse()?;
    let charges = payments.charges(caller.member, after, size).await?;
    Ok(success(charges.into_page(
        size,
        |charge| charge.id.get(),
        ChargeView::from,
    )))
}
