//! The route of receipts.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::clock::LocalDateTime;
use shared::ids::{ProductId, TradeId};
use shared::money::{Units, Won};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InPath, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Receipt, Receipts};
use crate::auth::Caller;
use crate::db::DbError;
use crate::payments::{ChargeRecord, LegRecord, RefundRecord};
use crate::trades::{Classification, TradeLine, TradeRecord};

/// The route.
pub fn routes(receipts: Receipts) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(receipt))
        .with_state(receipts)
}

/// A receipt. Amounts are won, without a sign.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReceiptView {
    /// The number on the document.
    #[schema(example = "20250807-000123")]
    number: String,
    /// `PURCHASE`, `SALE`, `CHARGE` or `REFUND`.
    kind: &'static str,
    #[schema(value_type = u32)]
    trade_id: TradeId,
    trade_type: &'static str,
    /// When this receipt was made: a refund may change after it.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    issued_at: LocalDateTime,
    /// When the trade was made.
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    /// The caller.
    member: ReceiptMember,
    /// The seller of a purchase from one member, or the buyer of a sale.
    #[schema(required = true)]
    counterparty: Option<ReceiptMember>,
    /// The offers of a purchase or a sale; empty for a charge or a refund.
    lines: Vec<ReceiptLine>,
    /// What the caller's cash changed by: a sale's price less the fee, a refund less what came back.
    #[schema(value_type = i64)]
    total: Won,
    /// The fee of a sale; null for others.
    #[schema(required = true, value_type = Option<i64>)]
    fee: Option<Won>,
    /// Where a purchase was paid from; null for others.
    #[schema(required = true)]
    paid_from: Option<PaidFrom>,
    /// Null for others than charges.
    #[schema(required = true)]
    charge: Option<ReceiptCharge>,
    /// Null for others than refunds, and for a charge that was cancelled at the gateway.
    #[schema(required = true)]
    refund: Option<ReceiptRefund>,
}

/// A member's name as it is now.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct ReceiptMember {
    name: String,
}

/// An offer in a trade.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReceiptLine {
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// The seller's name.
    member_name: String,
    /// The spot's title; null for data.
    #[schema(required = true)]
    title: Option<String>,
    /// Gigabytes; null for time.
    #[schema(required = true, value_type = Option<f64>, example = 1.5)]
    data_amount: Option<Units>,
    /// Minutes; null for data.
    #[schema(required = true)]
    time_amount: Option<u32>,
    /// When the time starts; null for data.
    #[schema(required = true, value_type = Option<String>, example = "2025-08-07T12:30:00.000")]
    start_time: Option<LocalDateTime>,
    /// When it ends; null for data.
    #[schema(required = true, value_type = Option<String>, example = "2025-08-07T13:00:00.000")]
    end_time: Option<LocalDateTime>,
    #[schema(value_type = i64)]
    price: Won,
}

impl From<TradeLine> for ReceiptLine {
    fn from(line: TradeLine) -> Self {
        Self {
            product_id: line.product,
            member_name: line.seller,
            title: line.title,
            data_amount: line.units,
            time_amount: line.minutes,
            start_time: line.time.map(|(start, _)| start),
            end_time: line.time.map(|(_, end)| end),
            price: line.price,
        }
    }
}

/// The parts of a price by where the cash came from.
#[derive(Debug, Serialize, ToSchema)]
struct PaidFrom {
    /// Charged.
    #[schema(value_type = i64)]
    charged: Won,
    /// Earned by sales.
    #[schema(value_type = i64)]
    earned: Won,
}

/// The payment of a charge.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReceiptCharge {
    payment_id: u32,
    /// The order at the gateway.
    order_id: String,
    /// How it was paid, in the gateway's words.
    #[schema(required = true)]
    method: Option<String>,
    /// When it was captured.
    #[schema(required = true, value_type = Option<String>, example = "2025-08-07T12:34:56.789")]
    approved_at: Option<LocalDateTime>,
    /// The gateway's own receipt, an https URL.
    #[schema(required = true)]
    receipt_url: Option<String>,
    /// Given back of it since.
    #[schema(value_type = i64)]
    canceled: Won,
}

impl From<ChargeRecord> for ReceiptCharge {
    fn from(charge: ChargeRecord) -> Self {
        let is_https = |url: &String| url.starts_with("https://");
        Self {
            payment_id: charge.id,
            order_id: charge.order,
            method: charge.method,
            approved_at: charge.approved_at,
            receipt_url: charge.receipt_url.filter(is_https),
            canceled: charge.canceled,
        }
    }
}

