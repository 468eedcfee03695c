//! One message of a room, for the report of a member of the room.
//!
//! A deleted message is still a message: its place, sender and time remain. The store removes its text.

use shared::clock::UnixMillis;
use shared::ids::{MemberId, MessageId, RoomId};

use super::RoomError;
use super::log::RoomLog;
use crate::log::Kind;

/// A message of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMessage {
    /// The message.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// The sender; `None` for messages of the system.
    pub sender: Option<MemberId>,
    /// The text; `None` once the sender has deleted it.
    pub text: Option<String>,
    /// When it was sent.
    pub sent_at: UnixMillis,
}

/// Why a message is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// There is no such chat message.
    #[error("there is no chat message {0}")]
    Unknown(MessageId),
    /// The member is not in its room.
    #[error("not a participant of room {0}")]
    NotParticipant(RoomId),
    /// The store does not answer now. A later retry may succeed.
    #[error("messages cannot be read now")]
    Unavailable,
}

impl From<RoomError> for MessageError {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Unknown(room) | RoomError::NotParticipant(room) => {
                Self::NotParticipant(room)
            }
            RoomError::Unavailable => Self::Unavailable,
        }
    }
}

impl RoomMessage {
    /// Reads the message. The caller has checked that the reader is a participant of its room.
    pub(super) async fn read(log: &RoomLog, id: MessageId) -> Result<Self, MessageError> {
        let entry = log.entry(id.room(), id.seq()).await?;
        let entry = entry.filter(|entry| entry.draft.kind == Kind::Chat);
        let entry = entry.ok_or(MessageError::Unknown(id))?;
        let text = || String::from_utf8_lossy(&entry.draft.body).into_owned();
        Ok(Self {
            id,
            room: id.room(),
            sender: entry.draft.sender,
            text: (!entry.deleted).then(text),
            sent_at: entry.draft.sent_at,
        })
    }
}
