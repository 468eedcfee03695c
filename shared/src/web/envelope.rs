//! The JSON envelope of every response, and the errors that both servers have.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The message of every success; the front end reads the code only.
const DONE: &str = "요청을 처리했습니다.";

/// A success.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// For people.
    message: &'static str,
    /// What was asked for.
    data: T,
}

/// A success that has nothing to give.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// For people.
    message: &'static str,
}

/// A failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureBody {
    /// What went wrong, for programs.
    #[schema(example = 1006)]
    code: u16,
    /// What went wrong, for people.
    message: &'static str,
    /// What to do instead, where there is something: a new quote, for example.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    data: Option<Value>,
}

impl FailureBody {
    /// The body of an error, in Korean.
    pub(super) fn of(row: Row) -> Self {
        Told { row, data: None }.body(row.ko)
    }
}

/// `data` in its envelope.
pub fn success<T>(data: T) -> Json<Envelope<T>> {
    Json(Envelope {
        code: 0,
        message: DONE,
        data,
    })
}

/// The envelope without data.
pub fn done() -> Json<Done> {
    Json(Done {
        code: 0,
        message: DONE,
    })
}

/// A row of the error table: status, code and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The HTTP status.
    pub status: StatusCode,
    /// The site's own number.
    pub code: u16,
    /// In Korean.
    pub ko: &'static str,
    /// In English.
    pub en: &'static str,
}

/// The error of a response, among its extensions: the layer that knows the reader's language
/// replaces the text.
#[derive(Clone, Debug)]
pub struct Told {
    row: Row,
    data: Option<Value>,
}

impl Told {
    /// The row of the error.
    #[must_use]
    pub fn row(&self) -> Row {
        self.row
    }

    /// The body of the error in English.
    #[must_use]
    pub fn in_english(&self) -> FailureBody {
        self.body(self.row.en)
    }

    fn body(&self, message: &'static str) -> FailureBody {
        FailureBody {
            code: self.row.code,
            message,
            data: self.data.clone(),
        }
    }
}

/// The response of an error, in Korean.
pub fn failure(row: Row) -> Response {
    tell(Told { row, data: None })
}

/// The response of an error with data, such as what would be right.
pub fn failure_with(row: Row, data: Value) -> Response {
    tell(Told {
        row,
        data: Some(data),
    })
}

fn tell(told: Told) -> Response {
    let mut response = (told.row.status, Json(told.body(told.row.ko))).into_response();
    response.extensions_mut().insert(told);
    response
}

/// Errors that both servers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommonError {
    /// A defect of the server.
    Internal,
    /// Not allowed: another member's, or called from a foreign page.
    Forbidden,
    /// No such route.
    Path,
    /// Invalid parameter or body.
    Parameter,
    /// Method not allowed on this path.
    Method,
    /// The body is too long.
    TooLarge,
    /// Too many requests.
    TooMany,
    /// Temporarily unavailable.
    Unavailable,
    /// The request did not come in time.
    TooSlow,
    /// Unsupported encoding or media type of a body.
    MediaType,
    /// The host is not a name of this server.
    Host,
    /// Unsupported WebSocket version; 13 is the only one.
    WebSocket,
    /// The head of the request is too long.
    HeadTooLarge,
    /// Unsupported method, transfer coding or expectation.
    NotImplemented,
    /// The token is invalid.
    TokenInvalid,
    /// The member is blocked.
    MemberBlocked,
    /// The token is missing.
    TokenMissing,
}

