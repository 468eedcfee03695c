//! Outputs of a session: the actions for its driver.

use std::borrow::Cow;

use bytes::Bytes;

use super::subscriptions::{AckMode, SubscriptionKey};
use crate::error::CloseCode;
use crate::frame::{Frame, Receipt};
use crate::version::Version;

/// The next action for a session, in order.
#[derive(Debug)]
pub enum Output {
    /// Write these bytes to the peer; they are UTF-8.
    Transmit(Bytes),
    /// Decide on a CONNECT: [`Session::accept_login`](super::Session::accept_login) or
    /// [`Session::refuse`](super::Session::refuse).
    Login(Login),
    /// Store a message, then [`Session::confirm`](super::Session::confirm) its receipt.
    Send(Send),
    /// Begin to deliver a destination, then confirm the receipt.
    Subscribe(Subscribe),
    /// A SUBSCRIBE beyond the limit: the session continues without it. If it were ended, the client
    /// would reconnect and subscribe to the same again.
    NotSubscribed(NotSubscribed),
    /// Stop delivering; the session has confirmed it already.
    Unsubscribe(Unsubscribe),
    /// Store all messages of a transaction or none, then
    /// [`Session::confirm_commit`](super::Session::confirm_commit).
    Commit(Commit),
    /// Messages up to this one (mode `client`) or just this one (`client-individual`) were
    /// acknowledged; a paused subscription may continue.
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
    /// A second NACK of the same message: the client cannot process it. It no longer waits, so a
    /// paused subscription may continue.
    Rejected {
        /// The subscription.
        key: SubscriptionKey,
        /// The message.
        message_id: u64,
    },
    /// The client disconnects: finish requests in flight, then
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

/// A CONNECT to decide on; version and heart-beat are parsed.
#[derive(Debug)]
pub struct Login {
    /// The version agreed on.
    pub version: Version,
    /// The CONNECT, for its `login`, `passcode`, `Authorization` and other headers.
    pub frame: Frame,
}

/// A message to be stored.
#[derive(Debug)]
pub struct Send {
    /// The SEND.
    pub frame: Frame,
    /// To be confirmed when the message is stored. `None` in a [`Commit`], which holds all
    /// receipts.
    pub receipt: Option<Receipt>,
}

impl Send {
    /// The destination; never empty.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.frame.header("destination").unwrap_or_default()
    }
}

/// A request to subscribe to a destination.
#[derive(Debug)]
pub struct Subscribe {
    /// The session's key of this subscription; never reused in the same session.
    pub key: SubscriptionKey,
    /// Its ack mode.
    pub ack_mode: AckMode,
    /// The SUBSCRIBE.
    pub frame: Frame,
    /// To be confirmed when the subscription is active.
    pub receipt: Option<Receipt>,
}

impl Subscribe {
    /// The destination; never empty.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.frame.header("destination").unwrap_or_default()
    }

    /// The id for the `subscription` header of every MESSAGE; `None` only in 1.0.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.frame.header("id").filter(|id| !id.is_empty())
    }
}

/// A SUBSCRIBE beyond the limit of subscriptions.
#[derive(Debug)]
pub struct NotSubscribed {
    /// The limit of subscriptions of a session.
    pub max: usize,
    /// The SUBSCRIBE.
    pub frame: Frame,
    /// Its receipt, if one was requested.
    pub receipt: Option<Receipt>,
}

/// A subscription that ended.
#[derive(Debug)]
pub struct Unsubscribe {
    /// Its key.
    pub key: SubscriptionKey,
}

/// A transaction to be processed as one.
#[derive(Debug)]
pub struct Commit {
    /// Its messages, in the order they were sent.
    pub sends: Vec<Send>,
    /// The COMMIT's own receipt, for the ERROR if the transaction is refused.
    pub receipt: Option<Receipt>,
    pub(super) acks: Vec<AckRequest>,
    /// The receipts of the frames bound to it, in order of arrival.
    pub(super) bound_receipts: Vec<Receipt>,
}

/// An ACK or NACK of a message that waits for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckRequest {
    pub(super) key: SubscriptionKey,
    pub(super) message_id: u64,
    pub(super) verdict: Verdict,
}

/// What the client makes of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Ack,
    Nack,
}
