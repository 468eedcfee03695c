//! Refused payments as answers.

use shared::web::{ApiError, ErrorCode};

use super::super::{ChargeError, RefundError};

impl From<ChargeError> for ApiError {
    fn from(error: ChargeError) -> Self {
        Self::from(match error {
            ChargeError::Amount => ErrorCode::ChargeAmount,
            ChargeError::Mismatch => ErrorCode::AmountMismatch,
            ChargeError::Declined => ErrorCode::PaymentDeclined,
            ChargeError::TooMany => ErrorCode::TooManyRequests,
            ChargeError::Busy => ErrorCode::Busy,
            ChargeError::NoGateway => ErrorCode::Unavailable,
            ChargeError::Db(error) => return error.into(),
        })
    }
}

impl From<RefundError> for ApiError {
    fn from(error: RefundError) -> Self {
        Self::from(match error {
            RefundError::RequestId => ErrorCode::RequestIdInvalid,
            RefundError::Repeated => ErrorCode::RequestRepeated,
            RefundError::Amount => ErrorCode::RefundAmount,
            RefundError::TooMany => ErrorCode::TooManyRequests,
            RefundError::NoGateway => ErrorCode::Unavailable,
            RefundError::Db(error) => return error.into(),
        })
    }
}
