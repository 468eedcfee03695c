//! What can go wrong (`domain.md` 3.6, `wire.md`).

mod codes;

use axum::response::{IntoResponse, Response};
use shared::web::{self, ErrorCode};

use crate::db::{DbError, WriteError};

/// What can go wrong. The old numbers are the first front end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiError {
    /// What both servers refuse alike.
    Web(ErrorCode),
    /// No such member.
    MemberUnknown,
    /// The member is blocked.
    MemberBlocked,
    /// No such order of a list.
    SortOption,
    /// No such kind of item.
    ItemType,
    /// No such product.
    ProductUnknown,
    /// The product is hidden or deleted.
    ProductNotValid,
    /// The product is somebody else's.
    NotMyProduct,
    /// More than may be sold in a month.
    SellLimit,
    /// No amount of data that can be sold.
    TransferAmount,
    /// The time ends before it starts.
    StartAfterEnd,
    /// The product has been deleted before.
    AlreadyDeleted,
    /// No such mobile data, or another product's.
    MobileDataUnknown,
    /// No such Wi-Fi, or another product's.
    WifiUnknown,
    /// The member has no plan.
    PlanUnknown,
    /// Not a picture that can be used.
    ImageFormat,
    /// The plan has less than that.
    PlanShort,
    /// A split offer that is partly sold cannot change.
    SplitPartlySold,
    /// No such trade.
    TradeUnknown,
    /// The trade is somebody else's.
    NotMyTrade,
    /// Nobody buys from themselves.
    OwnProduct,
    /// Nothing is left.
    SoldOut,
    /// The wallet has less than that.
    CashShort,
    /// Less is left than that.
    RemainingAmount,
    /// The spot is closed then.
    OutsideHours,
    /// More than may be bought in a month.
    PurchaseLimit,
    /// Another price than the one that was shown.
    PriceChanged,
    /// The spot is full then.
    SlotTaken,
    /// The payment was refused.
    ApprovalFailed,
    /// No amount that can be charged.
    AmountInvalid,
    /// Another amount than the order's.
    AmountMismatch,
    /// No name that a request can have.
    RequestIdInvalid,
    /// The name was used for another request.
    RequestRepeated,
    /// Too much at once; nothing was done.
    Busy,
    /// No amount that can be paid out.
    CashAmount,
    /// The outcome is not known yet.
    BeingVerified,
    /// The key was used with another request.
    KeyReused,
    /// The request with this key still runs.
    KeyRunning,
    /// Nobody reviews themselves.
    SelfReview,
    /// The review is somebody else's.
    NotMyReview,
    /// No such review.
    ReviewUnknown,
    /// Reported before.
    ReportRepeated,
    /// Nobody reports themselves.
    SelfReport,
    /// Nobody chats with themselves.
    ChatOwnProduct,
    /// The chat server does not answer now.
    ChatUnavailable,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        web::ApiError::from(self.code()).into_response()
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::Web(code)
    }
}

/// Logs what a person must look at: the client is told little.
impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy => Self::Busy,
            DbError::Unavailable(_) => {
                tracing::warn!("{error}");
                Self::Web(ErrorCode::Unavailable)
            }
            DbError::Defect(_) => {
                tracing::error!("{error}");
                Self::Web(ErrorCode::Internal)
            }
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl<E: Into<ApiError>> From<WriteError<E>> for ApiError {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Refused(refusal) => refusal.into(),
            WriteError::Db(error) => error.into(),
        }
    }
}
