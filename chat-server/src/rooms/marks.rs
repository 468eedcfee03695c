//! How far members have read, and taking a message back.

use std::time::Duration;

use shared::ids::{MemberId, MessageId, RoomId, Seq};

use super::{RoomError, Rooms};
use crate::log::{RoomEvent, Topic};

/// How long after sending it a message can be taken back.
pub const DELETE_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Why a read mark was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// See [`RoomError`].
    #[error(transparent)]
    Room(#[from] RoomError),
    /// There is no such message.
    #[error("there is no message {0}")]
    Unknown(MessageId),
}

/// Why a message was not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// See [`RoomError`].
    #[error(transparent)]
    Room(#[from] RoomError),
    /// There is no such message.
    #[error("there is no message {0}")]
    Unknown(MessageId),
    /// Somebody else sent it.
    #[error("message {0} is somebody else's")]
    NotYours(MessageId),
    /// It was sent more than [`DELETE_AGE_MAX`] ago.
    #[error("message {0} is too old to be taken back")]
    TooLate(MessageId),
}

impl Rooms {
    /// How far a member has read in a room; [`Seq::ZERO`] if not at all.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`]: the store does not answer now.
    pub async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, RoomError> {
        let marked = self.store.last_read(member, room).await;
        marked.map_err(|error| self.errors.unavailable("last_read", &error))
    }

    /// The member has read up to this message. Marks go forward only; an earlier message changes
    /// nothing and is no error.
    ///
    /// # Errors
    /// See [`MarkError`].
    pub async fn mark_read(&self, member: MemberId, message: MessageId) -> Result<(), MarkError> {
        let (room, seq) = (message.room(), message.seq());
        self.access(room, member).await?;
        if self.last_read(member, room).await? >= seq {
            return Ok(());
        }
        // A mark past the head would hide messages that are yet to come.
        let entry = self.log.entry(room, seq).await?;
        entry.ok_or(MarkError::Unknown(message))?;
        let mark = self.store.mark_read(member, room, seq).await;
        mark.map_err(|error| self.errors.unavailable("mark_read", &error))?;
        let read = RoomEvent::Read {
            member_id: member,
            up_to: message,
        };
        self.hub.publish_event(room, read);
        Ok(())
    }

    /// Deletes the member's own message: the text is removed, the position remains. Idempotent: the
    /// repetition succeeds even after the time limit for deletions.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete(&self, member: MemberId, message: MessageId) -> Result<(), DeleteError> {
        let (room, seq) = (message.room(), message.seq());
        self.access(room, member).await?;
        let entry = self.log.entry(room, seq).await?;
        let entry = entry.ok_or(DeleteError::Unknown(message))?;
        if entry.draft.sender != Some(member) {
            return Err(DeleteError::NotYours(message));
        }
        if !entry.deleted {
            let now = self.clock.unix_millis();
            if now.saturating_since(entry.draft.sent_at) > DELETE_AGE_MAX {
                return Err(DeleteError::TooLate(message));
            }
            let deleted = self.log.messages.delete(Topic::Room(room), seq).await;
            deleted.map_err(|error| self.errors.unavailable("delete", &error))?;
        }
        // Published even when it was deleted before: that event may have been lost.
        let deleted = RoomEvent::Deleted {
            member_id: member,
            chat_message_id: message,
        };
        self.hub.publish_event(room, deleted);
        Ok(())
    }
}
