//! Encoder: frames to bytes.
//!
//! A MESSAGE differs between its receivers only in the first lines, so it is written in two parts:
//! [`message_head`] for one subscription, and a [`MessageTail`] that all of one version share.

use bytes::Bytes;

use crate::escape::{Escaping, escape};
use crate::frame::Command;
use crate::version::Version;

/// Writes one frame, header by header.
///
/// Header values may contain anything; characters that the version cannot express are replaced by a
/// space, so no value can end a line or a frame.
#[derive(Debug)]
pub struct FrameWriter {
    out: Vec<u8>,
    escaping: Escaping,
}

impl FrameWriter {
    /// Begins a frame as `version` writes it.
    #[must_use]
    pub fn new(command: Command, version: Version) -> Self {
        Self::with_capacity(command, version, 128)
    }

    fn with_capacity(command: Command, version: Version, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(command.as_str().as_bytes());
        out.push(b'\n');
        Self {
            out,
            escaping: Escaping::of(command, Some(version)),
        }
    }

    /// Adds a header. Left out are one without a name, which no peer could read, and
    /// `content-length`, which [`Self::body`] writes.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        push_header(&mut self.out, self.escaping, name, value);
        self
    }

    /// Adds a header if there is a value for it.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Ends the frame without a body.
    #[must_use]
    pub fn end(mut self) -> Bytes {
        self.out.extend_from_slice(b"\n\0");
        self.out.into()
    }

    /// Ends the frame with a body and its `content-length`.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Bytes {
        push_body(&mut self.out, body);
        self.out.into()
    }
}

/// The part of a MESSAGE that is the same for every receiver of one version.
#[derive(Clone, Debug)]
pub struct MessageTail {
    bytes: Bytes,
    is_text: bool,
}

impl MessageTail {
    /// Encodes everything after the receiver's own headers.
    ///
    /// `headers` holds `destination` and `message-id`, which a MESSAGE must have, and further
    /// headers to pass on; `content-length` is added.
    #[must_use]
    pub fn encode<'a>(
        version: Version,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: &[u8],
    ) -> Self {
        let escaping = Escaping::from(version);
        let mut out = Vec::with_capacity(body.len().saturating_add(192));
        for (name, value) in headers {
            push_header(&mut out, escaping, name, value);
        }
        push_body(&mut out, body);
        Self {
            bytes: out.into(),
            is_text: std::str::from_utf8(body).is_ok(),
        }
    }

    /// The bytes, to be written after a [`message_head`].
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the frame may travel in a WebSocket text message, which has to be UTF-8.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }
}

/// The first lines of a MESSAGE: the command and the headers of one subscription.
///
/// `subscription` is missing only for 1.0 subscriptions without an id. `ack` is the value of
/// [`ack_id`], for the client ack modes of 1.2.
#[must_use]
pub fn message_head(version: Version, subscription: Option<&str>, ack: Option<&str>) -> Bytes {
    // The exact length if nothing has to be escaped: the buffer then needs no second allocation to
    // share a part of it.
    let line_bytes = |name: &str, value: Option<&str>| {
        value.map_or(0, |value| {
            name.len().saturating_add(value.len()).saturating_add(2)
        })
    };
    let capacity = "MESSAGE\n"
        .len()
        .saturating_add(line_bytes("subscription", subscription))
        .saturating_add(line_bytes("ack", ack));
    let writer = FrameWriter::with_capacity(Command::Message, version, capacity);
    writer
        .optional("subscription", subscription)
        .optional("ack", ack)
        .out
        .into()
}

/// The `ack` header of a message on a subscription: `{message id}@{subscription id}`.
///
/// Made of the ids of message and subscription, not of a counter, so that receivers whose
/// subscriptions have the same id share an encoded head.
#[must_use]
pub fn ack_id(message_id: u64, subscription: &str) -> String {
    format!("{message_id}@{subscription}")
}

fn push_header(out: &mut Vec<u8>, escaping: Escaping, name: &str, value: &str) {
    // Without escapes a name with a colon would be read as another name and value; a foreign
    // content-length would precede the true one and win.
    let other_name = escaping == Escaping::Raw && name.contains(':');
    if name.is_empty() || other_name || name == "content-length" {
        return;
    }
    escape(name.as_bytes(), escaping, out);
    out.push(b':');
    escape(value.as_bytes(), escaping, out);
    out.push(b'\n');
}

fn push_body(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(b"content-length:");
    push_decimal(out, body.len());
    out.extend_from_slice(b"\n\n");
    out.extend_from_slice(body);
    out.push(0);
}

fn push_decimal(out: &mut Vec<u8>, number: usize) {
    if number > 9 {
        push_decimal(out, number / 10);
    }
    let digit = u8::try_from(number % 10).unwrap_or_default();
    out.push(b'0'.saturating_add(digit));
}
