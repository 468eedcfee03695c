//! The errors of frames, as clients receive them: a code of the site's table (`shared::web`), a name,
//! a text, and whether the same frame may work later.
//!
//! `infra/docs/wire.md` lists them ("Codes on STOMP"), and a test compares.

use std::borrow::Cow;

use shared::web::ErrorCode;
use stomp::{CloseCode, Receipt, Refusal};

use crate::append::AppendError;
use crate::auth::AuthError;
use crate::inbox::InboxError;
use crate::members::MemberError;
use crate::rooms::RoomError;
use crate::store::StoreError;
use crate::wake_queue::CloseReason;
use crate::wire::SendError;

/// The error of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientError {
    /// The number for programs.
    pub(super) code: u16,
    /// The name for programs: where a code covers several rules, it may distinguish them.
    pub(super) name: &'static str,
    /// The text for people.
    pub(super) message: &'static str,
    /// Whether the same frame may work later.
    pub(super) retryable: bool,
}

/// An error of a frame that will not work later either, with the text of its code.
const fn permanent(code: ErrorCode, name: &'static str) -> ClientError {
    ClientError {
        code: code.number(),
        name,
        message: code.english(),
        retryable: false,
    }
}

/// An error of a frame that may work later, with the text of its code.
const fn retryable(code: ErrorCode, name: &'static str) -> ClientError {
    ClientError {
        retryable: true,
        ..permanent(code, name)
    }
}

impl ClientError {
    pub(super) const FORBIDDEN: Self = permanent(ErrorCode::Forbidden, "FORBIDDEN");
    pub(super) const DESTINATION: Self = Self::parameter("no such destination");
    pub(super) const HEADER: Self = Self::parameter("a header is not valid");
    pub(super) const BODY: Self = Self::parameter("the body is not a chat message");
    pub(super) const ACK_MODE: Self =
        Self::parameter("nothing can be acknowledged on this destination");
    pub(super) const OTHER_TOPIC: Self =
        Self::parameter("resume-after names another destination's message");
    pub(super) const REJECTED: Self = Self::parameter("refused by its receiver twice");
    pub(super) const TOKEN: Self = permanent(ErrorCode::TokenInvalid, "TOKEN_INVALID");
    /// Never sent: the connection is closed without an ERROR, as the frame was not wrong.
    pub(super) const SESSION_ENDED: Self = permanent(ErrorCode::TokenInvalid, "SESSION_ENDED");
    pub(super) const BLOCKED: Self = permanent(ErrorCode::MemberBlocked, "MEMBER_BLOCKED");
    pub(super) const ROOM_UNKNOWN: Self = permanent(ErrorCode::RoomUnknown, "CHAT_ROOM_NOT_FOUND");
    pub(super) const NOT_PARTICIPANT: Self =
        permanent(ErrorCode::NotParticipant, "NOT_CHAT_PARTICIPANT");
    pub(super) const SEPARATED: Self = permanent(ErrorCode::Separated, "SEPARATED");
    pub(super) const LENGTH: Self = permanent(ErrorCode::MessageLength, "MESSAGE_LENGTH");
    pub(super) const FULL: Self = permanent(ErrorCode::RoomFull, "ROOM_FULL");
    pub(super) const UNAVAILABLE: Self = retryable(ErrorCode::ChatUnavailable, "UNAVAILABLE");
    /// For a message behind one that got a retryable error.
    pub(super) const BEHIND: Self =
        Self::UNAVAILABLE.because("an earlier message has to be sent again first");
    pub(super) const RATE: Self = retryable(ErrorCode::SendRate, "RATE_LIMITED");
    pub(super) const CONNECTIONS: Self =
        retryable(ErrorCode::TooManyRequests, "TOO_MANY_CONNECTIONS")
            .because("too many connections of this member");
    pub(super) const SUBSCRIPTIONS: Self =
        permanent(ErrorCode::TooManyRequests, "TOO_MANY_SUBSCRIPTIONS")
            .because("too many subscriptions");
    pub(super) const FLOOD: Self = permanent(ErrorCode::TooManyRequests, "FLOOD")
        .because("too many empty frames or line ends");
    pub(super) const NAME_TAKEN: Self =
        permanent(ErrorCode::ClientMessageIdTaken, "CLIENT_MESSAGE_ID_TAKEN");

    const fn parameter(rule: &'static str) -> Self {
        permanent(ErrorCode::InvalidParameter, "BAD_PARAMETER").because(rule)
    }

    /// This error where the token itself is what the client has sent.
    pub(super) fn of_token(self) -> Self {
        if self == Self::SESSION_ENDED {
            Self::TOKEN
        } else {
            self
        }
    }

    /// This error with the rule that was broken as its text, where one code stands for several.
    const fn because(self, rule: &'static str) -> Self {
        Self {
            message: rule,
            ..self
        }
    }

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

/// How the connections of an ended session end; reconnecting with its tokens is in vain.
pub(super) const SESSION_ENDED: CloseReason = CloseReason {
    code: CloseCode(4401),
    text: "session ended",
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
            MemberError::SessionEnded(_) => Self::SESSION_ENDED,
            MemberError::Unavailable => Self::UNAVAILABLE,
        }
    }
}

impl From<InboxError> for ClientError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::Unknown(_) | InboxError::NotYours(_) => Self::FORBIDDEN,
            InboxError::Unavailable => Self::UNAVAILABLE,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's table: `| code | name | message | retryable | given for |`.
    #[test]
    fn contract_lists_every_error_of_a_frame() {
        const ALL: [ClientError; 21] = [
            ClientError::FORBIDDEN,
            ClientError::DESTINATION,
            ClientError::HEADER,
            ClientError::BODY,
            ClientError::ACK_MODE,
            ClientError::OTHER_TOPIC,
            ClientError::REJECTED,
            ClientError::TOKEN,
            ClientError::BLOCKED,
            ClientError::ROOM_UNKNOWN,
            ClientError::NOT_PARTICIPANT,
            ClientError::SEPARATED,
            ClientError::LENGTH,
            ClientError::FULL,
            ClientError::UNAVAILABLE,
            ClientError::BEHIND,
            ClientError::RATE,
            ClientError::CONNECTIONS,
            ClientError::SUBSCRIPTIONS,
            ClientError::FLOOD,
            ClientError::NAME_TAKEN,
        ];
        let contract = include_str!("../../../infra/docs/wire.md");
        let (_, table) = contract.split_once("\n### Codes on STOMP\n").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        for error in ALL {
            let retryable = if error.retryable { "yes" } else { "no" };
            let row = format!(
                "| {} | `{}` | {} | {retryable} |",
                error.code, error.name, error.message
            );
            assert!(table.contains(&row), "not in the contract: {row}");
        }
    }
}
