//! Encoding of the messages between nodes.
//!
//! Nodes of two builds run side by side, so every message begins with a header that all versions
//! share, for ever:
//!
//! | bytes | hold |
//! |---|---|
//! | 0 | version of what follows the header |
//! | 1..9 | the sender: the node's random number, little-endian |
//! | 9..13 | how far the topic's log goes, little-endian; 0 if it is not about a log |
//! | 13 | kind |
//!
//! The rest is postcard, by version and kind. A node that cannot decode it still takes the log's
//! head from the header, and reads the store.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, MessageId, RoomId, Seq};

use crate::bus::Control;
use crate::log::{Draft, Entry, Kind, RoomEvent, Uid};

/// The version this program writes, and the only one so far that it reads.
const VERSION: u8 = 1;

const HEADER_BYTES: usize = 14;

/// 256 KiB of entries go in one message; of more only the head is published, and they are read from
/// the store. An append holds up to 1 MiB, and Redis copies a message once per subscribed node.
const ENTRIES_BYTES_MAX: usize = 256 << 10;

/// Entries in one message: as many as one read of the store gives.
const ENTRIES_MAX: usize = 512;

/// Room for everything of an entry but its strings and body.
const ENTRY_FIXED_BYTES: usize = 64;

/// A message of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BusMessage {
    /// Stored entries; positions rising by one, at least one.
    Entries(Arc<[Arc<Entry>]>),
    /// The log's head.
    Head(Seq),
    /// A room event.
    Event(RoomEvent),
    /// An order to all.
    Control(Control),
    /// Some topics have grown without a message: all heads have to be compared.
    Lost,
    /// A probe, which a node sends to itself.
    Probe {
        /// Number of its channel.
        place: u32,
        /// Rising.
        round: u64,
    },
}

/// A message of another build, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The header could be read.
    Header {
        /// The sender.
        node: u64,
        /// How far the log goes, if it is about a log.
        head: Option<Seq>,
    },
    /// Not even that.
    Nothing,
}

/// Kinds in the header. A number is never used again for something else.
mod kind {
    pub(super) const ENTRIES: u8 = 0;
    pub(super) const HEAD: u8 = 1;
    pub(super) const EVENT: u8 = 2;
    pub(super) const CONTROL: u8 = 3;
    pub(super) const LOST: u8 = 4;
    pub(super) const PROBE: u8 = 5;
}

/// Version 1 of an entry. `H` is the headers: borrowed to write, owned to read.
#[derive(Serialize, Deserialize)]
struct SentEntry<'a, H> {
    seq: u32,
    /// Little-endian.
    uid: [u8; 16],
    kind: u8,
    sender: Option<u32>,
    #[serde(borrow)]
    client_message_id: Option<&'a str>,
    headers: H,
    #[serde(borrow)]
    content_type: Option<&'a str>,
    #[serde(borrow, serialize_with = "as_bytes")]
    body: &'a [u8],
    sent_at: i64,
    deleted: bool,
}

/// Version 1 of what happens in a room. New ones go to the end.
#[derive(Serialize, Deserialize)]
enum SentEvent {
    Typing(u32),
    Read(u32, u64),
    Joined(u32),
    Left(u32),
    Deleted(u32, u64),
    Online(u32),
    Offline(u32),
}

/// Version 1 of an order. New ones go to the end.
#[derive(Serialize, Deserialize)]
enum SentControl {
    RoomChanged(u32),
    AccountStatusChanged(u32),
    Disconnect(u32),
    SessionRevoked(u32),
    ProfileChanged(u32),
    SeparationsChanged(u32),
}

