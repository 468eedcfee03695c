//! Types of the log: topics, entries, drafts, room events.
//!
//! A topic is an append-only log; an entry has a position in it, dense from 1. These are data only:
//! the appender makes entries, the store has them, the hub delivers them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, MessageId, RoomId, Seq};

/// An append-only log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// The chat of a room.
    Room(RoomId),
    /// The notices and alarms of a member.
    Inbox(MemberId),
}

impl Topic {
    /// The public name of the entry at `seq`; `None` for [`Seq::ZERO`], where no entry is.
    #[must_use]
    pub fn message_id(self, seq: Seq) -> Option<MessageId> {
        match self {
            Self::Room(room) => MessageId::in_room(room, seq),
            Self::Inbox(member) => MessageId::in_inbox(member, seq),
        }
    }

    /// The number of the room or the member it belongs to: ids are given in sequence or at random,
    /// so its remainders spread topics evenly.
    #[must_use]
    pub fn owner_id(self) -> u32 {
        match self {
            Self::Room(room) => room.get(),
            Self::Inbox(member) => member.get(),
        }
    }

    /// The position that `id` names in this topic; `None` if it names another topic's entry.
    #[must_use]
    pub fn seq_of(self, id: MessageId) -> Option<Seq> {
        let is_ours = match self {
            Self::Room(room) => id.room() == room,
            Self::Inbox(member) => id.member() == member,
        };
        is_ours.then(|| id.seq())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room:{room}"),
            Self::Inbox(member) => write!(f, "inbox:{member}"),
        }
    }
}

/// A random number made once per send. After an append with an unknown outcome it identifies the
/// entry in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Uid(pub u128);

/// The kind of an entry's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A person's message; the body is its text, UTF-8.
    Chat,
    /// Arbitrary bytes in a room created for them; delivered as they are.
    Opaque,
    /// The start or end of a bought Wi-Fi time; the body is the JSON of `/sub/alarm/{memberId}`.
    Alarm,
    /// News about a trade; the body is the JSON of `/user/queue/notifications` without id and time.
    Notice,
}

impl Kind {
    /// Its number in stored records and in messages between nodes; never reused for another kind.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Chat => 0,
            Self::Opaque => 1,
            Self::Alarm => 2,
            Self::Notice => 3,
        }
    }

    /// The kind of this number; `None`: a newer build's, or damage.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Chat),
            1 => Some(Self::Opaque),
            2 => Some(Self::Alarm),
            3 => Some(Self::Notice),
            _ => None,
        }
    }
}

/// Header names and values, in the order sent.
pub type Headers = Vec<(Box<str>, Box<str>)>;

/// A future entry, without a position yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Drawn once, the same in every retry.
    pub uid: Uid,
    /// The kind of body.
    pub kind: Kind,
    /// The sender; `None` for messages of the system.
    pub sender: Option<MemberId>,
    /// The sender's own name for it, up to 64 characters, unique per sender and topic: sending it
    /// again writes nothing.
    pub client_message_id: Option<Box<str>>,
    /// The sender's own headers, delivered with the message.
    pub headers: Headers,
    /// The body's MIME type, if the sender gave one.
    pub content_type: Option<Box<str>>,
    /// The body.
    pub body: Bytes,
    /// When this server accepted it.
    pub sent_at: UnixMillis,
}

/// A stored message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// Deleted by its sender: readers get it with an empty body and this mark. The position stays.
    pub deleted: bool,
    /// Its content.
    pub draft: Draft,
}

/// A room event beside the log. Not stored, may be lost, never has a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum RoomEvent {
    /// A member is writing.
    Typing {
        /// The member.
        member_id: MemberId,
    },
    /// A member has read up to a message.
    Read {
        /// The member.
        member_id: MemberId,
        /// The newest message read.
        up_to: MessageId,
    },
    /// A member joined the room.
    Joined {
        /// The member.
        member_id: MemberId,
    },
    /// A member left the room.
    Left {
        /// The member.
        member_id: MemberId,
    },
    /// A member came online for the whole site; nothing about membership.
    #[serde(rename = "joined")]
    Online {
        /// The member.
        member_id: MemberId,
    },
    /// A member went offline for the whole site; the membership goes on.
    #[serde(rename = "left")]
    Offline {
        /// The member.
        member_id: MemberId,
    },
    /// A member deleted a message.
    Deleted {
        /// The message's sender.
        member_id: MemberId,
        /// The message.
        chat_message_id: MessageId,
    },
}

impl RoomEvent {
    /// The field `presence` of its JSON, which tells it from an event about membership.
    #[must_use]
    pub const fn presence(self) -> Option<&'static str> {
        match self {
            Self::Online { .. } => Some("online"),
            Self::Offline { .. } => Some("offline"),
            Self::Typing { .. }
            | Self::Read { .. }
            | Self::Joined { .. }
            | Self::Left { .. }
            | Self::Deleted { .. } => None,
        }
    }
}
