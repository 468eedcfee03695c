//! The error of a request: what every handler returns, in the envelope.
//!
//! Domain functions have errors of their own; the HTTP module of a domain maps them to this one, by
//! `impl From<OfferError> for ApiError`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::codes::ErrorCode;

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error code; clients decide by it.
    #[schema(example = 1006)]
    code: u16,
    /// A text to display, in the language of the request.
    message: &'static str,
    /// Details on some routes, such as a new quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    data: Option<Value>,
}

/// The error of a request: a code of the site, with its default status unless a route gives
/// another, and data where the client needs some to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    data: Option<Value>,
}

impl ApiError {
    /// The same error with another status than the code's default.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same error with data, such as a new quote.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body in Korean.
    #[must_use]
    pub fn korean_body(&self) -> ErrorBody {
        self.body(self.code.korean())
    }

    /// The body in English.
    #[must_use]
    pub fn english_body(&self) -> ErrorBody {
        self.body(self.code.english())
    }

    /// The error for a status that a framework or hyper chose; the status stays.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self::from(ErrorCode::of_status(status)).with_status(status)
    }

    fn body(&self, message: &'static str) -> ErrorBody {
        ErrorBody {
            code: self.code.number(),
            message,
            data: self.data.clone(),
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self {
            status: code.status(),
            code,
            data: None,
        }
    }
}

/// In Korean. The error is among the response's extensions: the layer that knows the reader's
/// language replaces the body.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.korean_body())).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for ErrorCode {
    fn into_response(self) -> Response {
        ApiError::from(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn check(error: ApiError, status: u16, expected: Value) {
        let response = error.into_response();
        assert_eq!(response.status(), status);
        let body = to_bytes(response.into_body(), 1_024).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn error_is_rendered_with_its_status_and_data() {
        let text = ErrorCode::SoldOut.korean();
        let expected = json!({ "code": 4003, "message": text });
        check(ErrorCode::SoldOut.into(), 400, expected).await;
        let quote = json!({ "price": 1_200 });
        let conflict = ApiError::from(ErrorCode::SoldOut)
            .with_status(StatusCode::CONFLICT)
            .with_data(quote.clone());
        let expected = json!({ "code": 4003, "message": text, "data": quote });
        check(conflict, 409, expected).await;
    }
}