/// The same bytes as serde's sequence of numbers, but copied at once.
fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// These entries, or their head alone if they are too many or too large.
pub(super) fn entries(node: u64, entries: &[Arc<Entry>]) -> Option<(Seq, Bytes)> {
    let head = entries.last()?.seq;
    let bytes: usize = entries.iter().map(|entry| entry_bytes(&entry.draft)).sum();
    if entries.len() > ENTRIES_MAX || bytes > ENTRIES_BYTES_MAX {
        return Some((head, self::head(node, head)));
    }
    let mut message = header(node, head, kind::ENTRIES, bytes + 4);
    write(&mut message, &entries.len());
    for entry in entries {
        let draft = &entry.draft;
        let sent = SentEntry {
            seq: entry.seq.get(),
            uid: draft.uid.0.to_le_bytes(),
            kind: draft.kind.code(),
            sender: draft.sender.map(u32::from),
            client_message_id: draft.client_message_id.as_deref(),
            headers: draft.headers.as_slice(),
            content_type: draft.content_type.as_deref(),
            body: &draft.body,
            sent_at: draft.sent_at.get(),
            deleted: entry.deleted,
        };
        write(&mut message, &sent);
    }
    Some((head, message.into()))
}

pub(super) fn head(node: u64, head: Seq) -> Bytes {
    header(node, head, kind::HEAD, 0).into()
}

pub(super) fn event(node: u64, event: RoomEvent) -> Bytes {
    let sent = match event {
        RoomEvent::Typing { member_id } => SentEvent::Typing(member_id.get()),
        RoomEvent::Read { member_id, up_to } => SentEvent::Read(member_id.get(), up_to.get()),
        RoomEvent::Joined { member_id } => SentEvent::Joined(member_id.get()),
        RoomEvent::Left { member_id } => SentEvent::Left(member_id.get()),
        RoomEvent::Online { member_id } => SentEvent::Online(member_id.get()),
        RoomEvent::Offline { member_id } => SentEvent::Offline(member_id.get()),
        RoomEvent::Deleted {
            member_id,
            chat_message_id,
        } => SentEvent::Deleted(member_id.get(), chat_message_id.get()),
    };
    small(node, kind::EVENT, &sent)
}

pub(super) fn control(node: u64, control: Control) -> Bytes {
    let sent = match control {
        Control::RoomChanged { room_id } => SentControl::RoomChanged(room_id.get()),
        Control::AccountStatusChanged { member_id } => {
            SentControl::AccountStatusChanged(member_id.get())
        }
        Control::Disconnect { member_id } => SentControl::Disconnect(member_id.get()),
        Control::SessionRevoked { member_id } => SentControl::SessionRevoked(member_id.get()),
        Control::ProfileChanged { member_id } => SentControl::ProfileChanged(member_id.get()),
        Control::SeparationsChanged { member_id } => {
            SentControl::SeparationsChanged(member_id.get())
        }
    };
    small(node, kind::CONTROL, &sent)
}

pub(super) fn lost(node: u64) -> Bytes {
    header(node, Seq::ZERO, kind::LOST, 0).into()
}

pub(super) fn probe(node: u64, place: u32, round: u64) -> Bytes {
    small(node, kind::PROBE, &(place, round))
}

fn small(node: u64, kind: u8, body: &impl Serialize) -> Bytes {
    let mut message = header(node, Seq::ZERO, kind, 24);
    write(&mut message, body);
    message.into()
}

fn header(node: u64, head: Seq, kind: u8, body_bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_BYTES + body_bytes);
    message.push(VERSION);
    message.extend_from_slice(&node.to_le_bytes());
    message.extend_from_slice(&head.get().to_le_bytes());
    message.push(kind);
    message
}

fn write(message: &mut Vec<u8>, value: &impl Serialize) {
    let bytes = std::mem::take(message);
    *message = postcard::to_extend(value, bytes).expect("a growing buffer takes plain fields");
}

/// About what an entry takes: never less.
fn entry_bytes(draft: &Draft) -> usize {
    let headers = draft
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6);
    let texts = [&draft.client_message_id, &draft.content_type];
    let texts = texts
        .iter()
        .filter_map(|text| text.as_ref())
        .map(|text| text.len());
    ENTRY_FIXED_BYTES + headers.sum::<usize>() + texts.sum::<usize>() + draft.body.len()
}

