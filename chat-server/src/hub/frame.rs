//! MESSAGE frames, ready for the socket: WebSocket header, head of the subscription, shared tail.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use shared::clock::LocalDateTime;
use stomp::{MessageTail, Version, ack_id, message_head};

use crate::log::{Entry, Kind, Topic};
use crate::websocket_frame::{HEADER_BYTES_MAX, Payload, put_header};
use crate::wire::ChatMessage;

/// The destination by which a topic is shown; it decides which kinds of entries are visible, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestinationView {
    /// `/sub/{roomId}`: every entry.
    Room,
    /// `/sub/alarm/{memberId}`: the alarms of an inbox.
    Alarms,
    /// `/user/queue/notifications`: the notices of an inbox.
    Notices,
}

impl DestinationView {
    /// Whether an entry is visible. A deleted message of a room is, without its text: clients have
    /// shown it. A deleted notification is not.
    #[must_use]
    pub fn shows(self, entry: &Entry) -> bool {
        let kind = match self {
            Self::Room => return true,
            Self::Alarms => Kind::Alarm,
            Self::Notices => Kind::Notice,
        };
        entry.draft.kind == kind && !entry.deleted
    }
}

/// Everything that MESSAGE frames of one entry differ in between subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrameVariant {
    /// The destination.
    pub view: DestinationView,
    /// The session's version.
    pub version: Version,
    /// The subscription's id; missing only in 1.0.
    pub subscription: Option<Box<str>>,
    /// Whether the frame has an `ack` header: client modes of 1.2.
    pub acks: bool,
}

/// Whether a message is delivered for the first time on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The first delivery.
    First,
    /// After the client has rejected it once.
    Again,
}

/// The part of an entry's MESSAGE that all receivers of one version and view share.
#[must_use]
pub fn message_tail(
    topic: Topic,
    entry: &Entry,
    view: DestinationView,
    version: Version,
    delivery: Delivery,
) -> MessageTail {
    let id = topic.message_id(entry.seq).map_or(0, |id| id.get());
    let (id, seq) = (id.to_string(), entry.seq.to_string());
    let destination = destination(topic, view);
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

/// The WebSocket frame of a MESSAGE in one variant.
#[must_use]
pub fn message_frame(
    topic: Topic,
    entry: &Entry,
    variant: &FrameVariant,
    tail: &MessageTail,
) -> Bytes {
    let id = topic.message_id(entry.seq).map_or(0, |id| id.get());
    let subscription = variant.subscription.as_deref();
    let ack = variant
        .acks
        .then(|| ack_id(id, subscription.unwrap_or_default()));
    let head = message_head(variant.version, subscription, ack.as_deref());
    whole_frame(&head, tail)
}

/// A WebSocket frame with a STOMP frame in two pieces.
#[must_use]
pub fn whole_frame(head: &[u8], tail: &MessageTail) -> Bytes {
    let length = head.len() + tail.bytes().len();
    let payload = if tail.is_text() {
        Payload::Text
    } else {
        Payload::Binary
    };
    let mut frame = BytesMut::with_capacity(length + HEADER_BYTES_MAX);
    put_header(&mut frame, length, payload);
    frame.extend_from_slice(head);
    frame.extend_from_slice(tail.bytes());
    frame.freeze()
}

/// The destination by which a view shows a topic.
#[must_use]
pub fn destination(topic: Topic, view: DestinationView) -> String {
    match (topic, view) {
        (Topic::Room(room), _) => format!("/sub/{room}"),
        (Topic::Inbox(member), DestinationView::Alarms) => format!("/sub/alarm/{member}"),
        (Topic::Inbox(_), DestinationView::Room | DestinationView::Notices) => {
            "/user/queue/notifications".to_owned()
        }
    }
}

/// The JSON body of an entry; `None` where the stored bytes are the body.
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

/// Whether a frame is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Others are to read the entry after this one.
    More,
    /// Nobody else is expected to.
    Last,
}

