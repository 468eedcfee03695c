//! The stored form of entries, rooms, memberships, read marks and room heads.
//!
//! Every value is a version byte and the fields of that version. These are types of their own, so
//! that a change to the program's types cannot silently change what is on the disk; golden bytes in
//! the tests fix them. A record that cannot be decoded is [`StoreError::Corrupt`], never a panic.
//!
//! Keys, which hold the topic, the position, the member and the room, are not encoded here.

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, Seq};

use super::{AccountStatus, Role, Room, StoreError};
use crate::log::{Draft, Entry, Kind, Uid};

/// The version this program writes, and the only one so far that it reads.
const VERSION: u8 = 1;

/// Room for everything of an entry but its strings and body: version, uid, kind, sender, lengths.
const ENTRY_FIXED_BYTES: usize = 64;

/// Version 1 of an entry, in postcard. `H` is the headers: borrowed to write, owned to read.
#[derive(Serialize, Deserialize)]
struct StoredEntry<'a, H> {
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

/// The same bytes as serde's sequence of numbers, but copied at once.
fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let draft = &entry.draft;
    let stored = StoredEntry {
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
    encode(
        &stored,
        ENTRY_FIXED_BYTES + text_bytes(draft) + draft.body.len(),
    )
}

/// Bytes of an entry's strings, with two for each length.
fn text_bytes(draft: &Draft) -> usize {
    let headers = draft
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    let others = [&draft.client_message_id, &draft.content_type];
    headers.sum::<usize>()
        + others
            .iter()
            .filter_map(|text| text.as_ref())
            .map(|text| text.len())
            .sum::<usize>()
}

pub(super) fn decode_entry(seq: Seq, bytes: &[u8]) -> Result<Entry, StoreError> {
    const WHAT: &str = "entry";
    type Headers = Vec<(Box<str>, Box<str>)>;
    let stored: StoredEntry<'_, Headers> = decode(WHAT, bytes)?;
    let draft = Draft {
        uid: Uid(u128::from_le_bytes(stored.uid)),
        kind: Kind::from_code(stored.kind).ok_or_else(|| corrupt(WHAT, "unknown kind"))?,
        sender: stored.sender.map(|id| member(WHAT, id)).transpose()?,
        client_message_id: stored.client_message_id.map(Box::from),
        headers: stored.headers,
        content_type: stored.content_type.map(Box::from),
        // A copy: a slice would keep the whole block of the disk's cache alive.
        body: Bytes::copy_from_slice(stored.body),
        sent_at: moment(WHAT, stored.sent_at)?,
    };
    Ok(Entry {
        seq,
        deleted: stored.deleted,
        draft,
    })
}

/// Rooms are JSON: few, read once into a cache, and fields may come and go.
pub(super) fn encode_room(room: &Room) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, room).expect("a room has string keys only");
    bytes
}

pub(super) fn decode_room(bytes: &[u8]) -> Result<Room, StoreError> {
    const WHAT: &str = "room";
    serde_json::from_slice(body_of(WHAT, bytes)?).map_err(|error| corrupt(WHAT, &error.to_string()))
}

pub(super) fn encode_membership(role: Role) -> [u8; 2] {
    [VERSION, role_code(role)]
}

pub(super) fn decode_membership(bytes: &[u8]) -> Result<Role, StoreError> {
    const WHAT: &str = "membership";
    match body_of(WHAT, bytes)? {
        [code] => role_of(*code).ok_or_else(|| corrupt(WHAT, "unknown role")),
        _ => Err(corrupt(WHAT, "not one role")),
    }
}

pub(super) fn role_code(role: Role) -> u8 {
    match role {
        Role::Buyer => 0,
        Role::Seller => 1,
        Role::Member => 2,
    }
}

pub(super) fn role_of(code: u8) -> Option<Role> {
    match code {
        0 => Some(Role::Buyer),
        1 => Some(Role::Seller),
        2 => Some(Role::Member),
        _ => None,
    }
}

