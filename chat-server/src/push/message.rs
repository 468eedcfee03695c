//! A push message: what a device shows and what the page gets with it, within the services' limits.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// Characters of a title. Devices show about 50.
const TITLE_CHARS_MAX: usize = 100;

/// Characters of a body. Devices show about 150.
const BODY_CHARS_MAX: usize = 300;

/// Bytes of the data as JSON. With the longest title and body a message stays below the services' 4,096 bytes
/// (3,993 before encryption): 4 × 400 + 1,536 + what is around it.
const DATA_BYTES_MAX: usize = 1_536;

/// Title and body that a device shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushText {
    title: String,
    body: String,
}

impl PushText {
    /// Cuts what is longer than a device shows.
    #[must_use]
    pub fn new(title: &str, body: &str) -> Self {
        Self {
            title: cut(title, TITLE_CHARS_MAX),
            body: cut(body, BODY_CHARS_MAX),
        }
    }

    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// At most so many characters; an ellipsis replaces what is cut.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(1);
    text.chars().take(kept).chain(['…']).collect()
}

/// Of several messages with the same key the newest replaces the others on the device.
///
/// At most 32 letters, digits, `-` and `_`: what the Topic header of Web Push allows (RFC 8030 §5.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CollapseKey(String);

impl CollapseKey {
    /// The key, if it has the allowed form.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let good = (1..=32).contains(&text.len()) && text.bytes().all(is_allowed);
        good.then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollapseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message to one member, the same for all of the member's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushMessage {
    /// Of the event or the chat message; a client shows an id once.
    pub id: String,
    /// The event kind, or `chat.message`.
    pub kind: String,
    /// What a device shows.
    pub text: PushText,
    /// What the page needs to open the right place.
    data: Value,
    /// Replaces earlier messages on the device.
    pub collapse_key: Option<CollapseKey>,
    /// How long a service keeps the message for a device that is off.
    pub ttl: Duration,
}

impl PushMessage {
    /// A message without data.
    #[must_use]
    pub fn new(id: String, kind: String, text: PushText, ttl: Duration) -> Self {
        Self {
            id,
            kind,
            text,
            data: Value::Null,
            collapse_key: None,
            ttl,
        }
    }

    /// Adds data. Data that does not fit into a push message is left out: the page reads the inbox.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        let fits = data.to_string().len() <= DATA_BYTES_MAX;
        self.data = if fits { data } else { Value::Null };
        self
    }

    /// Adds a collapse key.
    #[must_use]
    pub fn with_collapse_key(mut self, key: Option<CollapseKey>) -> Self {
        self.collapse_key = key;
        self
    }

    /// The data; null if there is none.
    #[must_use]
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// The JSON that a service worker gets: `{id, kind, title, body, data, tag?}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "kind": self.kind,
            "title": self.text.title(),
            "body": self.text.body(),
            "data": self.data,
        });
        if let Some(key) = &self.collapse_key {
            json["tag"] = json!(key.as_str());
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_message_fits_into_a_push() {
        let text = PushText::new(&"한".repeat(500), &"한".repeat(500));
        assert_eq!(text.title().chars().count(), TITLE_CHARS_MAX);
        assert!(text.body().ends_with('…'));
        let id = "e".repeat(64);
        let key = CollapseKey::new("k".repeat(32));
        let message = PushMessage::new(id.clone(), id, text, Duration::ZERO)
            .with_data(json!({"x": "x".repeat(DATA_BYTES_MAX - 8)}))
            .with_collapse_key(key);
        assert!(message.data().is_object());
        let bytes = message.to_json().to_string().len();
        assert!(bytes <= 3_993, "{bytes} bytes");
        let message = message.with_data(json!("x".repeat(DATA_BYTES_MAX)));
        assert!(message.data().is_null());
    }

    #[test]
    fn a_collapse_key_is_a_topic_of_web_push() {
        for (text, expected) in [
            ("room-7", true),
            ("", false),
            ("room 7", false),
            ("123456789012345678901234567890123", false),
        ] {
            let key = CollapseKey::new(text.to_owned());
            assert_eq!(key.is_some(), expected, "{text}");
        }
    }
}