/// The encoded variants of one entry; bounded, as clients choose subscription ids freely.
#[derive(Debug, Default)]
pub(super) struct FrameCache {
    tails: Vec<(DestinationView, MessageTail)>,
    frames: Vec<(Arc<FrameVariant>, Bytes)>,
}

/// Frames cached per entry. Front ends use the same subscription ids (`sub-0`), so few differ.
const FRAMES_MAX: usize = 4;

impl FrameCache {
    /// The frame of `entry` in this variant: encoded at its first use, and shared after if there are
    /// more readers.
    pub(super) fn frame(
        &mut self,
        topic: Topic,
        entry: &Entry,
        variant: &Arc<FrameVariant>,
        readers: Readers,
    ) -> Bytes {
        let known = self
            .frames
            .iter()
            .find(|(other, _)| Arc::ptr_eq(other, variant) || other == variant);
        if let Some((_, frame)) = known {
            return frame.clone();
        }
        let tail = self.tail(topic, entry, variant, readers);
        let frame = message_frame(topic, entry, variant, &tail);
        if readers == Readers::More && self.frames.len() < FRAMES_MAX {
            self.frames.push((Arc::clone(variant), frame.clone()));
        }
        frame
    }

    /// Drops everything: the entry has changed, or all have read it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many forms are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.tails.len() + self.frames.len()
    }

    fn tail(
        &mut self,
        topic: Topic,
        entry: &Entry,
        variant: &FrameVariant,
        readers: Readers,
    ) -> MessageTail {
        // Nearly all subscriptions use version 1.2; another version is not cached.
        let known = self.tails.iter().find(|(view, _)| *view == variant.view);
        if let (Some((_, tail)), Version::V1_2) = (known, variant.version) {
            return tail.clone();
        }
        let tail = message_tail(topic, entry, variant.view, variant.version, Delivery::First);
        if readers == Readers::More && variant.version == Version::V1_2 {
            self.tails.push((variant.view, tail.clone()));
        }
        tail
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;
    use shared::ids::{MemberId, RoomId, Seq};

    use super::*;
    use crate::log::{Draft, Uid};

    const ROOM: Topic = Topic::Room(RoomId::FIRST_ALLOCATED_BY_CHAT);

    fn inbox() -> Topic {
        Topic::Inbox(MemberId::try_from(5_u64).unwrap())
    }

    fn entry(kind: Kind, body: &[u8]) -> Entry {
        let draft = Draft {
            uid: Uid(1),
            kind,
            sender: Some(MemberId::try_from(7_u64).unwrap()),
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::copy_from_slice(body),
            sent_at: UnixMillis::EPOCH,
        };
        Entry {
            seq: Seq::try_from(3_u64).unwrap(),
            deleted: false,
            draft,
        }
    }

    fn variant(
        view: DestinationView,
        version: Version,
        subscription: &str,
        acks: bool,
    ) -> Arc<FrameVariant> {
        Arc::new(FrameVariant {
            view,
            version,
            subscription: Some(subscription.into()),
            acks,
        })
    }

    fn encode(topic: Topic, entry: &Entry, variant: &FrameVariant) -> Bytes {
        let tail = message_tail(topic, entry, variant.view, variant.version, Delivery::First);
        message_frame(topic, entry, variant, &tail)
    }

    #[track_caller]
    fn check(topic: Topic, entry: &Entry, variant: &FrameVariant, expected: &str) {
        let frame = encode(topic, entry, variant);
        let length = u8::try_from(expected.len()).unwrap();
        let header: &[u8] = match length {
            0..126 => &[0x81, length],
            126.. => &[0x81, 126, 0, length],
        };
        assert_eq!(&frame[..header.len()], header);
        let stomp = String::from_utf8_lossy(&frame[header.len()..]);
        assert_eq!(stomp, expected);
    }

    #[test]
    fn a_chat_message_has_all_its_headers() {
        let mut entry = entry(Kind::Chat, b"hi \"bob\"");
        entry.draft.client_message_id = Some("c:1".into());
        entry.draft.headers = vec![("x-tag".into(), "a\nb".into())];
        let frame = encode(
            ROOM,
            &entry,
            &variant(DestinationView::Room, Version::V1_2, "sub-0", true),
        );
        let expected = "MESSAGE\nsubscription:sub-0\nack:4503599627370499@sub-0\n\
            destination:/sub/1073741824\nmessage-id:4503599627370499\nseq:3\n\
            client-message-id:c\\c1\nx-tag:a\\nb\ncontent-type:application/json\n\
            content-length:132\n\n\
            {\"chatRoomId\":1073741824,\"chatMessageId\":4503599627370499,\"senderId\":7,\
            \"message\":\"hi \\\"bob\\\"\",\"createdAt\":\"1970-01-01T09:00:00.000\"}\0";
        let [high, low] = u16::try_from(expected.len()).unwrap().to_be_bytes();
        assert_eq!(frame[..4], [0x81, 126, high, low]);
        assert_eq!(String::from_utf8_lossy(&frame[4..]), expected);
    }

    #[test]
    fn each_version_and_lens_has_its_own_look() {
        let opaque = entry(Kind::Opaque, b"x");
        let rest = "destination:/sub/1073741824\nmessage-id:4503599627370499\nseq:3\n\
            content-length:1\n\nx\0";
        let rest_of = |head: &str| format!("MESSAGE\n{head}{rest}");
        let acked = variant(DestinationView::Room, Version::V1_2, "a:b", true);
        let expected = rest_of("subscription:a\\cb\nack:4503599627370499@a\\cb\n");
        check(ROOM, &opaque, &acked, &expected);
        let plain = variant(DestinationView::Room, Version::V1_2, "s", false);
        check(ROOM, &opaque, &plain, &rest_of("subscription:s\n"));
        let oldest = variant(DestinationView::Room, Version::V1_0, "s", false);
        check(ROOM, &opaque, &oldest, &rest_of("subscription:s\n"));
        let nameless = FrameVariant {
            subscription: None,
            ..FrameVariant::clone(&oldest)
        };
        check(ROOM, &opaque, &nameless, &rest_of(""));

        let notice = entry(Kind::Notice, br#"{"kind":"k","title":"t"}"#);
        let notices = variant(DestinationView::Notices, Version::V1_2, "n", false);
        let frame = encode(inbox(), &notice, &notices);
        let stomp = String::from_utf8_lossy(&frame);
        assert!(stomp.contains("destination:/user/queue/notifications\nmessage-id:20971523\n"));
        let (_, body) = stomp.split_once("\n\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body.trim_end_matches('\0')).unwrap();
        let expected = serde_json::json!({
            "notificationId": 20_971_523, "kind": "k", "title": "t",
            "createdAt": "1970-01-01T09:00:00.000",
        });
        assert_eq!(body, expected);

        let alarm = entry(Kind::Alarm, b"{}");
        let alarms = variant(DestinationView::Alarms, Version::V1_2, "a", false);
        let expected = "MESSAGE\nsubscription:a\ndestination:/sub/alarm/5\nmessage-id:20971523\n\
            seq:3\ncontent-type:application/json\ncontent-length:2\n\n{}\0";
        check(inbox(), &alarm, &alarms, expected);
    }

    #[test]
    fn what_was_taken_back_or_comes_again_says_so() {
        let variant = variant(DestinationView::Room, Version::V1_2, "s", false);
        let mut entry = entry(Kind::Opaque, b"");
        entry.deleted = true;
        let headers = "MESSAGE\nsubscription:s\ndestination:/sub/1073741824\n\
            message-id:4503599627370499\nseq:3\n";
        let expected = format!("{headers}deleted:true\ncontent-length:0\n\n\0");
        check(ROOM, &entry, &variant, &expected);
        // Whatever the store still has of it.
        let mut chat = self::entry(Kind::Chat, b"secret");
        chat.deleted = true;
        let frame = encode(ROOM, &chat, &variant);
        assert!(!String::from_utf8_lossy(&frame).contains("secret"));
        let again = message_tail(
            ROOM,
            &entry,
            DestinationView::Room,
            Version::V1_2,
            Delivery::Again,
        );
        let again = message_frame(ROOM, &entry, &variant, &again);
        assert!(String::from_utf8_lossy(&again).contains("deleted:true\nredelivered:true\n"));
    }

    /// RFC 6455 §5.2: the shortest form of the length is the only one allowed.
    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        let variant = variant(DestinationView::Room, Version::V1_2, "s", false);
        let frame_of = |length: usize, byte: u8| {
            // A longer body has a longer content-length, so the right one is searched.
            let fits = |body: &usize| {
                let entry = entry(Kind::Opaque, &vec![byte; *body]);
                let tail =
                    message_tail(ROOM, &entry, variant.view, variant.version, Delivery::First);
                message_head(variant.version, Some("s"), None).len() + tail.bytes().len() == length
            };
            let body = (length.saturating_sub(200)..length).find(fits).unwrap();
            encode(ROOM, &entry(Kind::Opaque, &vec![byte; body]), &variant)
        };
        let headers: [(usize, &[u8]); 5] = [
            (125, &[125]),
            (126, &[126, 0, 126]),
            (65_535, &[126, 0xff, 0xff]),
            (65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (70_000, &[127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ];
        for (length, header) in headers {
            for (byte, first) in [(b'x', 0x81), (0xff, 0x82)] {
                let frame = frame_of(length, byte);
                assert_eq!(frame[0], first);
                assert_eq!(&frame[1..=header.len()], header);
                assert_eq!(frame.len(), 1 + header.len() + length);
                assert_eq!(frame[1 + header.len()..][..8], *b"MESSAGE\n");
                assert_eq!(frame.last(), Some(&0));
            }
        }
    }

    #[test]
    fn four_forms_are_encoded_once_and_more_each_time() {
        let (entry, mut encoded) = (entry(Kind::Chat, b"text"), FrameCache::default());
        let variants: Vec<_> = (0..FRAMES_MAX + 2)
            .map(|nth| {
                variant(
                    DestinationView::Room,
                    Version::V1_2,
                    &format!("s{nth}"),
                    false,
                )
            })
            .collect();
        let mut first: Vec<Bytes> = Vec::new();
        for variant in &variants {
            first.push(encoded.frame(ROOM, &entry, variant, Readers::More));
        }
        assert_eq!(encoded.frames.len(), FRAMES_MAX);
        for (nth, (variant, first)) in variants.iter().zip(&first).enumerate() {
            // Another connection's form of the same content will do.
            let alike = Arc::new(FrameVariant::clone(variant));
            let second = encoded.frame(ROOM, &entry, &alike, Readers::More);
            assert_eq!(second, first);
            let shared = second.as_ptr() == first.as_ptr();
            assert_eq!(shared, nth < FRAMES_MAX, "variant {nth}");
        }
        // The tail is encoded once for all of one view and version.
        assert_eq!(encoded.tails.len(), 1);
        encoded.clear();
        assert!(encoded.frames.is_empty() && encoded.tails.is_empty());
    }

    #[test]
    fn an_older_version_does_not_get_the_tail_of_the_newest() {
        let mut entry = entry(Kind::Chat, b"text");
        entry.draft.client_message_id = Some("a:b".into());
        for order in [
            [Version::V1_2, Version::V1_0, Version::V1_1],
            [Version::V1_0, Version::V1_1, Version::V1_2],
        ] {
            let mut encoded = FrameCache::default();
            for version in order.into_iter().chain(order) {
                let variant = variant(DestinationView::Room, version, "s", false);
                let frame = encoded.frame(ROOM, &entry, &variant, Readers::More);
                assert_eq!(frame, encode(ROOM, &entry, &variant), "{version:?}");
            }
        }
    }
}