pub(super) fn encode_mark(seq: Seq) -> [u8; 5] {
    let [a, b, c, d] = seq.get().to_be_bytes();
    [VERSION, a, b, c, d]
}

pub(super) fn decode_mark(bytes: &[u8]) -> Result<Seq, StoreError> {
    const WHAT: &str = "read mark";
    let number = <[u8; 4]>::try_from(body_of(WHAT, bytes)?)
        .map_err(|error| corrupt(WHAT, &error.to_string()))?;
    position(WHAT, u32::from_be_bytes(number))
}

/// A member's account status and since when.
pub(super) fn encode_account_status(status: AccountStatus, at: UnixMillis) -> [u8; 10] {
    let code = match status {
        AccountStatus::Good => 0,
        AccountStatus::Blocked => 1,
    };
    let mut bytes = [VERSION; 10];
    bytes[1] = code;
    bytes[2..].copy_from_slice(&at.get().to_be_bytes());
    bytes
}

pub(super) fn decode_account_status(
    bytes: &[u8],
) -> Result<(AccountStatus, UnixMillis), StoreError> {
    const WHAT: &str = "status";
    let [code, at @ ..] = body_of(WHAT, bytes)? else {
        return Err(corrupt(WHAT, "no bytes"));
    };
    let status = match code {
        0 => AccountStatus::Good,
        1 => AccountStatus::Blocked,
        _ => return Err(corrupt(WHAT, "unknown status")),
    };
    let at = <[u8; 8]>::try_from(at).map_err(|error| corrupt(WHAT, &error.to_string()))?;
    Ok((status, moment(WHAT, i64::from_be_bytes(at))?))
}

/// A member's record: its stamp, when it expires (0: never), its value.
pub(super) fn encode_member_record(
    stamp: u64,
    expires_at: Option<UnixMillis>,
    value: &[u8],
) -> Vec<u8> {
    let expires_at = expires_at.map_or(0, UnixMillis::get);
    let mut bytes = Vec::with_capacity(17 + value.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&stamp.to_be_bytes());
    bytes.extend_from_slice(&expires_at.to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

pub(super) fn decode_member_record(
    bytes: &[u8],
) -> Result<(u64, Option<UnixMillis>, &[u8]), StoreError> {
    const WHAT: &str = "member record";
    let body = body_of(WHAT, bytes)?;
    let (Some((stamp, rest)), true) = (body.split_first_chunk(), body.len() >= 16) else {
        return Err(corrupt(WHAT, "too short"));
    };
    let Some((expires_at, value)) = rest.split_first_chunk() else {
        return Err(corrupt(WHAT, "too short"));
    };
    let expires_at = match i64::from_be_bytes(*expires_at) {
        0 => None,
        millis => Some(moment(WHAT, millis)?),
    };
    Ok((u64::from_be_bytes(*stamp), expires_at, value))
}

fn encode(value: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(VERSION);
    postcard::to_extend(value, bytes).expect("a growing buffer takes plain fields")
}

fn decode<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, StoreError> {
    match postcard::take_from_bytes(body_of(what, bytes)?) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(corrupt(what, &format!("{} bytes too many", rest.len()))),
        Err(error) => Err(corrupt(what, &error.to_string())),
    }
}

/// What follows the version byte.
fn body_of<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match bytes {
        [VERSION, body @ ..] => Ok(body),
        [version, ..] => Err(corrupt(what, &format!("unknown version {version}"))),
        [] => Err(corrupt(what, "no bytes")),
    }
}

fn member(what: &str, id: u32) -> Result<MemberId, StoreError> {
    MemberId::try_from(u64::from(id)).map_err(|error| corrupt(what, &error.to_string()))
}

fn position(what: &str, seq: u32) -> Result<Seq, StoreError> {
    Seq::try_from(u64::from(seq)).map_err(|error| corrupt(what, &error.to_string()))
}

