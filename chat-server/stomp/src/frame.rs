//! Received frame: command, headers, body.

use std::fmt;

use bytes::Bytes;

/// The commands of all versions, the client's and the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the protocol's own words")]
pub enum Command {
    Connect,
    /// The same as `Connect`; 1.1 introduced it to distinguish STOMP from other protocols.
    Stomp,
    Send,
    Subscribe,
    Unsubscribe,
    Ack,
    Nack,
    Begin,
    Commit,
    Abort,
    Disconnect,
    Connected,
    Message,
    Receipt,
    Error,
}

impl Command {
    /// Every command.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Stomp,
        Self::Send,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Ack,
        Self::Nack,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Disconnect,
        Self::Connected,
        Self::Message,
        Self::Receipt,
        Self::Error,
    ];

    /// The command in the form of the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Stomp => "STOMP",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Connected => "CONNECTED",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// Commands are case sensitive.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        Some(match line {
            b"SEND" => Self::Send,
            b"MESSAGE" => Self::Message,
            b"ACK" => Self::Ack,
            b"NACK" => Self::Nack,
            b"RECEIPT" => Self::Receipt,
            b"SUBSCRIBE" => Self::Subscribe,
            b"UNSUBSCRIBE" => Self::Unsubscribe,
            b"CONNECT" => Self::Connect,
            b"STOMP" => Self::Stomp,
            b"CONNECTED" => Self::Connected,
            b"BEGIN" => Self::Begin,
            b"COMMIT" => Self::Commit,
            b"ABORT" => Self::Abort,
            b"DISCONNECT" => Self::Disconnect,
            b"ERROR" => Self::Error,
            _ => return None,
        })
    }

    /// Only these may have a body.
    pub(crate) fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }

    /// The frames that open a session, before the version is negotiated.
    pub(crate) fn opens_session(self) -> bool {
        matches!(self, Self::Connect | Self::Stomp | Self::Connected)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes `start..end` of a frame's text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// One header: the spans of its name and value in the frame's text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderSpans {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A received frame. Cloning shares the bytes.
///
/// Headers come unescaped and in the order received. Of a repeated header only the first is kept,
/// as 1.2 requires. The frame keeps the received buffer alive: copy parts that live long.
#[derive(Clone)]
pub struct Frame {
    pub(crate) command: Command,
    /// Text of the headers: the received bytes, or an unescaped copy. Valid UTF-8 within every
    /// span.
    pub(crate) text: Bytes,
    pub(crate) headers: Vec<HeaderSpans>,
    pub(crate) body: Bytes,
}

impl Frame {
    /// The command.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command
    }

    /// The value of the header called `name`; names are case sensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.find(name).map(|spans| self.text_of(spans.value))
    }

    /// All headers, as name and value, in the order received.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|spans| (self.text_of(spans.name), self.text_of(spans.value)))
    }

    /// The headers that are the application's own: those of a SEND or MESSAGE without a meaning in
    /// the protocol. They must be passed on from SEND to MESSAGE.
    pub fn user_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        const PROTOCOL: [&str; 8] = [
            "destination",
            "content-length",
            "content-type",
            "receipt",
            "transaction",
            "subscription",
            "message-id",
            "ack",
        ];
        self.headers().filter(|(name, _)| !PROTOCOL.contains(name))
    }

    /// The body; empty when there is none.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The `receipt` header, if the peer requested a RECEIPT for the frame.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        let spans = self.find("receipt")?;
        let value = spans.value.start as usize..spans.value.end as usize;
        Some(Receipt(self.text.slice(value)))
    }

    fn find(&self, name: &str) -> Option<&HeaderSpans> {
        self.headers
            .iter()
            .find(|spans| spans.name.of(&self.text) == name.as_bytes())
    }

    fn text_of(&self, span: Span) -> &str {
        // The decoder checked the whole head as UTF-8 and split it only at ASCII bytes.
        std::str::from_utf8(span.of(&self.text)).unwrap_or_default()
    }
}

impl fmt::Debug for Frame {
    /// Without the values and the body: they contain tokens and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Frame")
            .field("command", &self.command)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The value of a frame's `receipt` header: the right to one RECEIPT.
///
/// It is passed on with the frame's request and returned to the session by
/// [`Session::confirm`](crate::Session::confirm) once that is done.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt(pub(crate) Bytes);

impl Receipt {
    /// The id the client chose.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // A slice of a frame's text, which the decoder has checked.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.as_str()).finish()
    }
}
