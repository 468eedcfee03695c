//! The envelope that every answer of the site's REST comes in, and the table of what can go wrong.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::AuthError;
use crate::members::MemberError;
use crate::rooms::{DeleteError, MarkError, PageError, PutError, RoomError};

/// The message of every success; the front end looks at the code only.
const DONE: &str = "요청을 처리했습니다.";

/// A success.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Envelope<T> {
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
pub(super) struct Done {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// For people.
    message: &'static str,
}

/// A failure.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailureBody {
    /// What went wrong, for programs.
    #[schema(example = 1006)]
    code: u16,
    /// What went wrong, for people.
    message: &'static str,
}

/// `data` in its envelope.
pub(super) fn success<T>(data: T) -> Json<Envelope<T>> {
    Json(Envelope {
        code: 0,
        message: DONE,
        data,
    })
}

/// The envelope of nothing.
pub(super) fn done() -> Json<Done> {
    Json(Done {
        code: 0,
        message: DONE,
    })
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    /// A defect of ours.
    Internal,
    /// Not this member's, or not from this page.
    Forbidden,
    /// Nothing is at this path.
    Path,
    /// A parameter or body that cannot be.
    Parameter,
    /// The path does not know this method.
    Method,
    /// The body is too long.
    TooLarge,
    /// Not possible right now.
    Unavailable,
    /// A token was shown and is not good.
    TokenInvalid,
    /// No token was shown.
    TokenMissing,
    /// The member is blocked.
    Blocked,
    /// No such room.
    RoomUnknown,
    /// Not in the room.
    NotParticipant,
    /// No such message.
    MessageUnknown,
    /// The store does not answer now.
    StoreUnavailable,
    /// The room's id is used for another conversation.
    RoomTaken,
}

impl Failure {
    /// Status, number and text.
    const fn row(self) -> (StatusCode, u16, &'static str) {
        use StatusCode as S;
        match self {
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                1000,
                "서버에서 오류가 발생했습니다.",
            ),
            Self::Forbidden => (S::FORBIDDEN, 1003, "이 작업을 할 권한이 없습니다."),
            Self::Path => (S::NOT_FOUND, 1004, "요청한 주소를 찾을 수 없습니다."),
            Self::Parameter => (S::BAD_REQUEST, 1006, "요청 값이 올바르지 않습니다."),
            Self::Method => (
                S::METHOD_NOT_ALLOWED,
                1007,
                "이 주소에서 지원하지 않는 메서드입니다.",
            ),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, 1008, "요청 본문이 너무 큽니다."),
            Self::Unavailable => (
                S::SERVICE_UNAVAILABLE,
                1010,
                "지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
            ),
            Self::TokenInvalid => (
                S::UNAUTHORIZED,
                2007,
                "로그인 정보가 유효하지 않습니다. 다시 로그인해 주세요.",
            ),
            Self::TokenMissing => (S::UNAUTHORIZED, 2014, "로그인이 필요합니다."),
            Self::Blocked => (S::FORBIDDEN, 2015, "이용이 제한된 회원입니다."),
            Self::RoomUnknown => (S::BAD_REQUEST, 8001, "채팅방이 존재하지 않습니다."),
            Self::NotParticipant => (S::BAD_REQUEST, 8002, "참여하고 있지 않은 채팅방입니다."),
            Self::MessageUnknown => (S::BAD_REQUEST, 8004, "메시지가 존재하지 않습니다."),
            Self::StoreUnavailable => (
                S::SERVICE_UNAVAILABLE,
                8007,
                "채팅을 잠시 이용할 수 없습니다. 다시 시도해 주세요.",
            ),
            Self::RoomTaken => (
                S::CONFLICT,
                8010,
                "이미 다른 대화에 쓰이는 채팅방 번호입니다.",
            ),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code, message) = self.row();
        (status, Json(FailureBody { code, message })).into_response()
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::TokenMissing,
            AuthError::Refused => Self::TokenInvalid,
            AuthError::KeysUnavailable => Self::Unavailable,
        }
    }
}

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Blocked(_) => Self::Blocked,
            MemberError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<RoomError> for Failure {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Unknown(_) => Self::RoomUnknown,
            RoomError::NotParticipant(_) => Self::NotParticipant,
            RoomError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Room(error) => error.into(),
            PageError::Cursor => Self::Parameter,
        }
    }
}

impl From<MarkError> for Failure {
    fn from(error: MarkError) -> Self {
        match error {
            MarkError::Room(error) => error.into(),
            MarkError::Unknown(_) => Self::MessageUnknown,
        }
    }
}

impl From<DeleteError> for Failure {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Room(error) => error.into(),
            DeleteError::Unknown(_) => Self::MessageUnknown,
            DeleteError::NotYours(_) | DeleteError::TooLate(_) => Self::Forbidden,
        }
    }
}

impl From<PutError> for Failure {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Invalid(reason) => {
                tracing::warn!("a room was refused: {reason}");
                Self::Parameter
            }
            PutError::Taken(_) => Self::RoomTaken,
            PutError::Unavailable => Self::StoreUnavailable,
        }
    }
}
