//! The code of each error.

use shared::web::ErrorCode;

use super::ApiError;

impl ApiError {
    /// The site's code.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Web(code) => code,
            Self::MemberUnknown => ErrorCode::MemberUnknown,
            Self::MemberBlocked => ErrorCode::MemberBlocked,
            Self::SortOption => ErrorCode::SortOptionUnknown,
            Self::ItemType => ErrorCode::ProductTypeUnknown,
            Self::ProductUnknown => ErrorCode::ProductUnknown,
            Self::ProductNotValid => ErrorCode::ProductUnavailable,
            Self::NotMyProduct => ErrorCode::NotMyProduct,
            Self::SellLimit => ErrorCode::SellLimit,
            Self::TransferAmount => ErrorCode::DataAmount,
            Self::StartAfterEnd => ErrorCode::StartAfterEnd,
            Self::AlreadyDeleted => ErrorCode::AlreadyDeleted,
            Self::MobileDataUnknown => ErrorCode::MobileDataUnknown,
            Self::WifiUnknown => ErrorCode::WifiUnknown,
            Self::PlanUnknown => ErrorCode::PlanUnknown,
            Self::ImageFormat => ErrorCode::ImageFormat,
            Self::PlanShort => ErrorCode::PlanShort,
            Self::SplitPartlySold => ErrorCode::SplitPartlySold,
            Self::TradeUnknown => ErrorCode::TradeUnknown,
            Self::NotMyTrade => ErrorCode::NotMyTrade,
            Self::OwnProduct => ErrorCode::OwnProduct,
            Self::SoldOut => ErrorCode::SoldOut,
            Self::CashShort => ErrorCode::CashShort,
            Self::RemainingAmount => ErrorCode::RemainingAmount,
            Self::OutsideHours => ErrorCode::OutsideHours,
            Self::PurchaseLimit => ErrorCode::PurchaseLimit,
            Self::PriceChanged => ErrorCode::PriceChanged,
            Self::SlotTaken => ErrorCode::SlotTaken,
            Self::ApprovalFailed => ErrorCode::PaymentDeclined,
            Self::AmountInvalid => ErrorCode::ChargeAmount,
            Self::AmountMismatch => ErrorCode::AmountMismatch,
            Self::RequestIdInvalid => ErrorCode::RequestIdInvalid,
            Self::RequestRepeated => ErrorCode::RequestRepeated,
            Self::Busy => ErrorCode::Busy,
            Self::CashAmount => ErrorCode::RefundAmount,
            Self::BeingVerified => ErrorCode::BeingVerified,
            Self::KeyReused => ErrorCode::KeyReused,
            Self::KeyRunning => ErrorCode::KeyRunning,
            Self::SelfReview => ErrorCode::SelfReview,
            Self::NotMyReview => ErrorCode::NotMyReview,
            Self::ReviewUnknown => ErrorCode::ReviewUnknown,
            Self::ReportRepeated => ErrorCode::ReportRepeated,
            Self::SelfReport => ErrorCode::SelfReport,
            Self::ChatOwnProduct => ErrorCode::ChatOwnProduct,
            Self::ChatUnavailable => ErrorCode::Unavailable,
        }
    }
}