impl CommonError {
    /// Status, number and texts (`domain.md` 3.6, `wire.md`).
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, a row each refusal")]
    pub const fn row(self) -> Row {
        use StatusCode as S;
        let (status, code, ko, en) = match self {
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                1000,
                "서버에서 오류가 발생했습니다.",
                "Something went wrong on our side.",
            ),
            Self::Forbidden => (
                S::FORBIDDEN,
                1003,
                "이 작업을 할 권한이 없습니다.",
                "You are not allowed to do this.",
            ),
            Self::Path => (
                S::NOT_FOUND,
                1004,
                "요청한 주소를 찾을 수 없습니다.",
                "There is nothing at this address.",
            ),
            Self::Parameter => (
                S::BAD_REQUEST,
                1006,
                "요청 값이 올바르지 않습니다.",
                "A value of the request is not valid.",
            ),
            Self::Method => (
                S::METHOD_NOT_ALLOWED,
                1007,
                "이 주소에서 지원하지 않는 메서드입니다.",
                "This address does not know this method.",
            ),
            Self::TooLarge => (
                S::PAYLOAD_TOO_LARGE,
                1008,
                "요청 본문이 너무 큽니다.",
                "The body of the request is too large.",
            ),
            Self::TooMany => (
                S::TOO_MANY_REQUESTS,
                1009,
                "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
                "Too many requests. Please try again in a moment.",
            ),
            Self::Unavailable => (
                S::SERVICE_UNAVAILABLE,
                1010,
                "지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
                "Not possible right now. Please try again in a moment.",
            ),
            Self::TooSlow => (
                S::REQUEST_TIMEOUT,
                1011,
                "요청이 제때 도착하지 않았습니다. 다시 시도해 주세요.",
                "The request did not come in time. Please try again.",
            ),
            Self::MediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                1012,
                "지원하지 않는 형식의 요청 본문입니다.",
                "The body of the request has a form that is not read here.",
            ),
            Self::Host => (
                S::MISDIRECTED_REQUEST,
                1013,
                "이 서버의 주소가 아닙니다.",
                "This server does not have that name.",
            ),
            Self::WebSocket => (
                S::UPGRADE_REQUIRED,
                1014,
                "WebSocket 버전 13으로 연결해 주세요.",
                "Please connect with version 13 of WebSocket.",
            ),
            Self::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                1015,
                "요청 헤더가 너무 큽니다.",
                "The head of the request is too large.",
            ),
            Self::NotImplemented => (
                S::NOT_IMPLEMENTED,
                1016,
                "지원하지 않는 요청 방식입니다.",
                "This server does not do that.",
            ),
            Self::TokenInvalid => (
                S::UNAUTHORIZED,
                2007,
                "로그인 정보가 유효하지 않습니다. 다시 로그인해 주세요.",
                "Your login is no longer valid. Please log in again.",
            ),
            Self::MemberBlocked => (
                S::FORBIDDEN,
                2012,
                "이용이 제한된 계정입니다.",
                "This account has been blocked.",
            ),
            Self::TokenMissing => (
                S::UNAUTHORIZED,
                2014,
                "로그인이 필요합니다.",
                "Please log in first.",
            ),
        };
        Row {
            status,
            code,
            ko,
            en,
        }
    }
}

/// The errors that any path may return, as a Markdown list for the OpenAPI document.
#[must_use]
pub fn common_failures() -> String {
    use CommonError as R;
    let rows = [
        R::Internal,
        R::Forbidden,
        R::Path,
        R::Parameter,
        R::Method,
        R::TooLarge,
        R::TooMany,
        R::Unavailable,
        R::TooSlow,
        R::MediaType,
        R::Host,
        R::WebSocket,
        R::HeadTooLarge,
        R::NotImplemented,
        R::TokenInvalid,
        R::MemberBlocked,
        R::TokenMissing,
    ];
    let lines = rows.map(|refusal| {
        let row = refusal.row();
        format!("| {} | {} | {} |\n", row.code, row.status.as_u16(), row.en)
    });
    format!(
        "Any path may answer with these, besides its own:\n\n\
         | code | status | meaning |\n|---|---|---|\n{}",
        lines.concat()
    )
}

impl CommonError {
    /// The row for a status that a framework or hyper chose.
    #[must_use]
    pub(super) fn of_status(status: StatusCode) -> Row {
        use StatusCode as S;
        let refusal = match status {
            S::UNAUTHORIZED => Self::TokenMissing,
            S::FORBIDDEN => Self::Forbidden,
            S::NOT_FOUND | S::GONE => Self::Path,
            S::METHOD_NOT_ALLOWED => Self::Method,
            S::PAYLOAD_TOO_LARGE => Self::TooLarge,
            S::TOO_MANY_REQUESTS => Self::TooMany,
            S::REQUEST_TIMEOUT => Self::TooSlow,
            S::UNSUPPORTED_MEDIA_TYPE => Self::MediaType,
            S::MISDIRECTED_REQUEST => Self::Host,
            S::UPGRADE_REQUIRED => Self::WebSocket,
            S::REQUEST_HEADER_FIELDS_TOO_LARGE | S::URI_TOO_LONG => Self::HeadTooLarge,
            S::NOT_IMPLEMENTED | S::EXPECTATION_FAILED => Self::NotImplemented,
            S::SERVICE_UNAVAILABLE => Self::Unavailable,
            other if other.is_server_error() => Self::Internal,
            _ => Self::Parameter,
        };
        Row {
            status,
            ..refusal.row()
        }
    }
}

impl IntoResponse for CommonError {
    fn into_response(self) -> Response {
        failure(self.row())
    }
}