/// The sender and its message.
pub(super) fn read(message: &[u8]) -> Result<(u64, BusMessage), Unreadable> {
    let (header, body) = message
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Unreadable::Nothing)?;
    let [version, header @ ..] = header;
    let (node, header) = header.split_first_chunk().ok_or(Unreadable::Nothing)?;
    let (head, kind) = header.split_first_chunk().ok_or(Unreadable::Nothing)?;
    let node = u64::from_le_bytes(*node);
    let head = Seq::try_from(u64::from(u32::from_le_bytes(*head))).ok();
    let head = head.ok_or(Unreadable::Nothing)?;
    let said = match kind {
        [kind] if *version == VERSION => read_body(*kind, head, body),
        _ => None,
    };
    let head = (head != Seq::ZERO).then_some(head);
    let said = said.ok_or(Unreadable::Header { node, head })?;
    Ok((node, said))
}

fn read_body(kind: u8, head: Seq, body: &[u8]) -> Option<BusMessage> {
    match kind {
        kind::ENTRIES => read_entries(head, body),
        kind::HEAD if body.is_empty() && head != Seq::ZERO => Some(BusMessage::Head(head)),
        kind::EVENT => whole(body).and_then(read_event).map(BusMessage::Event),
        kind::CONTROL => whole(body).and_then(read_control).map(BusMessage::Control),
        kind::LOST if body.is_empty() => Some(BusMessage::Lost),
        kind::PROBE => whole(body).map(|(place, round)| BusMessage::Probe { place, round }),
        _ => None,
    }
}

fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

