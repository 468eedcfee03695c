//! The words of the log: topics, entries, what is said about them between nodes.
//!
//! A topic is an append-only log; an entry has a position in it, dense from 1. Nothing here does
//! anything: the store keeps entries, the appender makes them, the hub hands them on.

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

/// A random number made once per send. It tells, when an append's outcome was unknown, whether an
/// entry found in the log is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Uid(pub u128);

/// What an entry's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A person's message; the body is its text, UTF-8.
    Chat,
    /// Somebody's bytes in a room that was made for such; delivered as they are.
    Opaque,
    /// The start or end of a bought Wi-Fi time; the body is the JSON of `/sub/alarm/{memberId}`.
    Alarm,
    /// News about a trade; the body is the JSON of `/user/queue/notifications` without id and time.
    Notice,
}

impl Kind {
    /// Its number in what is stored and in what nodes tell each other; never used again for another.
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

/// What is to become an entry. Where in the log is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Made once, kept over every repetition.
    pub uid: Uid,
    /// What the body is.
    pub kind: Kind,
    /// Who sent it; `None` for what the system says.
    pub sender: Option<MemberId>,
    /// The sender's own name for it, up to 64 characters, unique per sender and topic: sending it
    /// again writes nothing.
    pub client_message_id: Option<Box<str>>,
    /// Headers of the sender's own, passed on with the message.
    pub headers: Headers,
    /// The body's MIME type, if the sender gave one.
    pub content_type: Option<Box<str>>,
    /// The body.
    pub body: Bytes,
    /// When this server took it in.
    pub sent_at: UnixMillis,
}

/// A stored message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// Its sender took it back: readers get it with an empty body and this mark. The position stays.
    pub deleted: bool,
    /// What was sent.
    pub draft: Draft,
}

/// What happened in a room beside its log. Not stored, may be lost, never holds a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum RoomEvent {
    /// A member is writing.
    Typing {
        /// Who.
        member_id: MemberId,
    },
    /// A member has read up to a message.
    Read {
        /// Who.
        member_id: MemberId,
        /// The newest message read.
        up_to: MessageId,
    },
    /// A member came into the room.
    Joined {
        /// Who.
        member_id: MemberId,
    },
    /// A member left the room.
    Left {
        /// Who.
        member_id: MemberId,
    },
    /// A member took a message back.
    Deleted {
        /// Whose message it was.
        member_id: MemberId,
        /// Which message.
        chat_message_id: MessageId,
    },
}
