//! Protocol errors of a peer, and their ERROR frames and close codes.

use std::borrow::Cow;

use thiserror::Error;

use crate::frame::{Command, Receipt};
use crate::version::SUPPORTED_VERSIONS;

/// The ERROR text on which existing front ends stop reconnecting; it must stay exactly this.
pub const AUTHENTICATION_FAILED: &str = "Authentication failed";

/// A WebSocket close code (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// After DISCONNECT.
    pub const NORMAL: Self = Self(1000);
    /// The peer broke a rule of the protocol, or its heart-beats stopped.
    pub const PROTOCOL: Self = Self(1002);
    /// The request is not allowed, or the peer did not log in.
    pub const POLICY: Self = Self(1008);
    /// The peer sent more than it may.
    pub const TOO_LARGE: Self = Self(1009);
    /// Temporarily impossible; a retry may succeed.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
}

/// Why received bytes are not a frame. The decoder stops at the first one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a command of any version; commands are case sensitive.
    #[error("unknown command")]
    UnknownCommand,
    /// The first line is longer than any command.
    #[error("command longer than {max} bytes")]
    CommandTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A NUL before the empty line that ends the headers.
    #[error("frame ends within its headers")]
    NulInHead,
    /// A header line without a colon, or with nothing before it.
    #[error("malformed header line")]
    MalformedHeader,
    /// Header bytes that are not UTF-8.
    #[error("headers are not valid UTF-8")]
    NotUtf8,
    /// A backslash followed by a character that this version does not define.
    #[error("undefined escape sequence in a header")]
    UndefinedEscape,
    /// More header lines than allowed.
    #[error("more than {max} headers")]
    TooManyHeaders {
        /// The limit.
        max: usize,
    },
    /// A header line longer than allowed.
    #[error("header line longer than {max} bytes")]
    HeaderTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// `content-length` is not a decimal number.
    #[error("content-length is not a number")]
    MalformedContentLength,
    /// No NUL at the end of the body that `content-length` declares.
    #[error("content-length does not match the body")]
    WrongContentLength,
    /// A body on a frame that may not have one.
    #[error("{command} cannot have a body")]
    BodyNotAllowed {
        /// The frame's command.
        command: Command,
    },
    /// The frame is larger than allowed.
    #[error("frame larger than {max} bytes")]
    FrameTooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// More bytes before login than allowed.
    #[error("more than {max} bytes before login")]
    TotalTooLarge {
        /// The limit, in bytes.
        max: u64,
    },
}

/// Which rule of the protocol a peer broke; the session ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The bytes are not a valid frame.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Another frame before CONNECT.
    #[error("CONNECT has to come first")]
    NotConnected,
    /// A second CONNECT.
    #[error("already connected")]
    AlreadyConnected,
    /// No common version.
    #[error("supported versions are {SUPPORTED_VERSIONS}")]
    UnsupportedVersion,
    /// `heart-beat` is not two numbers.
    #[error("heart-beat has to be two numbers of milliseconds")]
    MalformedHeartBeat,
    /// A command that only servers send.
    #[error("{command} is not a client's command")]
    NotAClientCommand {
        /// The command.
        command: Command,
    },
    /// NACK does not exist in 1.0.
    #[error("NACK does not exist in STOMP 1.0")]
    NackUnknown,
    /// A header that the frame needs is missing or empty.
    #[error("{command} needs the header {header}")]
    MissingHeader {
        /// The command.
        command: Command,
        /// The missing header.
        header: &'static str,
    },
    /// `content-type` is not a MIME type (1.2).
    #[error("content-type is not a MIME type")]
    MalformedContentType,
    /// `ack` is none of the modes of this version.
    #[error("unknown ack mode")]
    UnknownAckMode,
    /// The subscription id is in use.
    #[error("subscription id is in use")]
    DuplicateSubscription,
    /// The name of a subscription or of a transaction is longer than allowed.
    #[error("subscription or transaction named with more than {max} bytes")]
    NameTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// ACK or NACK of a message that is not waiting for one.
    #[error("no such message to acknowledge")]
    UnknownAck,
    /// The transaction is open already.
    #[error("transaction is open already")]
    DuplicateTransaction,
    /// The transaction was never begun, or has ended.
    #[error("no such transaction")]
    UnknownTransaction,
    /// More open transactions than allowed.
    #[error("more than {max} open transactions")]
    TooManyTransactions {
        /// The limit.
        max: usize,
    },
    /// More frames or bytes in one transaction than allowed.
    #[error("transaction too large")]
    TransactionTooLarge,
    /// A WebSocket message over the transport's limit; the frame in it was not read.
    #[error("message too large")]
    MessageTooLarge,
    /// No CONNECT in time.
    #[error("login took too long")]
    LoginTimeout,
    /// No decision on a CONNECT in time. Not the client's fault: it may retry.
    #[error("the login could not be decided on in time, try again")]
    LoginUndecided,
    /// Nothing arrived for twice the agreed heart-beat interval.
    #[error("heart-beat missed")]
    HeartBeatMissed,
}

impl ProtocolError {
    /// How the WebSocket closes after the ERROR.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        if self.is_too_large() {
            CloseCode::TOO_LARGE
        } else if *self == Self::LoginTimeout {
            CloseCode::POLICY
        } else if *self == Self::LoginUndecided {
            CloseCode::TRY_AGAIN_LATER
        } else {
            CloseCode::PROTOCOL
        }
    }

    /// The number in the ERROR's `code` header: 1008 for exceeded limits, 1010 for temporary
    /// failures, else 1006 (bad parameter).
    #[must_use]
    pub fn code(&self) -> u16 {
        if self.is_too_large() {
            1008
        } else if *self == Self::LoginUndecided {
            1010
        } else {
            1006
        }
    }

    fn is_too_large(&self) -> bool {
        use DecodeError as D;
        matches!(
            self,
            Self::Decode(
                D::FrameTooLarge { .. } | D::TotalTooLarge { .. } | D::HeaderTooLong { .. }
            ) | Self::MessageTooLarge
                | Self::NameTooLong { .. }
                | Self::TransactionTooLarge
        )
    }

    pub(crate) fn refusal(self, receipt: Option<Receipt>) -> Refusal {
        Refusal {
            code: self.code(),
            message: Cow::Owned(self.to_string()),
            receipt,
            close: self.close_code(),
        }
    }
}

/// An ERROR frame to be sent, and the close that always follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number for programs, header `code`.
    pub code: u16,
    /// The text for people, header `message`.
    pub message: Cow<'static, str>,
    /// The receipt of the refused frame, header `receipt-id`.
    pub receipt: Option<Receipt>,
    /// How the WebSocket closes.
    pub close: CloseCode,
}
