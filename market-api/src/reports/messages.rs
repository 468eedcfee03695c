//! Seam to the chat server: the message of a report, and why it is not given.
//!
//! Two implementations: [`super::client`] calls the chat server's internal API; a program that embeds both
//! servers provides its own.

use std::fmt;

use async_trait::async_trait;
use shared::ids::{MemberId, MessageId, RoomId};

/// A message of a chat room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Its room.
    pub room: RoomId,
    /// The sender; `None` for messages of the system.
    pub sender: Option<MemberId>,
    /// The text; `None` once the sender has deleted it.
    pub text: Option<String>,
}

/// Why a message is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No such message.
    #[error("no such message")]
    Unknown,
    /// The reader is not in its room.
    #[error("the reader is not in the room of the message")]
    NotParticipant,
    /// The chat server is unreachable or failing. Safe to retry.
    #[error("the chat server is away: {0}")]
    Away(String),
    /// The chat server rejects the request: a defect, or two servers that do not belong together.
    #[error("the chat server refused: {0}")]
    Refused(String),
}

/// Reads messages of the chat server.
///
/// Contract: `message` returns the message as `reader` may see it now, and changes nothing. The caller sets the
/// deadline.
#[async_trait]
pub trait ChatMessages: Send + Sync + fmt::Debug {
    /// The message with this id; see [`ChatMessages`].
    async fn message(&self, id: MessageId, reader: MemberId) -> Result<ChatMessage, MessageError>;
}
