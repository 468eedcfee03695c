//! The shapes of answers, as the tables of the contract have them: which fields there are, and of
//! which type.

use serde_json::Value;
use shared::clock::LocalDateTime;

use Is::{Count, Date, DateTime, Flag, Id, Number, OrNull, Text, Texts};

/// What a browser's numbers hold exactly, and so what ids stay below.
const EXACT_MAX: u64 = 1 << 53;

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Is {
    /// A positive integer that a browser keeps exact.
    Id,
    /// An integer from 0 on.
    Count,
    Number,
    Text,
    Flag,
    /// `2025-08-07`
    Date,
    /// `2025-08-07T12:34:56`, with or without parts of seconds, without an offset.
    DateTime,
    /// Texts.
    Texts,
    /// The type, or null.
    OrNull(&'static Is),
    One(&'static [Field]),
    Many(&'static [Field]),
}

/// A field: its name, with `?` behind it if it may be missing, and its type.
pub(crate) type Field = (&'static str, Is);

/// Nothing is missing and nothing is of another type.
pub(crate) fn check(what: &str, value: &Value, fields: &[Field]) {
    let mut wrong = Vec::new();
    find(&mut wrong, "", value, fields);
    assert!(wrong.is_empty(), "{what}: {wrong:?} in {value:#}");
}

/// The same of every one of a list, which must not be empty.
pub(crate) fn check_all(what: &str, rows: &Value, fields: &[Field]) {
    let rows = rows
        .as_array()
        .unwrap_or_else(|| panic!("{what}: no list: {rows}"));
    assert!(!rows.is_empty(), "{what}: empty");
    for row in rows {
        check(what, row, fields);
    }
}

fn find(wrong: &mut Vec<String>, path: &str, value: &Value, fields: &[Field]) {
    for (name, is) in fields {
        let (name, may_miss) = match name.strip_suffix('?') {
            Some(name) => (name, true),
            None => (*name, false),
        };
        let place = format!("{path}.{name}");
        match value.get(name) {
            None if may_miss => {}
            Some(Value::Null) if may_miss => {}
            None => wrong.push(format!("{place} is missing")),
            Some(value) => find_type(wrong, &place, value, *is),
        }
    }
}

fn find_type(wrong: &mut Vec<String>, place: &str, value: &Value, is: Is) {
    let text = || value.as_str();
    let right = match is {
        Id => value.as_u64().is_some_and(|id| id > 0 && id < EXACT_MAX),
        Count => value.as_u64().is_some(),
        Number => value.is_number(),
        Text => value.is_string(),
        Flag => value.is_boolean(),
        Date => text().is_some_and(|text| {
            text.len() == 10 && format!("{text}T00:00:00").parse::<LocalDateTime>().is_ok()
        }),
        DateTime => text().is_some_and(|text| {
            text.contains('T') && text.len() >= 19 && text.parse::<LocalDateTime>().is_ok()
        }),
        Texts => value
            .as_array()
            .is_some_and(|all| all.iter().all(Value::is_string)),
        OrNull(is) => {
            if !value.is_null() {
                find_type(wrong, place, value, *is);
            }
            true
        }
        Is::One(fields) => {
            find(wrong, place, value, fields);
            value.is_object()
        }
        Is::Many(fields) => {
            let rows = value.as_array().into_iter().flatten();
            for (nth, row) in rows.enumerate() {
                find(wrong, &format!("{place}[{nth}]"), row, fields);
            }
            value.is_array()
        }
    };
    if !right {
        wrong.push(format!("{place} is {value}, not {is:?}"));
    }
}

/// Pictures that members and offers may be without.
const PICTURE: Is = OrNull(&Text);

pub(crate) const MEMBER: &[Field] = &[
    ("memberId", Id),
    ("name", Text),
    ("profileImageUrl", PICTURE),
    ("joinedAt", Date),
    ("averageRating", Number),
    ("reviewCount", Count),
    ("tradeCount", Count),
];

pub(crate) const CASH: &[Field] = &[("cash", Count)];

pub(crate) const GIGABYTES: &[Field] = &[("data", Number)];

pub(crate) const PLAN: &[Field] = &[
    ("name", Text),
    ("currentDataAmount", Number),
    ("providingDataAmount", Number),
    ("monthlyPrice", Count),
];

pub(crate) const UPLOAD: &[Field] = &[
    ("filename", Text),
    ("url", Text),
    ("publicUrl", Text),
    ("key", Text),
];

const PAGE_INFO: &[Field] = &[
    ("nextCursorId", OrNull(&Id)),
    ("hasNext", Flag),
    ("size", Count),
];

pub(crate) const PAGE: &[Field] = &[("data", Is::Many(&[])), ("pageInfo", Is::One(PAGE_INFO))];

pub(crate) const DATA_ROW: &[Field] = &[
    ("productId", Id),
    ("price", Count),
    ("itemId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("remainAmount", Number),
    ("pricePer100MB", Count),
    ("splitType", Flag),
    ("updatedAt", DateTime),
];

pub(crate) const WIFI_ROW: &[Field] = &[
    ("productId", Id),
    ("price", Count),
    ("itemId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("title", Text),
    ("imageUrl", PICTURE),
    ("latitude", Number),
    ("longitude", Number),
    ("address", Text),
    ("averageRate", Number),
    ("distanceKm", Number),
    ("open", Flag),
    ("startTime", DateTime),
    ("endTime", DateTime),
];

pub(crate) const DATA_VIEW: &[Field] = &[
    ("productId", Id),
    ("itemId", Id),
    ("price", Count),
    ("memberId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("remainAmount", Number),
    ("pricePer100MB", Count),
    ("averageRate", Number),
    ("reviewCount", Count),
    ("myProduct", Flag),
    ("splitType", Flag),
    ("updatedAt", DateTime),
    ("productState", Text),
];

pub(crate) const WIFI_VIEW: &[Field] = &[
    ("productId", Id),
    ("itemId", Id),
    ("price", Count),
    ("memberId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("title", Text),
    ("content", Text),
    ("latitude", Number),
    ("longitude", Number),
    ("address", Text),
    ("averageRate", Number),
    ("reviewCount", Count),
    ("myProduct", Flag),
    ("imageUrls", Texts),
    ("startTime", DateTime),
    ("endTime", DateTime),
    ("open", Flag),
    ("updatedAt", DateTime),
];

pub(crate) const CHANGED: &[Field] = &[("productId", Id)];

pub(crate) const MARKET_PRICE: &[Field] = &[("recentPrice", Count), ("averagePrice", Count)];

pub(crate) const SELLING: &[Field] = &[
    ("productId", Id),
    ("type", Text),
    ("state", Text),
    ("dataAmount?", Number),
    ("remainAmount?", Number),
    ("startTime?", DateTime),
    ("endTime?", DateTime),
    ("title?", Text),
    ("productImageUrl?", Text),
    ("createdAt", DateTime),
    ("updatedAt", DateTime),
];

pub(crate) const ROOM_MADE: &[Field] = &[("chatRoomId", Id)];

pub(crate) const ROOM: &[Field] = &[
    ("chatRoomId", Id),
    ("createdAt", DateTime),
    ("lastMessageAt", DateTime),
    ("lastMessage?", Text),
    ("unreadCount", Count),
    ("senderId", Id),
    ("senderName", Text),
    ("senderProfileImageUrl?", Text),
    ("productId", Id),
    ("itemId", Id),
    ("itemType", Text),
    ("startTime?", Text),
    ("endTime?", Text),
];

pub(crate) const HISTORY: &[Field] = &[
    ("chatMessageId", Id),
    ("message", Text),
    ("createdAt", DateTime),
    ("isMine", Flag),
];

pub(crate) const MESSAGE: &[Field] = &[
    ("chatRoomId", Id),
    ("chatMessageId", Id),
    ("senderId", Id),
    ("message", Text),
    ("createdAt", DateTime),
];
