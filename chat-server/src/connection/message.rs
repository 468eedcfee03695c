//! SEND to draft: checks length, headers and body of a message. Only its uid is drawn at random.

use bytes::Bytes;
use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::json::from_object;
use shared::text::is_blank;

use super::error::ClientError;
use crate::log::{Draft, Headers, Kind, Uid};
use crate::wire::ChatSend;

/// Characters of a sender's own name for a message.
const CLIENT_MESSAGE_ID_CHARS_MAX: usize = 64;

/// Headers of the sender's own on one message.
const USER_HEADERS_MAX: usize = 16;

/// Bytes of their names and values together.
const USER_HEADER_BYTES_MAX: usize = 2 << 10;

/// Names that mean something on a MESSAGE; a sender's header must not pass for the server's.
const RESERVED: [&str; 7] = [
    "seq",
    "client-message-id",
    "deleted",
    "redelivered",
    "replayed",
    "recovered",
    "head",
];

/// Rules for a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageRules {
    /// Characters of a chat message.
    pub(super) chars_max: usize,
    /// Whether the room accepts other bodies than chat messages.
    pub(super) opaque: bool,
}

/// Reads a member's message to a room.
pub(super) fn read_message(
    frame: &stomp::Frame,
    sender: MemberId,
    rules: MessageRules,
    now: UnixMillis,
) -> Result<Draft, ClientError> {
    let client_message_id = client_message_id(frame)?;
    let headers = user_headers(frame)?;
    let (kind, content_type, body) = match chat_text(frame.body()) {
        Some(text) => {
            let chars = text.chars().count();
            if is_blank(&text) || chars > rules.chars_max {
                return Err(ClientError::LENGTH);
            }
            (Kind::Chat, None, Bytes::from(text))
        }
        None if rules.opaque => {
            let content_type = frame.header("content-type").map(Into::into);
            // A copy: the frame keeps the whole read buffer alive.
            (
                Kind::Opaque,
                content_type,
                Bytes::copy_from_slice(frame.body()),
            )
        }
        None => return Err(ClientError::BODY),
    };
    let uid = Uid(rand::random());
    let sender = Some(sender);
    Ok(Draft {
        uid,
        kind,
        sender,
        client_message_id,
        headers,
        content_type,
        body,
        sent_at: now,
    })
}

/// The text of a body that is a chat message, an object with `message`; in every room, and with any
/// content type: the first front end sends none, other clients any.
fn chat_text(body: &[u8]) -> Option<String> {
    let send: ChatSend = from_object(body).ok()?;
    Some(send.message)
}

fn client_message_id(frame: &stomp::Frame) -> Result<Option<Box<str>>, ClientError> {
    let Some(id) = frame.header("client-message-id") else {
        return Ok(None);
    };
    let chars = id.chars().count();
    if chars == 0 || chars > CLIENT_MESSAGE_ID_CHARS_MAX {
        return Err(ClientError::HEADER);
    }
    Ok(Some(id.into()))
}

fn user_headers(frame: &stomp::Frame) -> Result<Headers, ClientError> {
    let own = frame
        .user_headers()
        .filter(|(name, _)| !RESERVED.contains(name));
    let headers: Headers = own
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let bytes = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>();
    if headers.len() > USER_HEADERS_MAX || bytes > USER_HEADER_BYTES_MAX {
        return Err(ClientError::HEADER);
    }
    Ok(headers)
}
