//! Refused purchases as answers.

use http::StatusCode;
use serde_json::json;
use shared::web::{ApiError, ErrorCode};

use super::super::{NewTerms, Outdated, PurchaseError};
use crate::bookings::{NoPlace, SlotError};
use crate::plans::BuyError;

impl From<PurchaseError> for ApiError {
    fn from(error: PurchaseError) -> Self {
        Self::from(match error {
            PurchaseError::ProductUnknown => ErrorCode::ProductUnknown,
            PurchaseError::ItemUnknown => ErrorCode::MobileDataUnknown,
            PurchaseError::SpotUnknown => ErrorCode::WifiUnknown,
            PurchaseError::Unavailable => ErrorCode::ProductUnavailable,
            PurchaseError::SoldOut => ErrorCode::SoldOut,
            PurchaseError::OwnProduct => ErrorCode::OwnProduct,
            PurchaseError::Amount => ErrorCode::DataAmount,
            PurchaseError::Remaining => ErrorCode::RemainingAmount,
            PurchaseError::NoPlace(NoPlace::Slot(SlotError::NoTime)) => ErrorCode::StartAfterEnd,
            PurchaseError::NoPlace(NoPlace::Slot(SlotError::OutsideHours)) => {
                ErrorCode::OutsideHours
            }
            PurchaseError::NoPlace(NoPlace::Full) => ErrorCode::SlotTaken,
            PurchaseError::PriceChanged(terms) => {
                return Self::from(ErrorCode::PriceChanged).with_data(data_of(&terms));
            }
            PurchaseError::Combination => ErrorCode::InvalidParameter,
            PurchaseError::QuoteOutdated(why) => {
                let code = match why {
                    Outdated::SoldOut => ErrorCode::SoldOut,
                    Outdated::Remaining => ErrorCode::RemainingAmount,
                    Outdated::Price => ErrorCode::PriceChanged,
                };
                return Self::from(code).with_status(StatusCode::CONFLICT);
            }
            PurchaseError::CashShort(_) => ErrorCode::CashShort,
            PurchaseError::Plan(BuyError::NoPlan) => ErrorCode::PlanUnknown,
            PurchaseError::Plan(BuyError::Limit) => ErrorCode::PurchaseLimit,
            PurchaseError::Idempotency(error) => return error.into(),
            PurchaseError::Db(error) => return error.into(),
        })
    }
}

/// The present terms, in the names that lists use.
fn data_of(terms: &NewTerms) -> serde_json::Value {
    match terms.units_left {
        Some(left) => json!({
            "productId": terms.product,
            "price": terms.price,
            "pricePer100MB": terms.unit_price,
            "remainAmount": left,
        }),
        None => json!({ "productId": terms.product, "price": terms.price }),
    }
}