fn read_entries(head: Seq, body: &[u8]) -> Option<BusMessage> {
    let (count, mut rest): (usize, &[u8]) = postcard::take_from_bytes(body).ok()?;
    if !(1..=ENTRIES_MAX).contains(&count) {
        return None;
    }
    let mut entries: Vec<Arc<Entry>> = Vec::with_capacity(count);
    for _ in 0..count {
        let (sent, after): (SentEntry<'_, _>, _) = postcard::take_from_bytes(rest).ok()?;
        rest = after;
        let entry = read_entry(sent)?;
        let follows = |last: &Arc<Entry>| last.seq.next() == Some(entry.seq);
        if !entries.last().is_none_or(follows) {
            return None;
        }
        entries.push(Arc::new(entry));
    }
    let is_sound = rest.is_empty() && entries.last()?.seq == head;
    is_sound.then(|| BusMessage::Entries(entries.into()))
}

fn read_entry(sent: SentEntry<'_, Vec<(Box<str>, Box<str>)>>) -> Option<Entry> {
    let seq = Seq::try_from(u64::from(sent.seq)).ok()?;
    let draft = Draft {
        uid: Uid(u128::from_le_bytes(sent.uid)),
        kind: Kind::from_code(sent.kind)?,
        sender: match sent.sender {
            Some(id) => Some(member(id)?),
            None => None,
        },
        client_message_id: sent.client_message_id.map(Box::from),
        headers: sent.headers,
        content_type: sent.content_type.map(Box::from),
        // A copy: a slice would keep the whole of what the connection read at once.
        body: Bytes::copy_from_slice(sent.body),
        sent_at: UnixMillis::try_from(sent.sent_at).ok()?,
    };
    Some(Entry {
        seq,
        deleted: sent.deleted,
        draft,
    })
}

fn read_event(sent: SentEvent) -> Option<RoomEvent> {
    Some(match sent {
        SentEvent::Typing(id) => RoomEvent::Typing {
            member_id: member(id)?,
        },
        SentEvent::Read(id, up_to) => RoomEvent::Read {
            member_id: member(id)?,
            up_to: MessageId::try_from(up_to).ok()?,
        },
        SentEvent::Joined(id) => RoomEvent::Joined {
            member_id: member(id)?,
        },
        SentEvent::Left(id) => RoomEvent::Left {
            member_id: member(id)?,
        },
        SentEvent::Online(id) => RoomEvent::Online {
            member_id: member(id)?,
        },
        SentEvent::Offline(id) => RoomEvent::Offline {
            member_id: member(id)?,
        },
        SentEvent::Deleted(id, message) => RoomEvent::Deleted {
            member_id: member(id)?,
            chat_message_id: MessageId::try_from(message).ok()?,
        },
    })
}

fn read_control(sent: SentControl) -> Option<Control> {
    Some(match sent {
        SentControl::RoomChanged(id) => Control::RoomChanged {
            room_id: RoomId::try_from(u64::from(id)).ok()?,
        },
        SentControl::AccountStatusChanged(id) => Control::AccountStatusChanged {
            member_id: member(id)?,
        },
        SentControl::Disconnect(id) => Control::Disconnect {
            member_id: member(id)?,
        },
        SentControl::SessionRevoked(id) => Control::SessionRevoked {
            member_id: member(id)?,
        },
        SentControl::ProfileChanged(id) => Control::ProfileChanged {
            member_id: member(id)?,
        },
        SentControl::SeparationsChanged(id) => Control::SeparationsChanged {
            member_id: member(id)?,
        },
    })
}

fn member(id: u32) -> Option<MemberId> {
    MemberId::try_from(u64::from(id)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: u64 = 0x0807_0605_0403_0201;

    fn seq(number: u64) -> Seq {
        Seq::try_from(number).unwrap()
    }

    fn member(number: u64) -> MemberId {
        MemberId::try_from(number).unwrap()
    }

    fn room() -> RoomId {
        RoomId::try_from(42_u64).unwrap()
    }

    fn entry(at: u64, body: &'static str) -> Arc<Entry> {
        Arc::new(Entry {
            seq: seq(at),
            deleted: at.is_multiple_of(2),
            draft: Draft {
                uid: Uid(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
                kind: Kind::Chat,
                sender: Some(member(300)),
                client_message_id: Some("c-1".into()),
                headers: vec![("priority".into(), "9".into())],
                content_type: Some("text/plain".into()),
                body: Bytes::from_static(body.as_bytes()),
                sent_at: UnixMillis::try_from(1_754_537_696_789_i64).unwrap(),
            },
        })
    }

    /// `message` is `golden` (hex) and decodes as `said`; cut or lengthened it does not.
    fn check(message: &Bytes, golden: &str, said: &BusMessage) {
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(read(message).as_ref(), Ok(&(NODE, said.clone())));
        for cut in 0..message.len() {
            let expected_header = cut >= HEADER_BYTES;
            let is_header = matches!(read(&message[..cut]), Err(Unreadable::Header { .. }));
            assert_eq!(is_header, expected_header, "cut at {cut}");
        }
        let longer = [message, &[0][..]].concat();
        assert!(read(&longer).is_err(), "longer");
    }

    #[test]
    fn entries_have_golden_bytes() {
        let sent: Arc<[_]> = [entry(7, "안녕"), entry(8, "")].into();
        let (head, message) = entries(NODE, &sent).unwrap();
        assert_eq!(head, seq(8));
        check(
            &message,
            "01010203040506070808000000000207100f0e0d0c0b0a0908070605040302010001ac020103632d\
             3101087072696f726974790139010a746578742f706c61696e06ec9588eb8595aaf8c4a990660008\
             100f0e0d0c0b0a0908070605040302010001ac020103632d3101087072696f726974790139010a74\
             6578742f706c61696e00aaf8c4a9906601",
            &BusMessage::Entries(sent),
        );
    }

    #[test]
    fn the_rest_has_golden_bytes() {
        let header = |head: &str, kind: &str| format!("010102030405060708{head}{kind}");
        let none = "00000000";
        check(
            &head(NODE, seq(300)),
            &header("2c010000", "01"),
            &BusMessage::Head(seq(300)),
        );
        check(&lost(NODE), &header(none, "04"), &BusMessage::Lost);
        let asked = BusMessage::Probe {
            place: 2,
            round: 300,
        };
        check(
            &probe(NODE, 2, 300),
            &(header(none, "05") + "02ac02"),
            &asked,
        );
    }

    #[test]
    fn events_have_golden_bytes() {
        let (member_id, id) = (member(300), MessageId::in_room(room(), seq(3)).unwrap());
        let chat_message_id = id;
        for (sent, golden) in [
            (RoomEvent::Typing { member_id }, "00ac02"),
            (
                RoomEvent::Read {
                    member_id,
                    up_to: id,
                },
                "01ac0283808054",
            ),
            (RoomEvent::Joined { member_id }, "02ac02"),
            (RoomEvent::Left { member_id }, "03ac02"),
            (
                RoomEvent::Deleted {
                    member_id,
                    chat_message_id,
                },
                "04ac0283808054",
            ),
            (RoomEvent::Online { member_id }, "05ac02"),
            (RoomEvent::Offline { member_id }, "06ac02"),
        ] {
            let golden = format!("0101020304050607080000000002{golden}");
            check(&event(NODE, sent), &golden, &BusMessage::Event(sent));
        }
    }

    #[test]
    fn orders_have_golden_bytes() {
        for (order, golden) in [
            (Control::RoomChanged { room_id: room() }, "002a"),
            (
                Control::AccountStatusChanged {
                    member_id: member(7),
                },
                "0107",
            ),
            (
                Control::Disconnect {
                    member_id: member(7),
                },
                "0207",
            ),
            (
                Control::SessionRevoked {
                    member_id: member(7),
                },
                "0307",
            ),
            (
                Control::ProfileChanged {
                    member_id: member(7),
                },
                "0407",
            ),
            (
                Control::SeparationsChanged {
                    member_id: member(7),
                },
                "0507",
            ),
        ] {
            let golden = format!("0101020304050607080000000003{golden}");
            check(&control(NODE, order), &golden, &BusMessage::Control(order));
        }
    }

    #[test]
    fn other_versions_and_kinds_still_tell_the_head() {
        let (_, message) = entries(NODE, &[entry(7, "a")]).unwrap();
        let unreadable = Err(Unreadable::Header {
            node: NODE,
            head: Some(seq(7)),
        });
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            let other = [&[version], &message[1..]].concat();
            assert_eq!(read(&other), unreadable, "version {version}");
        }
        let mut other = message.to_vec();
        other[13] = 99;
        assert_eq!(read(&other), unreadable);
        let unknown_event = [
            &event(
                NODE,
                RoomEvent::Left {
                    member_id: member(1),
                },
            )[..14],
            &[99, 1],
        ];
        let unreadable = Err(Unreadable::Header {
            node: NODE,
            head: None,
        });
        assert_eq!(read(&unknown_event.concat()), unreadable);
    }

    #[test]
    fn too_much_for_one_message_is_its_head() {
        let large = Arc::new(Entry {
            draft: Draft {
                body: vec![b'a'; ENTRIES_BYTES_MAX].into(),
                ..entry(9, "").draft.clone()
            },
            ..(*entry(9, "")).clone()
        });
        let (_, message) = entries(NODE, &[large]).unwrap();
        assert_eq!(read(&message), Ok((NODE, BusMessage::Head(seq(9)))));
        let many: Vec<_> = (1..=513).map(|at| entry(at, "")).collect();
        let (_, message) = entries(NODE, &many).unwrap();
        assert_eq!(read(&message), Ok((NODE, BusMessage::Head(seq(513)))));
        let fit = &many[..512];
        let (_, message) = entries(NODE, fit).unwrap();
        assert_eq!(read(&message), Ok((NODE, BusMessage::Entries(fit.into()))));
        assert_eq!(entries(NODE, &[]), None);
    }

    #[test]
    fn positions_that_do_not_follow_are_refused() {
        let (_, message) = entries(NODE, &[entry(7, "a"), entry(9, "b")]).unwrap();
        assert!(read(&message).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..96),
            kind in 0_u8..8,
        ) {
            drop(read(&bytes));
            let versioned = [header(NODE, seq(7), kind, 0), bytes].concat();
            drop(read(&versioned));
        }

        #[test]
        fn no_entry_is_larger_than_estimated(
            texts in prop::collection::vec(".{0,300}", 4),
            body in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut sent = (*entry(1, "")).clone();
            sent.draft.client_message_id = Some(texts[0].as_str().into());
            sent.draft.content_type = Some(texts[1].as_str().into());
            sent.draft.headers = vec![(texts[2].as_str().into(), texts[3].as_str().into()); 3];
            sent.draft.body = Bytes::from(body);
            let estimated = entry_bytes(&sent.draft);
            let sent: Arc<[_]> = [Arc::new(sent)].into();
            let (_, message) = entries(NODE, &sent).unwrap();
            prop_assert!(message.len() <= HEADER_BYTES + 4 + estimated);
            prop_assert_eq!(read(&message), Ok((NODE, BusMessage::Entries(sent))));
        }
    }
}
