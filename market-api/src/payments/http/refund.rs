//! Routes of refunds.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::TradeId;
use shared::money::Won;
use shared::web::{ApiError, Envelope, ErrorBody, InBody, InQuery, Page, PageParameters, success};
use utoipa::ToSchema;

use super::super::{Payments, RefundOrder, RefundSummary, RequestId};
use crate::auth::Caller;

/// A refund.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefundWanted {
    /// The client's own id of the request, used once: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    request_id: String,
    /// Won, 1 to the caller's cash.
    #[schema(value_type = i64)]
    refund_amount: Won,
}

/// An accepted refund.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refunded {
    /// Won that left the wallet.
    #[schema(value_type = i64)]
    refund_price: Won,
    /// The caller's cash afterwards.
    #[schema(value_type = i64)]
    remain_cash: Won,
}

/// Accepts a refund of cash: what was charged goes back to the means of payment, what was earned to the bank account.
/// Accepted is not yet paid. The same request again returns the same.
#[utoipa::path(
    post, path = "/api/payments/refund", tag = "payments", request_body = RefundWanted,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Accepted.", body = Envelope<Refunded>),
        (status = 400, description = "Invalid request id (5004), used with another amount (5005), an amount \
            below 1 or above the caller's cash (5007), invalid body (1006).", body = ErrorBody),
        (status = 429, description = "Too many refunds within a day (1009).", body = ErrorBody),
        (status = 503, description = "Without a payment gateway (1010).", body = ErrorBody),
    ),
)]
pub(super) async fn refund(
    State(payments): State<Payments>,
    caller: Caller,
    InBody(wanted): InBody<RefundWanted>,
) -> Result<Json<Envelope<Refunded>>, ApiError> {
    let order = RefundOrder {
        member: caller.member,
        request: RequestId::try_from(wanted.request_id)?,
        amount: wanted.refund_amount,
    };
    let accepted = payments.refund(order).await?;
    Ok(success(Refunded {
        refund_price: accepted.amount,
        remain_cash: accepted.remain,
    }))
}

/// A refund of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefundView {
    refund_id: u32,
    request_id: String,
    /// Won that left the wallet.
    #[schema(value_type = i64)]
    amount: Won,
    /// Of it, given back to the means of payment.
    #[schema(value_type = i64)]
    canceled: Won,
    /// Of it, paid out to the bank account.
    #[schema(value_type = i64)]
    paid_out: Won,
    /// Of it, back in the wallet, because it could not be paid.
    #[schema(value_type = i64)]
    returned: Won,
    /// Of it, sent without a certain answer: it is being verified.
    #[schema(value_type = i64)]
    verifying: Won,
    /// `OPEN` (a part is on its way) or `DONE`.
    state: &'static str,
    /// The trade.
    #[schema(value_type = u32)]
    trade_id: TradeId,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
}

impl From<RefundSummary> for RefundView {
    fn from(refund: RefundSummary) -> Self {
        Self {
            refund_id: refund.id.get(),
            request_id: refund.request,
            amount: refund.amount,
            canceled: refund.canceled,
            paid_out: refund.paid_out,
            returned: refund.returned,
            verifying: refund.verifying,
            state: refund.state.name(),
            trade_id: refund.trade,
            created_at: LocalDateTime::from_unix(refund.created_at),
        }
    }
}

/// Lists the caller's refunds, newest first.
#[utoipa::path(
    get, path = "/api/payments/refunds", tag = "payments", params(PageParameters),
    security(("access" = []), ("bearer" = [])),
    operation_id = "refunds",
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<Page<RefundView>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(payments): State<Payments>,
    caller: Caller,
    InQuery(asked): InQuery<PageParameters>,
) -> Result<Json<Envelope<Page<RefundView>>>, ApiError> {
    let (size, after) = asked.parse()?;
    let refunds = payments.refunds(caller.member, after, size).await?;
    Ok(success(refunds.into_page(
        size,
        |refund| refund.id.get(),
        RefundView::from,
    )))
}