/// What became of a refund.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReceiptRefund {
    refund_id: u32,
    #[schema(value_type = i64)]
    requested: Won,
    /// What came back to the caller's cash.
    #[schema(value_type = i64)]
    returned: Won,
    /// What is paid so far; the rest is on its way while the state is `OPEN`.
    #[schema(value_type = i64)]
    paid: Won,
    /// `OPEN` or `DONE`.
    state: &'static str,
    /// Its parts.
    legs: Vec<ReceiptLeg>,
}

/// A part of a refund.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptLeg {
    /// `CANCEL` of a charge, or `PAYOUT` to the bank account.
    kind: String,
    #[schema(value_type = i64)]
    amount: Won,
    /// `READY`, `UNKNOWN`, `DONE` or `REFUSED`.
    state: String,
}

impl From<LegRecord> for ReceiptLeg {
    fn from(leg: LegRecord) -> Self {
        Self {
            kind: leg.kind,
            amount: leg.amount,
            state: leg.state,
        }
    }
}

impl ReceiptRefund {
    fn of(refund: RefundRecord) -> Result<Self, DbError> {
        let done = refund.legs.iter().filter(|leg| leg.state == "DONE");
        let paid = Won::checked_sum(done.map(|leg| leg.amount));
        Ok(Self {
            refund_id: refund.id,
            requested: refund.requested,
            returned: refund.returned,
            paid: paid.ok_or_else(|| DbError::Defect("the legs of a refund".to_owned()))?,
            state: if refund.is_done { "DONE" } else { "OPEN" },
            legs: refund.legs.into_iter().map(ReceiptLeg::from).collect(),
        })
    }
}

impl ReceiptView {
    fn of(receipt: Receipt) -> Result<Self, DbError> {
        let total = receipt.total();
        let (number, issued_at) = (receipt.number(), receipt.issued_at);
        let classification = receipt.trade.kind.classification();
        let counterparty = counterparty(&receipt.trade);
        let trade = receipt.trade;
        let is_split_known = Some(trade.price) == trade.paid.charged.checked_add(trade.paid.earned);
        let is_purchase = classification == Classification::Purchase;
        Ok(Self {
            number,
            kind: word_of(classification),
            trade_id: trade.trade,
            trade_type: trade.kind.name(),
            issued_at,
            created_at: trade.created_at,
            member: ReceiptMember { name: trade.member },
            counterparty,
            lines: trade.lines.into_iter().map(ReceiptLine::from).collect(),
            total: total.ok_or_else(|| DbError::Defect("the total of a receipt".to_owned()))?,
            fee: (classification == Classification::Sale).then_some(trade.fee),
            paid_from: (is_purchase && is_split_known).then_some(PaidFrom {
                charged: trade.paid.charged,
                earned: trade.paid.earned,
            }),
            charge: receipt.charge.map(ReceiptCharge::from),
            refund: receipt.refund.map(ReceiptRefund::of).transpose()?,
        })
    }
}

/// The other side, where it is one member.
fn counterparty(trade: &TradeRecord) -> Option<ReceiptMember> {
    let mut sellers = trade.lines.iter().map(|line| &line.seller);
    let name = match trade.kind.classification() {
        Classification::Sale => trade.buyer.clone()?,
        Classification::Purchase => {
            let first = sellers.next()?;
            sellers.all(|other| other == first).then(|| first.clone())?
        }
        Classification::Charge | Classification::Refund => return None,
    };
    Some(ReceiptMember { name })
}

const fn word_of(classification: Classification) -> &'static str {
    match classification {
        Classification::Purchase => "PURCHASE",
        Classification::Sale => "SALE",
        Classification::Charge => "CHARGE",
        Classification::Refund => "REFUND",
    }
}

/// The receipt of a trade of the caller.
#[utoipa::path(
    get, path = "/api/trades/{id}/receipt", tag = "trades",
    params(("id" = u32, Path, description = "The trade", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<ReceiptView>),
        (status = 400, description = "No such trade of the caller (4000), invalid trade id (1006).",
            body = ErrorBody),
    ),
)]
async fn receipt(
    State(receipts): State<Receipts>,
    caller: Caller,
    InPath(trade): InPath<TradeId>,
) -> Result<Json<Envelope<ReceiptView>>, ApiError> {
    let receipt = receipts.of(caller.member, trade).await?;
    let receipt = receipt.ok_or(ErrorCode::TradeUnknown)?;
    Ok(success(ReceiptView::of(receipt)?))
}
