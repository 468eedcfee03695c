//! The bytes of a MESSAGE, ready for the socket: WebSocket header, STOMP head, shared tail.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use shared::clock::LocalDateTime;
use stomp::{MessageTail, Version, ack_id, message_head};

use crate::log::{Entry, Kind, Topic};
use crate::wire::ChatMessage;

/// Which destination shows a topic; it decides which kinds of entries are seen, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lens {
    /// `/sub/{roomId}`: every entry.
    Room,
    /// `/sub/alarm/{memberId}`: the alarms of an inbox.
    Alarms,
    /// `/user/queue/notifications`: the notices of an inbox.
    Notices,
}

impl Lens {
    /// Whether entries of this kind are seen.
    #[must_use]
    pub fn shows(self, kind: Kind) -> bool {
        match self {
            Self::Room => true,
            Self::Alarms => kind == Kind::Alarm,
            Self::Notices => kind == Kind::Notice,
        }
    }
}

/// What the MESSAGE frames of a subscription have in common with those of others like it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// The destination it is for.
    pub lens: Lens,
    /// The session's version.
    pub version: Version,
    /// The subscription's id; missing only in 1.0.
    pub subscription: Option<Box<str>>,
    /// Whether the frame has an `ack` header: client modes of 1.2.
    pub acks: bool,
}

/// Whether a message goes out for the first time on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Yes.
    First,
    /// No: the client refused it once.
    Again,
}

/// The part of an entry's MESSAGE that all receivers of one version and lens share.
#[must_use]
pub fn message_tail(
    topic: Topic,
    entry: &Entry,
    lens: Lens,
    version: Version,
    delivery: Delivery,
) -> MessageTail {
    let id = topic.message_id(entry.seq).map_or(0, |id| id.get());
    let (id, seq) = (id.to_string(), entry.seq.to_string());
    let destination = destination(topic, lens);
    let mut headers: Vec<(&str, &str)> = Vec::with_capacity(8 + entry.draft.headers.len());
    headers.push(("destination", &destination));
    headers.push(("message-id", &id));
    headers.push(("seq", &seq));
    if let Some(name) = &entry.draft.client_message_id {
        headers.push(("client-message-id", name));
    }
    if entry.deleted {
        headers.push(("deleted", "true"));
    }
    if delivery == Delivery::Again {
        headers.push(("redelivered", "true"));
    }
    let user = entry
        .draft
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value));
    headers.extend(user);
    let json = chat_json(topic, entry);
    let content_type = if json.is_some() {
        Some("application/json")
    } else {
        entry.draft.content_type.as_deref()
    };
    headers.extend(content_type.map(|kind| ("content-type", kind)));
    MessageTail::encode(
        version,
        headers,
        json.as_deref().unwrap_or(&entry.draft.body),
    )
}

/// A whole WebSocket frame with the MESSAGE for one form.
#[must_use]
pub fn message_frame(topic: Topic, entry: &Entry, form: &Form, tail: &MessageTail) -> Bytes {
    let id = topic.message_id(entry.seq).map_or(0, |id| id.get());
    let subscription = form.subscription.as_deref();
    let ack = form
        .acks
        .then(|| ack_id(id, subscription.unwrap_or_default()));
    let head = message_head(form.version, subscription, ack.as_deref());
    let length = head.len() + tail.bytes().len();
    let mut frame = BytesMut::with_capacity(length + 10);
    put_frame_header(&mut frame, length, tail.is_text());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(tail.bytes());
    frame.freeze()
}

/// The header of an unmasked WebSocket frame that holds a whole message (RFC 6455 §5.2).
pub fn put_frame_header(out: &mut impl BufMut, length: usize, is_text: bool) {
    out.put_u8(if is_text { 0x81 } else { 0x82 });
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.put_u8(short),
        (_, Ok(medium)) => {
            out.put_u8(126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

/// The destination by which a lens shows a topic.
#[must_use]
pub fn destination(topic: Topic, lens: Lens) -> String {
    match (topic, lens) {
        (Topic::Room(room), _) => format!("/sub/{room}"),
        (Topic::Inbox(member), Lens::Alarms) => format!("/sub/alarm/{member}"),
        (Topic::Inbox(_), Lens::Room | Lens::Notices) => "/user/queue/notifications".to_owned(),
    }
}

/// The JSON around what is stored; `None` where the stored bytes are the body.
fn chat_json(topic: Topic, entry: &Entry) -> Option<Vec<u8>> {
    let id = topic.message_id(entry.seq)?;
    let created_at = LocalDateTime::from_unix(entry.draft.sent_at);
    match (topic, entry.draft.kind) {
        (Topic::Room(room), Kind::Chat) => {
            let text = if entry.deleted {
                ""
            } else {
                std::str::from_utf8(&entry.draft.body).ok()?
            };
            let message = ChatMessage {
                chat_room_id: room,
                chat_message_id: id,
                sender_id: entry.draft.sender,
                message: text,
                created_at,
                deleted: entry.deleted,
            };
            serde_json::to_vec(&message).ok()
        }
        (_, Kind::Notice) => {
            let mut notice: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(&entry.draft.body).ok()?;
            notice.insert("notificationId".into(), id.get().into());
            notice.insert("createdAt".into(), created_at.to_string().into());
            serde_json::to_vec(&notice).ok()
        }
        (_, Kind::Alarm) => Some(entry.draft.body.to_vec()),
        (_, Kind::Chat | Kind::Opaque) => None,
    }
}

/// The encoded forms of one entry; bounded, as clients choose subscription ids freely.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    tails: Vec<(Lens, MessageTail)>,
    frames: Vec<(Arc<Form>, Bytes)>,
}

/// Frames kept of one entry. Front ends call their subscriptions alike (`sub-0`), so few differ.
const FRAMES_MAX: usize = 4;

impl Encoded {
    /// The frame of `entry` in this form: encoded at its first use, shared after.
    pub(super) fn frame(&mut self, topic: Topic, entry: &Entry, form: &Arc<Form>) -> Bytes {
        let known = self
            .frames
            .iter()
            .find(|(other, _)| Arc::ptr_eq(other, form) || other == form);
        if let Some((_, frame)) = known {
            return frame.clone();
        }
        let tail = self.tail(topic, entry, form);
        let frame = message_frame(topic, entry, form, &tail);
        if self.frames.len() < FRAMES_MAX {
            self.frames.push((Arc::clone(form), frame.clone()));
        }
        frame
    }

    /// Forgets everything: the entry changed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn tail(&mut self, topic: Topic, entry: &Entry, form: &Form) -> MessageTail {
        // One version in nearly all cases; a second one simply is not kept.
        let known = self.tails.iter().find(|(lens, _)| *lens == form.lens);
        if let (Some((_, tail)), Version::V1_2) = (known, form.version) {
            return tail.clone();
        }
        let tail = message_tail(topic, entry, form.lens, form.version, Delivery::First);
        if form.version == Version::V1_2 {
            self.tails.push((form.lens, tail.clone()));
        }
        tail
    }
}
