//! STOMP 1.0, 1.1 and 1.2 without I/O: frames, versions, heart-beats and the rules of a session.
//!
//! The crate has no socket, clock, lock, task or logger, so every rule can be tested in virtual
//! time. Two layers:
//!
//! * **Codec.** [`Decoder`] turns received bytes into [`Frame`]s, however they are split, and
//!   examines each byte a fixed number of times at most. [`FrameWriter`] writes frames; a MESSAGE
//!   is a [`MessageTail`] shared by all its receivers plus a short head for one subscription.
//! * **Session.** [`Session`] is the server's side of one connection. It is driven by four kinds of
//!   calls: `handle_…(…, now)` reports an event, [`Session::poll_output`] returns the next action,
//!   [`Session::poll_timeout`] when to call [`Session::handle_timeout`]; getters return the state.
//!
//! ```text
//!   bytes ──► handle_input ─┐                      ┌─► Transmit(bytes), Close
//!   now   ──► handle_timeout├──► Session ── poll_output
//!   store ──► confirm, … ───┘                      └─► Login, Send, Subscribe, Commit, …
//! ```
//!
//! Poll until `None` after every `handle_…`. The session decodes one frame at a time and only when
//! polled, so a caller that stops polling also stops decoding: that is the back-pressure.
//!
//! It deliberately leaves out the meaning of destinations, authorisation, and storage; those belong
//! to the chat server.
//!
//! Source of the rules: the STOMP specifications 1.0, 1.1 and 1.2. Where they leave a choice, the
//! item's documentation names the one taken.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        reason = "a test that overflows fails, as it should"
    )
)]

mod decode;
mod encode;
mod error;
mod escape;
mod frame;
mod head;
mod heart_beat;
mod input;
mod limits;
mod scan;
mod session;
mod version;

pub use decode::{DecodeFailure, Decoder};
pub use encode::{FrameWriter, MessageTail, ack_id, message_head};
pub use error::{AUTHENTICATION_FAILED, CloseCode, DecodeError, ProtocolError, Refusal};
pub use frame::{Command, Frame, Receipt};
pub use heart_beat::{HeartBeat, HeartBeatTimers, Missed};
pub use limits::Limits;
pub use session::{
    AckMode, Commit, Login, NotSubscribed, Output, Send, Session, SessionConfig, Subscribe,
    SubscriptionKey, Unsubscribe,
};
pub use version::{SUPPORTED_VERSIONS, Version};
