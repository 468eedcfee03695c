//! JSON bodies over STOMP, as in `wire.md` and in the first front end.
//!
//! These shapes are a contract; each has a golden file.

use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, MessageId, RoomId};

/// Body of a SEND to `/pub/{roomId}`: an object, to be read by
/// [`from_object`](shared::json::from_object). Unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChatSend {
    /// The text.
    pub message: String,
}

/// Body of a MESSAGE on `/sub/{roomId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage<'a> {
    /// The room.
    pub chat_room_id: RoomId,
    /// The message.
    pub chat_message_id: MessageId,
    /// The sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<MemberId>,
    /// The text; empty if it was deleted.
    pub message: &'a str,
    /// When.
    pub created_at: LocalDateTime,
    /// Only there when the message was deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Body of a MESSAGE on `/user/queue/errors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SendError<'a> {
    /// The error's number, for programs.
    pub code: u16,
    /// Its name.
    pub name: &'a str,
    /// The text for users.
    pub message: &'a str,
    /// Whether the same send may work later.
    pub retryable: bool,
    /// The send's destination.
    pub destination: &'a str,
    /// The receipt that it requested, and will not get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_id: Option<&'a str>,
    /// The sender's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<&'a str>,
}

/// Body of a MESSAGE on `/user/queue/system`: the client is to go to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainNotice<'a> {
    /// Always `drain`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// `restart`: the node stops. `max-age`: the connection is old, and nodes are to share clients
    /// evenly.
    pub reason: &'a str,
    /// After how long to go: each client has its own, so that they do not all come at once.
    pub reconnect_after_ms: u64,
    /// After how long a connection that is still there is closed.
    pub deadline_ms: u64,
}
