//! The domain's errors as REST answers: each has a code of the site's table (`shared::web`).

use shared::web::{ApiError, ErrorCode};

use crate::auth::AuthError;
use crate::members::MemberError;
use crate::push::PushStoreUnavailable;
use crate::rooms::{DeleteError, MarkError, MessageError, PageError, PutError, RoomError};

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::from(match error {
            AuthError::Missing => ErrorCode::TokenMissing,
            AuthError::Refused => ErrorCode::TokenInvalid,
            AuthError::KeysUnavailable => ErrorCode::Unavailable,
        })
    }
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        Self::from(match error {
            MemberError::Blocked(_) => ErrorCode::MemberBlocked,
            MemberError::SessionEnded(_) => ErrorCode::TokenInvalid,
            MemberError::Unavailable => ErrorCode::ChatUnavailable,
        })
    }
}

impl From<PushStoreUnavailable> for ApiError {
    fn from(PushStoreUnavailable: PushStoreUnavailable) -> Self {
        Self::from(ErrorCode::ChatUnavailable)
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        Self::from(match error {
            RoomError::Unknown(_) => ErrorCode::RoomUnknown,
            RoomError::NotParticipant(_) => ErrorCode::NotParticipant,
            RoomError::Unavailable => ErrorCode::ChatUnavailable,
        })
    }
}

impl From<PageError> for ApiError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Room(error) => error.into(),
            PageError::Cursor => ErrorCode::InvalidParameter.into(),
        }
    }
}

impl From<MarkError> for ApiError {
    fn from(error: MarkError) -> Self {
        match error {
            MarkError::Room(error) => error.into(),
            MarkError::Unknown(_) => ErrorCode::MessageUnknown.into(),
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Room(error) => error.into(),
            DeleteError::Unknown(_) => ErrorCode::MessageUnknown.into(),
            DeleteError::NotYours(_) | DeleteError::TooLate(_) => ErrorCode::Forbidden.into(),
        }
    }
}

impl From<MessageError> for ApiError {
    fn from(error: MessageError) -> Self {
        Self::from(match error {
            MessageError::Unknown(_) => ErrorCode::MessageUnknown,
            MessageError::NotParticipant(_) => ErrorCode::NotParticipant,
            MessageError::Unavailable => ErrorCode::ChatUnavailable,
        })
    }
}

impl From<PutError> for ApiError {
    fn from(error: PutError) -> Self {
        Self::from(match error {
            PutError::Invalid(reason) => {
                tracing::warn!("a room was refused: {reason}");
                ErrorCode::InvalidParameter
            }
            PutError::Taken(_) => ErrorCode::RoomTaken,
            PutError::Unavailable => ErrorCode::ChatUnavailable,
        })
    }
}
