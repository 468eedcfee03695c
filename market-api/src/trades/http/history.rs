//! Routes of histories.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::{LocalDateTime, Month};
use shared::ids::TradeId;
use shared::money::{Units, Won};
use shared::web::{
    ApiError, Envelope, ErrorBody, ErrorCode, InQuery, Page, PageParameters, PageSize, cursor,
    parameter, success,
};
use utoipa::{IntoParams, ToSchema};

use super::super::{
    CashRow, Classification, HistoryQuery, MonthTotals, PurchaseRow, TradeKind, Trades,
};
use crate::auth::Caller;
use crate::db::DbError;

/// A page of a month's trades.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct CashParameters {
    /// The year, in Seoul.
    #[param(required = true, value_type = u64, minimum = 1970, maximum = 9999)]
    year: Option<String>,
    /// The month, in Seoul.
    #[param(required = true, value_type = u64, minimum = 1, maximum = 12)]
    month: Option<String>,
    /// Rows of the page; more than 100 counts as 100.
    #[param(value_type = Option<u64>, minimum = 1, default = 2)]
    size: Option<String>,
    /// `nextCursorId` of the previous page. 0: the first page.
    #[param(value_type = Option<u64>)]
    cursor_id: Option<String>,
}

/// The caller's purchases.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurchaseHistory {
    /// Purchases on all pages.
    trade_count: u64,
    /// A page of them, newest first.
    trades: Page<PurchaseView>,
}

/// A purchase.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurchaseView {
    #[schema(value_type = u32)]
    trade_id: TradeId,
    trade_type: &'static str,
    /// Gigabytes; 0 for time.
    #[schema(value_type = f64, example = 1.5)]
    data_amount: Units,
    /// Minutes; 0 for data.
    time_amount: u32,
    /// The spot's title; empty for data.
    title: String,
    /// The spot's first picture.
    #[schema(required = true)]
    product_image_url: Option<String>,
    /// Whether the caller has reviewed it.
    reviewed: bool,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
}

impl From<PurchaseRow> for PurchaseView {
    fn from(row: PurchaseRow) -> Self {
        Self {
            trade_id: row.trade,
            trade_type: row.kind.name(),
            data_amount: row.units.unwrap_or(Units::ZERO),
            time_amount: row.minutes.unwrap_or(0),
            title: row.title.unwrap_or_default(),
            product_image_url: row.image,
            reviewed: row.is_reviewed,
            created_at: row.created_at,
        }
    }
}

/// Lists the caller's purchases.
#[utoipa::path(
    get, path = "/api/trades/purchase-history", tag = "trades", params(PageParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<PurchaseHistory>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn purchases(
    State(trades): State<Trades>,
    caller: Caller,
    InQuery(asked): InQuery<PageParameters>,
) -> Result<Json<Envelope<PurchaseHistory>>, ApiError> {
    let (size, after) = asked.parse()?;
    let query = HistoryQuery {
        member: caller.member,
        size,
        after,
    };
    let trade_count = trades.histories().purchase_count(caller.member).await?;
    let found = trades.histories().purchases(&query).await?;
    let trades = found.into_page(size, |row| row.trade.get(), PurchaseView::from);
    Ok(success(PurchaseHistory {
        trade_count,
        trades,
    }))
}

/// The caller's cash in a month.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CashHistory {
    cash_history_monthly_summary: MonthlySummary,
    /// A page of the month's trades, newest first.
    cash_history_summary: Page<CashView>,
}

/// The sums of a month, in won.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MonthlySummary {
    /// Paid for purchases.
    #[schema(value_type = i64)]
    total_purchase: Won,
    /// Received for sales.
    #[schema(value_type = i64)]
    total_selling: Won,
    #[schema(value_type = i64)]
    total_charge: Won,
    #[schema(value_type = i64)]
    total_refund: Won,
    /// Charges and sales, less purchases and refunds.
    #[schema(value_type = i64)]
    total: Won,
}

impl MonthlySummary {
    fn of(totals: &MonthTotals) -> Result<Self, DbError> {
        let total = totals.total();
        Ok(Self {
            total_purchase: totals.purchase,
            total_selling: totals.selling,
            total_charge: totals.charge,
            total_refund: totals.refund,
            total: total.ok_or_else(|| DbError::Defect("the sums of a month".to_owned()))?,
        })
    }
}

/// A trade of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CashView {
    #[schema(value_type = u32)]
    trade_id: TradeId,
    trade_type: &'static str,
    /// Won, without a sign; a sale's price less the fee.
    #[schema(value_type = i64)]
    price: Won,
    /// A short label in Korean.
    description: String,
    /// 구매, 판매, 충전 or 출금.
    classification: &'static str,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
}

impl From<CashRow> for CashView {
    fn from(row: CashRow) -> Self {
        Self {
            trade_id: row.trade,
            trade_type: row.kind.name(),
            price: row.amount,
            description: description(&row),
            classification: word_of(row.kind.classification()),
            created_at: row.created_at,
        }
    }
}

/// The front end's four words.
const fn word_of(classification: Classification) -> &'static str {
    match classification {
        Classification::Purchase => "구매",
        Classification::Sale => "판매",
        Classification::Charge => "충전",
        Classification::Refund => "출금",
    }
}

fn description(row: &CashRow) -> String {
    let what = match row.kind {
        TradeKind::PurchaseSingle | TradeKind::SaleData => "데이터",
        TradeKind::PurchaseComposite => "자투리 데이터",
        TradeKind::PurchaseWifi | TradeKind::SaleWifi => "와이파이",
        TradeKind::PurchaseHotspot | TradeKind::SaleHotspot => "핫스팟",
        TradeKind::Charge | TradeKind::Refund => "캐시",
    };
    let word = word_of(row.kind.classification());
    match (row.units, row.minutes) {
        (Some(units), _) => format!("{what} {units}GB {word}"),
        (None, Some(minutes)) => format!("{what} {minutes}분 {word}"),
        (None, None) => format!("{what} {word}"),
    }
}

/// Lists what moved the caller's cash in a month, with the month's sums.
#[utoipa::path(
    get, path = "/api/trades/cash-history", tag = "trades", params(CashParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<CashHistory>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn cash(
    State(trades): State<Trades>,
    caller: Caller,
    InQuery(asked): InQuery<CashParameters>,
) -> Result<Json<Envelope<CashHistory>>, ApiError> {
    let month = month(&asked)?;
    let size = PageSize::parse(asked.size.as_deref(), PageSize::LIST)?;
    let query = HistoryQuery {
        member: caller.member,
        size,
        after: cursor(asked.cursor_id.as_deref())?,
    };
    let totals = trades
        .histories()
        .month_totals(caller.member, month)
        .await?;
    let found = trades.histories().cash_rows(&query, month).await?;
    Ok(success(CashHistory {
        cash_history_monthly_summary: MonthlySummary::of(&totals)?,
        cash_history_summary: found.into_page(size, |row| row.trade.get(), CashView::from),
    }))
}

fn month(asked: &CashParameters) -> Result<Month, ErrorCode> {
    let year: Option<u16> = parameter(asked.year.as_deref())?;
    let month: Option<u16> = parameter(asked.month.as_deref())?;
    let (Some(year), Some(month @ 1..=12)) = (year, month) else {
        return Err(ErrorCode::InvalidParameter);
    };
    let number = i64::from(year) * 100 + i64::from(month);
    Month::try_from(number).map_err(|_invalid| ErrorCode::InvalidParameter)
}
