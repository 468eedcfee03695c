//! Values of a recording that differ from run to run, replaced by stable ones: ids are numbered in the
//! order in which they appear, times, tokens and addresses become constants.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where readers of the recording find the server.
const API: &str = "http://localhost:8080";

const PICTURE: &str = "http://localhost:8080/api/images/files/1/0f3c9a.png";

/// Texts that are random, by their fields.
const RANDOM: [(&str, &str); 14] = [
    ("profileImageUrl", PICTURE),
    ("senderProfileImageUrl", PICTURE),
    ("productImageUrl", PICTURE),
    ("imageUrl", PICTURE),
    ("imageUrls", PICTURE),
    ("images", PICTURE),
    ("publicUrl", PICTURE),
    (
        "url",
        "http://localhost:8080/api/images/files/1/0f3c9a.png?expires=1768444200&signature=…",
    ),
    ("key", "images/1/0f3c9a.png"),
    ("paymentKey", "tviva20260115k3x9"),
    ("quoteId", "q7Zk2w"),
    (
        "receiptUrl",
        "http://localhost:8080/fake/toss/receipts/tviva20260115k3x9",
    ),
    ("number", "20260115-1001"),
    (
        "publicKey",
        "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
    ),
];

/// Of a random plan.
const PLAN: [(&str, &str); 4] = [
    ("name", "\"5G 10GB\""),
    ("currentDataAmount", "8.9"),
    ("providingDataAmount", "10.0"),
    ("monthlyPrice", "25000"),
];

/// Which ids are of one kind, and the first number of that kind.
const KINDS: [(&[&str], u64); 9] = [
    (
        &[
            "memberId",
            "senderId",
            "reviewerId",
            "revieweeId",
            "sellerId",
            "buyerId",
            "reporterId",
            "blockedId",
        ],
        1,
    ),
    (
        &[
            "productId",
            "productIds",
            "itemId",
            "mobileDataId",
            "wifiId",
            "hotspotId",
        ],
        101,
    ),
    (&["chatRoomId"], 201),
    (&["chatMessageId", "upTo"], 301),
    (&["reviewId"], 401),
    (&["tradeId"], 501),
    (&["paymentId"], 601),
    (&["refundId"], 701),
    (&["id", "notificationId"], 801),
];

/// Any other id.
const OTHER: u64 = 901;

/// The replacements of one recording.
#[derive(Debug, Default)]
pub(crate) struct Stable {
    /// Of the site, as `http://localhost:PORT`.
    api: String,
    numbers: BTreeMap<(u64, u64), u64>,
}

impl Stable {
    pub(crate) fn of(api: &str) -> Self {
        Self {
            api: api.to_owned(),
            numbers: BTreeMap::new(),
        }
    }

    /// The number of an id in this field.
    pub(crate) fn id(&mut self, field: &str, id: u64) -> u64 {
        let kind = KINDS.iter().find(|(fields, _)| fields.contains(&field));
        let first = kind.map_or(OTHER, |(_, first)| *first);
        let before = self
            .numbers
            .keys()
            .filter(|(kind, _)| *kind == first)
            .count();
        let next = first + u64::try_from(before).unwrap();
        *self.numbers.entry((first, id)).or_insert(next)
    }

    /// A body of a route; lists keep their first row.
    pub(crate) fn body(&mut self, path: &str, body: &mut Value) {
        self.change("", body);
        if path == "/api/notifications/unread-count" {
            body["data"]["unreadCount"] = 3.into();
        }
        if path == "/api/plans/my-data" && body["data"].is_object() {
            for (name, value) in PLAN {
                body["data"][name] = serde_json::from_str(value).unwrap();
            }
        }
    }

    fn change(&mut self, field: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.change(name, value);
                }
            }
            Value::Array(rows) => {
                // Notifications come in any order.
                rows.sort_by_key(|row| row["kind"].as_str().map(str::to_owned));
                rows.truncate(1);
                for row in rows {
                    self.change(field, row);
                }
            }
            Value::Number(number) => {
                let is_id = field == "id"
                    || field == "upTo"
                    || field == "productIds"
                    || field.ends_with("Id");
                if let Some(id) = number.as_u64().filter(|_| is_id) {
                    *value = self.id(field, id).into();
                } else if field == "timeAmount" && number.as_u64() != Some(0) {
                    *value = 30.into();
                }
            }
            Value::String(text) => *text = self.text(field, text),
            // Presence follows after some seconds.
            Value::Bool(is) => *is |= field == "online",
            Value::Null => {}
        }
    }

    fn text(&self, field: &str, text: &str) -> String {
        if let Some((_, constant)) = RANDOM.iter().find(|(name, _)| *name == field) {
            return (*constant).to_owned();
        }
        let bytes = text.as_bytes();
        let is_date = bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[0] == b'2';
        let time = match field {
            "startTime" => "12:30:00",
            "endTime" => "13:00:00",
            _ => "12:00:00",
        };
        match bytes.len() {
            10 if is_date => "2026-01-15".to_owned(),
            19 if is_date => format!("2026-01-15T{time}"),
            23 if is_date => format!("2026-01-15T{time}.000"),
            8 if bytes[2] == b':' && bytes[5] == b':' => time.to_owned(),
            _ => without_times(&text.replace(&self.api, API)),
        }
    }

    /// The query of a request.
    pub(crate) fn query(&mut self, query: &str) -> String {
        let pairs = query.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = match (name, value.parse::<u64>()) {
                (_, Ok(0)) => "0".to_owned(),
                ("code" | "state" | "iss", _) => "…".to_owned(),
                ("year", Ok(_)) => "2026".to_owned(),
                ("month", Ok(_)) => "1".to_owned(),
                (name, Ok(id)) if name.ends_with("Id") => self.id(name, id).to_string(),
                _ => value.to_owned(),
            };
            format!("{name}={value}")
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// A header of a STOMP frame or of a redirect.
    pub(crate) fn header(&mut self, name: &str, value: &str) -> String {
        let number = value.parse::<u64>();
        match (name, number) {
            ("message-id" | "head", Ok(id)) if id > 0 => self.id("chatMessageId", id).to_string(),
            ("user-name", Ok(id)) => self.id("memberId", id).to_string(),
            ("seq", Ok(_)) => "1".to_owned(),
            ("session", _) => "7".to_owned(),
            ("server", _) => "DaPanDa".to_owned(),
            ("client-message-id", _) => "b1946ac92492d234".to_owned(),
            ("traceparent", _) => {
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()
            }
            ("destination", _) => self.destination(value),
            _ => value.replace(&self.api, API),
        }
    }

    fn destination(&mut self, destination: &str) -> String {
        let (place, id) = destination.rsplit_once('/').unwrap_or(("", destination));
        let field = if place == "/sub/alarm" {
            "memberId"
        } else {
            "chatRoomId"
        };
        match id.parse() {
            Ok(id) => format!("{place}/{}", self.id(field, id)),
            Err(_) => destination.to_owned(),
        }
    }
}

/// Times of day within a text, as notifications have them.
fn without_times(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for at in 0..chars.len().saturating_sub(4) {
        let is = |nth: usize| chars[at + nth].is_ascii_digit();
        if is(0) && is(1) && chars[at + 2] == ':' && is(3) && is(4) {
            for (nth, digit) in "12:30".chars().enumerate() {
                chars[at + nth] = digit;
            }
        }
    }
    chars.into_iter().collect()
}
