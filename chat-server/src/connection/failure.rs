//! Errors for clients whose frame cannot be carried out: code, name, text, and whether to retry.

use std::borrow::Cow;

use shared::web;
use stomp::{CloseCode, Receipt, Refusal};

use crate::append::AppendError;
use crate::auth::AuthError;
use crate::members::MemberError;
use crate::rooms::RoomError;
use crate::store::StoreError;
use crate::wake_queue::CloseReason;
use crate::wire::SendError;

/// One row of the table of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientError {
    /// The number for programs.
    pub(super) code: u16,
    /// Its name.
    pub(super) name: &'static str,
    /// The text for people.
    pub(super) message: &'static str,
    /// Whether the same frame may work later.
    pub(super) retryable: bool,
}

const fn final_failure(code: u16, name: &'static str, message: &'static str) -> ClientError {
    ClientError {
        code,
        name,
        message,
        retryable: false,
    }
}

const fn passing_failure(code: u16, name: &'static str, message: &'static str) -> ClientError {
    ClientError {
        code,
        name,
        message,
        retryable: true,
    }
}

impl ClientError {
    pub(super) const FORBIDDEN: Self = final_failure(1003, "FORBIDDEN", "not allowed");
    pub(super) const DESTINATION: Self =
        final_failure(1006, "BAD_PARAMETER", "no such destination");
    pub(super) const HEADER: Self = final_failure(1006, "BAD_PARAMETER", "a header is not valid");
    pub(super) const BODY: Self =
        final_failure(1006, "BAD_PARAMETER", "the body is not a chat message");
    pub(super) const ACK_MODE: Self = final_failure(
        1006,
        "BAD_PARAMETER",
        "nothing can be acknowledged on this destination",
    );
    pub(super) const OTHER_TOPIC: Self = final_failure(
        1006,
        "BAD_PARAMETER",
        "resume-after names another destination's message",
    );
    pub(super) const REJECTED: Self =
        final_failure(1006, "BAD_PARAMETER", "refused by its receiver twice");
    pub(super) const TOKEN: Self = final_failure(2007, "TOKEN_INVALID", "the token is not valid");
    pub(super) const BLOCKED: Self = final_failure(
        web::CommonError::MemberBlocked.row().code,
        "MEMBER_BLOCKED",
        "the member is blocked",
    );
    pub(super) const ROOM_UNKNOWN: Self =
        final_failure(8001, "CHAT_ROOM_NOT_FOUND", "no such room");
    pub(super) const NOT_PARTICIPANT: Self = final_failure(
        8002,
        "NOT_CHAT_PARTICIPANT",
        "not a participant of the room",
    );
    pub(super) const LENGTH: Self =
        final_failure(8005, "MESSAGE_LENGTH", "the message is empty or too long");
    pub(super) const FULL: Self = final_failure(8006, "ROOM_FULL", "the room is full");
    pub(super) const UNAVAILABLE: Self =
        passing_failure(8007, "UNAVAILABLE", "not possible right now, try again");
    /// The same for a message behind one that was refused for now.
    pub(super) const BEHIND: Self = passing_failure(
        8007,
        "UNAVAILABLE",
        "an earlier message has to be sent again first",
    );
    pub(super) const RATE: Self = passing_failure(8008, "RATE_LIMITED", "too many messages");
    pub(super) const CONNECTIONS: Self = passing_failure(
        1009,
        "TOO_MANY_CONNECTIONS",
        "too many connections of this member",
    );
    pub(super) const SUBSCRIPTIONS: Self =
        final_failure(1009, "TOO_MANY_SUBSCRIPTIONS", "too many subscriptions");
    pub(super) const FLOOD: Self =
        final_failure(1009, "FLOOD", "too many empty frames or line ends");
    pub(super) const NAME_TAKEN: Self = final_failure(
        8009,
        "CLIENT_MESSAGE_ID_TAKEN",
        "the client message id was used for another message",
    );

    /// The ERROR that ends the session with this reason.
    pub(super) fn refusal(self, receipt: Option<Receipt>) -> Refusal {
        Refusal {
            code: self.code,
            message: Cow::Borrowed(self.message),
            receipt,
            close: if self.retryable {
                CloseCode::TRY_AGAIN_LATER
            } else if self == Self::BLOCKED {
                BLOCKED.code
            } else {
                CloseCode::POLICY
            },
        }
    }

    /// The body of a MESSAGE to the client's error destination.
    pub(super) fn describe(self, subject: ErrorSubject<'_>) -> SendError<'_> {
        SendError {
            code: self.code,
            name: self.name,
            message: self.message,
            retryable: self.retryable,
            destination: subject.destination,
            receipt_id: subject.receipt_id,
            client_message_id: subject.client_message_id,
        }
    }
}

/// How a blocked member's connections end; reconnecting is in vain.
pub(super) const BLOCKED: CloseReason = CloseReason {
    code: CloseCode(4403),
    text: "blocked",
};

/// What an error is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorSubject<'a> {
    /// Of the frame that failed.
    pub(super) destination: &'a str,
    /// The receipt that it requested.
    pub(super) receipt_id: Option<&'a str>,
    /// The client's name for its message.
    pub(super) client_message_id: Option<&'a str>,
}

impl From<AppendError> for ClientError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable | AppendError::Corrupt => Self::UNAVAILABLE,
            AppendError::Full => Self::FULL,
            AppendError::NameTaken => Self::NAME_TAKEN,
        }
    }
}

impl From<RoomError> for ClientError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Unknown(_) => Self::ROOM_UNKNOWN,
            RoomError::NotParticipant(_) => Self::NOT_PARTICIPANT,
            RoomError::Unavailable => Self::UNAVAILABLE,
        }
    }
}

impl From<MemberError> for ClientError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Blocked(_) => Self::BLOCKED,
            MemberError::Unavailable => Self::UNAVAILABLE,
        }
    }
}

impl From<StoreError> for ClientError {
    fn from(_: StoreError) -> Self {
        Self::UNAVAILABLE
    }
}

impl From<AuthError> for ClientError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Refused => Self::TOKEN,
            AuthError::KeysUnavailable => Self::UNAVAILABLE,
        }
    }
}
