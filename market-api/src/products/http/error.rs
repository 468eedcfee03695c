//! The errors of offers and lists as answers.

use shared::web::{ApiError, ErrorCode};

use super::super::{FormError, Kind, ListError, OfferError, SellingError};

impl From<FormError> for ApiError {
    fn from(error: FormError) -> Self {
        Self::from(match error {
            FormError::Value => ErrorCode::InvalidParameter,
            FormError::Kind => ErrorCode::ProductTypeUnknown,
            FormError::StartAfterEnd => ErrorCode::StartAfterEnd,
            FormError::Image => ErrorCode::ImageFormat,
            FormError::Amount => ErrorCode::DataAmount,
            FormError::SellLimit => ErrorCode::SellLimit,
        })
    }
}

impl From<OfferError> for ApiError {
    fn from(error: OfferError) -> Self {
        Self::from(match error {
            OfferError::Unknown => ErrorCode::ProductUnknown,
            OfferError::NotOfKind(Kind::MobileData) => ErrorCode::MobileDataUnknown,
            OfferError::NotOfKind(Kind::Wifi | Kind::Hotspot) => ErrorCode::WifiUnknown,
            OfferError::NotMine => ErrorCode::NotMyProduct,
            OfferError::Unavailable => ErrorCode::ProductUnavailable,
            OfferError::AlreadyDeleted => ErrorCode::AlreadyDeleted,
            OfferError::PartlySold => ErrorCode::SplitPartlySold,
            OfferError::NoPlan => ErrorCode::PlanUnknown,
            OfferError::SellLimit => ErrorCode::SellLimit,
            OfferError::PlanShort => ErrorCode::PlanShort,
            OfferError::AccountClosed => ErrorCode::TokenInvalid,
            OfferError::Db(error) => return error.into(),
        })
    }
}

impl From<ListError> for ApiError {
    fn from(error: ListError) -> Self {
        Self::from(match error {
            ListError::Sort => ErrorCode::SortOptionUnknown,
            ListError::Cursor | ListError::Position => ErrorCode::InvalidParameter,
            ListError::Db(error) => return error.into(),
        })
    }
}

impl From<SellingError> for ApiError {
    fn from(error: SellingError) -> Self {
        Self::from(match error {
            SellingError::Forbidden => ErrorCode::Forbidden,
            SellingError::MemberUnknown => ErrorCode::MemberUnknown,
            SellingError::Db(error) => return error.into(),
        })
    }
}
