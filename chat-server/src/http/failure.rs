//! What can go wrong (`domain.md` 3.6, `wire.md`).

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use shared::web::{CommonError, Row, failure};

use crate::auth::AuthError;
use crate::members::MemberError;
use crate::rooms::{DeleteError, MarkError, PageError, PutError, RoomError};

/// What can go wrong. The old numbers are the first front end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ApiError {
    /// What both servers refuse alike.
    Web(CommonError),
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

impl ApiError {
    /// Status, number and texts.
    const fn row(self) -> Row {
        use StatusCode as S;
        let (status, code, ko, en) = match self {
            Self::Web(refusal) => return refusal.row(),
            Self::RoomUnknown => (
                S::BAD_REQUEST,
                8001,
                "채팅방이 존재하지 않습니다.",
                "There is no such chat room.",
            ),
            Self::NotParticipant => (
                S::BAD_REQUEST,
                8002,
                "참여하고 있지 않은 채팅방입니다.",
                "You are not in this chat room.",
            ),
            Self::MessageUnknown => (
                S::BAD_REQUEST,
                8004,
                "메시지가 존재하지 않습니다.",
                "There is no such message.",
            ),
            Self::StoreUnavailable => (
                S::SERVICE_UNAVAILABLE,
                8007,
                "채팅을 잠시 이용할 수 없습니다. 다시 시도해 주세요.",
                "The chat is not available right now. Please try again.",
            ),
            Self::RoomTaken => (
                S::CONFLICT,
                8010,
                "이미 다른 대화에 쓰이는 채팅방 번호입니다.",
                "The number of this chat room is used for another conversation.",
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        failure(self.row())
    }
}

impl From<CommonError> for ApiError {
    fn from(refusal: CommonError) -> Self {
        Self::Web(refusal)
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::Web(CommonError::TokenMissing),
            AuthError::Refused => Self::Web(CommonError::TokenInvalid),
            AuthError::KeysUnavailable => Self::Web(CommonError::Unavailable),
        }
    }
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Blocked(_) => Self::Web(CommonError::MemberBlocked),
            MemberError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Unknown(_) => Self::RoomUnknown,
            RoomError::NotParticipant(_) => Self::NotParticipant,
            RoomError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<PageError> for ApiError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Room(error) => error.into(),
            PageError::Cursor => Self::Web(CommonError::Parameter),
        }
    }
}

impl From<MarkError> for ApiError {
    fn from(error: MarkError) -> Self {
        match error {
            MarkError::Room(error) => error.into(),
            MarkError::Unknown(_) => Self::MessageUnknown,
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Room(error) => error.into(),
            DeleteError::Unknown(_) => Self::MessageUnknown,
            DeleteError::NotYours(_) | DeleteError::TooLate(_) => Self::Web(CommonError::Forbidden),
        }
    }
}

impl From<PutError> for ApiError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Invalid(reason) => {
                tracing::warn!("a room was refused: {reason}");
                Self::Web(CommonError::Parameter)
            }
            PutError::Taken(_) => Self::RoomTaken,
            PutError::Unavailable => Self::StoreUnavailable,
        }
    }
}
