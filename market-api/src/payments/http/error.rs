//! Refused payments as answers.

use shared::web::{ApiError, ErrorCode};

use super::super::ChargeError;

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
