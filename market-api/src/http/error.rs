//! Database errors as answers. The errors of a domain become answers in its `http.rs`.

use shared::web::{ApiError, ErrorCode};

use crate::db::DbError;

/// The code of a database error. Its text stays in the log.
#[must_use]
pub const fn db_code(error: &DbError) -> ErrorCode {
    match error {
        DbError::Busy => ErrorCode::Busy,
        DbError::Unavailable(_) => ErrorCode::Unavailable,
        DbError::Defect(_) => ErrorCode::Internal,
    }
}

/// Logs a database error: as an error where a person must look.
pub fn log_db_error(error: &DbError) {
    match error {
        DbError::Busy => tracing::debug!("{error}"),
        DbError::Unavailable(_) => tracing::warn!("{error}"),
        DbError::Defect(_) => tracing::error!("{error}"),
    }
}

/// Logs the error.
impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        log_db_error(&error);
        db_code(&error).into()
    }
}
