//! What a session wants done.

use std::borrow::Cow;

use bytes::Bytes;

use super::acks::AckRequest;
use super::subscriptions::{AckMode, SubscriptionKey};
use crate::error::CloseCode;
use crate::frame::{Frame, Receipt};
use crate::version::Version;

/// The next thing to do for a session, in order.
#[derive(Debug)]
pub enum Output {
    /// Write these bytes to the peer; they are UTF-8.
    Transmit(Bytes),
    /// Decide on a CONNECT: [`Session::accept_login`](super::Session::accept_login) or
    /// [`Session::refuse`](super::Session::refuse).
    Login(Login),
    /// Take a message in, then [`Session::confirm`](super::Session::confirm) its receipt.
    Send(Send),
    /// Begin to deliver a destination, then confirm the receipt.
    Subscribe(Subscribe),
    /// A SUBSCRIBE beyond the limit: the session goes on without it. Were it ended, its client would
    /// come back and subscribe to as much again.
    NotSubscribed(NotSubscribed),
    /// Stop delivering; the session has confirmed it already.
    Unsubscribe(Unsubscribe),
    /// Take in all messages of a transaction or none, then
    /// [`Session::confirm_commit`](super::Session::confirm_commit).
    Commit(Commit),
    /// Messages up to this one (mode `client`) or just this one (`client-individual`) were
    /// acknowledged; a paused subscription may go on.
    Acknowledged {
        /// The subscription.
        key: SubscriptionKey,
        /// The message named by the ACK.
        message_id: u64,
    },
    /// A NACK: deliver this message once more.
    Redeliver {
        /// The subscription.
        key: SubscriptionKey,
        /// The message.
        message_id: u64,
    },
    /// A second NACK of the same message: the client cannot take it. It waits no longer, so a paused
    /// subscription may go on.
    Rejected {
        /// The subscription.
        key: SubscriptionKey,
        /// The message.
        message_id: u64,
    },
    /// The client leaves: finish what is under way, then
    /// [`Session::finish`](super::Session::finish). Nothing more is read.
    Disconnect {
        /// To be confirmed last.
        receipt: Option<Receipt>,
    },
    /// Close the WebSocket; the last output.
    Close {
        /// The close code.
        code: CloseCode,
        /// The text for the close frame, which takes at most 123 bytes of it.
        reason: Cow<'static, str>,
    },
}

/// A CONNECT to be decided on; version and heart-beat were understood.
#[derive(Debug)]
pub struct Login {
    /// The version agreed on.
    pub version: Version,
    /// The CONNECT, for its `login`, `passcode`, `Authorization` and other headers.
    pub frame: Frame,
}

/// A message to be taken in.
#[derive(Debug)]
pub struct Send {
    /// The SEND.
    pub frame: Frame,
    /// To be confirmed when the message is safe. `None` in a [`Commit`], which holds them all.
    pub receipt: Option<Receipt>,
}

impl Send {
    /// Where to; never empty.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.frame.header("destination").unwrap_or_default()
    }
}

/// A wish to hear a destination.
#[derive(Debug)]
pub struct Subscribe {
    /// How the session calls this subscription; never used again by the same session.
    pub key: SubscriptionKey,
    /// How acknowledgement works on it.
    pub ack_mode: AckMode,
    /// The SUBSCRIBE.
    pub frame: Frame,
    /// To be confirmed when the destination is being heard.
    pub receipt: Option<Receipt>,
}

impl Subscribe {
    /// What to hear; never empty.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.frame.header("destination").unwrap_or_default()
    }

    /// The id to be named in every MESSAGE; `None` only in 1.0.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.frame.header("id").filter(|id| !id.is_empty())
    }
}

/// A wish to hear one destination too many.
#[derive(Debug)]
pub struct NotSubscribed {
    /// Subscriptions that a session may have.
    pub max: usize,
    /// The SUBSCRIBE.
    pub frame: Frame,
    /// What it asked for.
    pub receipt: Option<Receipt>,
}

/// A subscription that ended.
#[derive(Debug)]
pub struct Unsubscribe {
    /// Which one.
    pub key: SubscriptionKey,
}

/// A transaction to be carried out as one.
#[derive(Debug)]
pub struct Commit {
    /// Its messages, in the order they were sent.
    pub sends: Vec<Send>,
    /// The COMMIT's own, to be named if the transaction is refused.
    pub receipt: Option<Receipt>,
    pub(super) acks: Vec<AckRequest>,
    /// Those of the frames bound to it, in the order they came.
    pub(super) bound_receipts: Vec<Receipt>,
}
