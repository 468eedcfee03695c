//! What is offered for push: a notification of one member, or a chat message for the members of its room.

use std::time::Duration;

use shared::ids::{MemberId, RoomId, Seq};

use super::preferences::Class;
use super::{PushMessage, PushText};

/// A push service holds a message for a device that is off for so long.
pub const NOTICE_TTL: Duration = Duration::from_secs(3 * 24 * 3_600);

/// The same for a chat message.
pub(super) const CHAT_TTL: Duration = Duration::from_secs(24 * 3_600);

/// A notification for one member.
#[derive(Clone, Debug)]
pub struct PushNotice {
    /// For this member.
    pub member: MemberId,
    /// Of this class of the member's preferences.
    pub class: Class,
    /// What is delivered.
    pub message: PushMessage,
}

impl PushNotice {
    /// The notification of an inbox entry: event id, kind, and the rendered text and data.
    #[must_use]
    pub fn of_event(
        member: MemberId,
        (event, kind): (&str, &str),
        text: PushText,
        data: serde_json::Value,
    ) -> Self {
        let message = PushMessage::new(event.to_owned(), kind.to_owned(), text, NOTICE_TTL);
        Self {
            member,
            class: Class::of_kind(kind),
            message: message.with_data(data),
        }
    }
}

/// A chat message for the members of its room.
#[derive(Debug)]
pub(super) struct ChatPush {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) sender: Option<MemberId>,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) enum Offer {
    Notice(Box<PushNotice>),
    Chat(ChatPush),
}