fn moment(what: &str, millis: i64) -> Result<UnixMillis, StoreError> {
    UnixMillis::try_from(millis).map_err(|error| corrupt(what, &error.to_string()))
}

fn corrupt(what: &str, why: &str) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::store::{ItemType, Product, RoomMember};

    fn seq(number: u64) -> Seq {
        Seq::try_from(number).unwrap()
    }

    fn member_id(number: u64) -> MemberId {
        MemberId::try_from(number).unwrap()
    }

    fn full_entry() -> Entry {
        Entry {
            seq: seq(7),
            deleted: false,
            draft: Draft {
                uid: Uid(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
                kind: Kind::Chat,
                sender: Some(member_id(300)),
                client_message_id: Some("c-1".into()),
                headers: vec![("priority".into(), "9".into())],
                content_type: Some("text/plain".into()),
                body: Bytes::from_static("안녕".as_bytes()),
                sent_at: UnixMillis::try_from(1_754_537_696_789_i64).unwrap(),
            },
        }
    }

    fn small_entry() -> Entry {
        Entry {
            seq: seq(1),
            deleted: true,
            draft: Draft {
                uid: Uid(0),
                kind: Kind::Notice,
                sender: None,
                client_message_id: None,
                headers: Vec::new(),
                content_type: None,
                body: Bytes::new(),
                sent_at: UnixMillis::EPOCH,
            },
        }
    }

    fn full_room() -> Room {
        Room {
            room_id: 42_u64.try_into().unwrap(),
            members: vec![RoomMember {
                member_id: member_id(1),
                role: Role::Seller,
                name: "Kim".to_owned(),
                image_url: Some("/a.png".to_owned()),
            }],
            product: Some(Product {
                product_id: 3_u64.try_into().unwrap(),
                item_id: 4_u64.try_into().unwrap(),
                item_type: ItemType::Wifi,
                start_time: Some("09:00".to_owned()),
                end_time: Some("18:00".to_owned()),
            }),
            opaque: true,
            created_at: UnixMillis::try_from(1_000_i64).unwrap(),
        }
    }

    /// `value` is written as `golden` (hex) and `golden` is read as `value`.
    fn check<T: PartialEq + Debug>(
        value: &T,
        written: &[u8],
        golden: &str,
        read: impl Fn(&[u8]) -> Result<T, StoreError>,
    ) {
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(&read(written).unwrap(), value);
        for cut in 0..written.len() {
            assert!(
                matches!(read(&written[..cut]), Err(StoreError::Corrupt(_))),
                "cut at {cut}"
            );
        }
        assert!(
            matches!(read(&[written, &[0]].concat()), Err(StoreError::Corrupt(_))),
            "longer"
        );
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            let other = [&[version], &written[1..]].concat();
            assert!(
                matches!(read(&other), Err(StoreError::Corrupt(_))),
                "version {version}"
            );
        }
    }

    #[test]
    fn entry_has_golden_bytes() {
        let entry = full_entry();
        check(
            &entry,
            &encode_entry(&entry),
            "01100f0e0d0c0b0a0908070605040302010001ac0201\
             03632d3101087072696f726974790139010a746578742f706c61696e06ec9588eb8595aaf8c4a9906600",
            |bytes| decode_entry(seq(7), bytes),
        );
        let entry = small_entry();
        check(
            &entry,
            &encode_entry(&entry),
            "010000000000000000000000000000000003000000000000 01"
                .replace(' ', "")
                .as_str(),
            |bytes| decode_entry(seq(1), bytes),
        );
    }

    #[test]
    fn room_has_golden_bytes() {
        let room = full_room();
        let written = encode_room(&room);
        assert_eq!(
            std::str::from_utf8(&written).unwrap(),
            "\u{1}{\"roomId\":42,\"members\":[{\"memberId\":1,\"role\":\"SELLER\",\"name\":\"Kim\",\
             \"imageUrl\":\"/a.png\"}],\"product\":{\"productId\":3,\"itemId\":4,\"itemType\":\"WIFI\",\
             \"startTime\":\"09:00\",\"endTime\":\"18:00\"},\"opaque\":true,\"createdAt\":1000}"
        );
        assert_eq!(decode_room(&written).unwrap(), room);
        let older = "\u{1}{\"roomId\":42,\"members\":[],\"createdAt\":1000}";
        let bare = Room {
            members: Vec::new(),
            product: None,
            opaque: false,
            ..room
        };
        assert_eq!(decode_room(older.as_bytes()).unwrap(), bare);
        assert!(matches!(
            decode_room(b"\x02{}"),
            Err(StoreError::Corrupt(_))
        ));
    }

    #[test]
    fn small_records_have_golden_bytes() {
        for (role, golden) in [
            (Role::Buyer, "0100"),
            (Role::Seller, "0101"),
            (Role::Member, "0102"),
        ] {
            check(&role, &encode_membership(role), golden, decode_membership);
        }
        check(&Seq::MAX, &encode_mark(Seq::MAX), "01003fffff", decode_mark);
        for (status, golden) in [
            (AccountStatus::Good, "010000000000000003e8"),
            (AccountStatus::Blocked, "010100000000000003e8"),
        ] {
            let at = UnixMillis::try_from(1_000_i64).unwrap();
            let written = encode_account_status(status, at);
            check(&(status, at), &written, golden, decode_account_status);
        }
        let expires_at = Some(UnixMillis::try_from(1_000_i64).unwrap());
        let written = encode_member_record(258, expires_at, b"v");
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01000000000000010200000000000003e876");
        let read = decode_member_record(&written).unwrap();
        assert_eq!(read, (258, expires_at, &b"v"[..]));
        assert!(matches!(
            decode_member_record(&written[..16]),
            Err(StoreError::Corrupt(_))
        ));
    }

    #[test]
    fn values_out_of_bounds_are_damage() {
        assert!(matches!(
            decode_mark(&[VERSION, 0, 0x40, 0, 0]),
            Err(StoreError::Corrupt(_))
        ));
        assert!(matches!(
            decode_membership(&[VERSION, 3]),
            Err(StoreError::Corrupt(_))
        ));
        let mut bytes = encode_entry(&small_entry());
        bytes[17] = 4;
        assert!(
            matches!(decode_entry(seq(1), &bytes), Err(StoreError::Corrupt(_))),
            "kind"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_record_or_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            let versioned = [&[VERSION], bytes.as_slice()].concat();
            for bytes in [bytes, versioned] {
                // Only the absence of a panic is tested here.
                drop(decode_entry(seq(1), &bytes));
                drop(decode_room(&bytes));
                drop(decode_membership(&bytes));
                drop(decode_mark(&bytes));
                drop(decode_account_status(&bytes));
                drop(decode_member_record(&bytes).map(|_| ()));
            }
        }

        #[test]
        fn every_entry_round_trips(
            uid in any::<u128>(),
            sender in prop::option::of(1_u64..1 << 31),
            texts in prop::collection::vec(".{0,300}", 4),
            body in prop::collection::vec(any::<u8>(), 0..400),
            deleted in any::<bool>(),
        ) {
            let mut entry = full_entry();
            entry.deleted = deleted;
            entry.draft.uid = Uid(uid);
            entry.draft.sender = sender.map(member_id);
            entry.draft.client_message_id = Some(texts[0].as_str().into());
            entry.draft.content_type = Some(texts[1].as_str().into());
            entry.draft.headers = vec![(texts[2].as_str().into(), texts[3].as_str().into())];
            entry.draft.body = Bytes::from(body);
            let bytes = encode_entry(&entry);
            prop_assert_eq!(decode_entry(entry.seq, &bytes).unwrap(), entry);
        }
    }
}
