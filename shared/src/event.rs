//! Domain events: what the market reports to the chat server, as JSON (`infra/docs/wire.md`, "Events").
//!
//! The market writes an [`Envelope`] into its outbox, the chat server parses it. Data is typed
//! where the contract defines it. A kind or a version that this program does not have is preserved
//! unchanged, so that a server of an older release neither loses nor misreads an event.
//!
//! What this module does not do: store, send or act on events.

mod data;
mod kind;
mod post;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::LocalDateTime;
use crate::ids::{MemberId, ProductId, TradeId};

pub use data::{
    BookedTime, CashMoved, CompletedSale, MemberPair, MemberUpdated, ProductSoldOut, ReportDecided,
    ReviewCreated, SessionRevoked, TradeCompleted,
};
pub use kind::EventKind;
pub use post::{EventPost, NoEventId, RefusedEvent, RefusedEvents};

/// The version of the envelope; raised when a reader of the old one could go wrong.
pub const VERSION: u32 = 1;

/// Events of one request at most.
pub const EVENTS_MAX: usize = 200;

/// Members of one event at most: a buyer and the sellers of a composite purchase are 21.
pub const MEMBERS_MAX: usize = 64;

/// Characters of an id, an aggregate, a kind and a trace at most.
const TEXT_CHARS_MAX: usize = 64;

/// An event that the contract does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// An id, an aggregate, a kind or a trace.
    #[error("{0}: expected 1 to {TEXT_CHARS_MAX} visible ASCII characters")]
    Text(&'static str),
    /// Events of an aggregate are numbered from 1.
    #[error("aggregateSeq: expected 1 or more")]
    Seq,
    /// Too many members.
    #[error("members: more than {MEMBERS_MAX}")]
    Members,
    /// The data does not have the form of its kind.
    #[error("data of {kind}: {cause}")]
    Data {
        /// Of this kind.
        kind: String,
        /// What is wrong with it.
        cause: String,
    },
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidEvent;

            fn try_from(text: String) -> Result<Self, InvalidEvent> {
                checked($field, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text! {
    /// Which event it is. Also the client message id of the inbox entries that it becomes, so a repetition
    /// changes nothing.
    EventId, "eventId"
}
text! {
    /// Whose events are numbered and sent in order, for example `member:7`.
    Aggregate, "aggregate"
}

fn checked(field: &'static str, text: &str) -> Result<(), InvalidEvent> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    match is_visible && (1..=TEXT_CHARS_MAX).contains(&text.len()) {
        true => Ok(()),
        false => Err(InvalidEvent::Text(field)),
    }
}

impl EventId {
    /// A new id: 128 random bits, 22 characters.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bits = [0; 16];
        rng.fill_bytes(&mut bits);
        Self(URL_SAFE_NO_PAD.encode(bits))
    }
}

impl From<MemberId> for Aggregate {
    fn from(member: MemberId) -> Self {
        Self(format!("member:{member}"))
    }
}

impl From<ProductId> for Aggregate {
    fn from(product: ProductId) -> Self {
        Self(format!("product:{product}"))
    }
}

impl From<TradeId> for Aggregate {
    fn from(trade: TradeId) -> Self {
        Self(format!("trade:{trade}"))
    }
}

/// An event's kind with its data. Fields that this program does not have are ignored.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// [`EventKind::TradeCompleted`].
    TradeCompleted(TradeCompleted),
    /// [`EventKind::ProductSoldOut`].
    ProductSoldOut(ProductSoldOut),
    /// [`EventKind::WifiStarted`].
    WifiStarted(BookedTime),
    /// [`EventKind::WifiEnded`].
    WifiEnded(BookedTime),
    /// [`EventKind::CashCharged`].
    CashCharged(CashMoved),
    /// [`EventKind::CashRefunded`].
    CashRefunded(CashMoved),
    /// [`EventKind::CashReturned`].
    CashReturned(CashMoved),
    /// [`EventKind::ReviewCreated`].
    ReviewCreated(ReviewCreated),
    /// [`EventKind::ReportDecided`].
    ReportDecided(ReportDecided),
    /// [`EventKind::MemberUpdated`].
    MemberUpdated(MemberUpdated),
    /// [`EventKind::MemberBlocked`].
    MemberBlocked,
    /// [`EventKind::MemberUnblocked`].
    MemberUnblocked,
    /// [`EventKind::SessionRevoked`].
    SessionRevoked(SessionRevoked),
    /// [`EventKind::MembersSeparated`].
    MembersSeparated(MemberPair),
    /// [`EventKind::MembersReunited`].
    MembersReunited(MemberPair),
    /// [`EventKind::MemberClosed`].
    MemberClosed,
    /// Data as it came: the contract does not define it yet, or the kind or the envelope's version is a
    /// later program's.
    Untyped {
        /// Which kind.
        kind: EventKind,
        /// Its data.
        data: Map<String, Value>,
    },
}

impl Event {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::TradeCompleted(_) => EventKind::TradeCompleted,
            Self::ProductSoldOut(_) => EventKind::ProductSoldOut,
            Self::WifiStarted(_) => EventKind::WifiStarted,
            Self::WifiEnded(_) => EventKind::WifiEnded,
            Self::CashCharged(_) => EventKind::CashCharged,
            Self::CashRefunded(_) => EventKind::CashRefunded,
            Self::CashReturned(_) => EventKind::CashReturned,
            Self::ReviewCreated(_) => EventKind::ReviewCreated,
            Self::ReportDecided(_) => EventKind::ReportDecided,
            Self::MemberUpdated(_) => EventKind::MemberUpdated,
            Self::MemberBlocked => EventKind::MemberBlocked,
            Self::MemberUnblocked => EventKind::MemberUnblocked,
            Self::SessionRevoked(_) => EventKind::SessionRevoked,
            Self::MembersSeparated(_) => EventKind::MembersSeparated,
            Self::MembersReunited(_) => EventKind::MembersReunited,
            Self::MemberClosed => EventKind::MemberClosed,
            Self::Untyped { kind, .. } => kind.clone(),
        }
    }

    /// Its data as JSON.
    fn into_data(self) -> Map<String, Value> {
        let mut fields = Map::new();
        match self {
            Self::MemberUpdated(member) => fields = object_of(&member),
            Self::TradeCompleted(trade) => fields = object_of(&trade),
            Self::ProductSoldOut(product) => fields = object_of(&product),
            Self::WifiStarted(time) | Self::WifiEnded(time) => fields = object_of(&time),
            Self::CashCharged(cash) | Self::CashRefunded(cash) | Self::CashReturned(cash) => {
                fields = object_of(&cash);
            }
            Self::ReviewCreated(review) => fields = object_of(&review),
            Self::ReportDecided(report) => fields = object_of(&report),
            Self::MembersSeparated(pair) | Self::MembersReunited(pair) => fields = object_of(&pair),
            Self::MemberBlocked | Self::MemberUnblocked | Self::MemberClosed => {}
            Self::SessionRevoked(SessionRevoked { sid }) => {
                fields.insert("sid".to_owned(), String::from(sid).into());
            }
            Self::Untyped { data, .. } => fields = data,
        }
        fields
    }

    fn read(kind: EventKind, data: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let typed = Value::Object;
        Ok(match kind {
            EventKind::TradeCompleted => Self::TradeCompleted(serde_json::from_value(typed(data))?),
            EventKind::ProductSoldOut => Self::ProductSoldOut(serde_json::from_value(typed(data))?),
            EventKind::WifiStarted => Self::WifiStarted(serde_json::from_value(typed(data))?),
            EventKind::WifiEnded => Self::WifiEnded(serde_json::from_value(typed(data))?),
            EventKind::CashCharged => Self::CashCharged(serde_json::from_value(typed(data))?),
            EventKind::CashRefunded => Self::CashRefunded(serde_json::from_value(typed(data))?),
            EventKind::CashReturned => Self::CashReturned(serde_json::from_value(typed(data))?),
            EventKind::MemberUpdated => {
                Self::MemberUpdated(serde_json::from_value(Value::Object(data))?)
            }
            EventKind::MemberBlocked => Self::MemberBlocked,
            EventKind::MemberUnblocked => Self::MemberUnblocked,
            EventKind::SessionRevoked => {
                Self::SessionRevoked(serde_json::from_value(Value::Object(data))?)
            }
            EventKind::ReviewCreated => Self::ReviewCreated(serde_json::from_value(typed(data))?),
            EventKind::ReportDecided => Self::ReportDecided(serde_json::from_value(typed(data))?),
            EventKind::MembersSeparated => {
                Self::MembersSeparated(serde_json::from_value(typed(data))?)
            }
            EventKind::MembersReunited => {
                Self::MembersReunited(serde_json::from_value(typed(data))?)
            }
            EventKind::MemberClosed => Self::MemberClosed,
            EventKind::Other(_) => Self::Untyped { kind, data },
        })
    }
}

/// The fields of a struct whose keys are texts, which always is an object.
fn object_of(data: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(data) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("not an object: {other:?}"),
    }
}

/// One event on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Envelope {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// Which event it is.
    pub id: EventId,
    /// Whose events it is numbered among.
    pub aggregate: Aggregate,
    /// Its number there, from 1, without gaps.
    pub aggregate_seq: u64,
    /// When it happened.
    pub occurred_at: LocalDateTime,
    /// The trace of the request that caused it (W3C `traceparent`), if it was traced.
    pub traceparent: Option<String>,
    /// The members it concerns.
    pub members: Vec<MemberId>,
    /// What happened.
    pub event: Event,
}

/// The fields in their order.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    v: u32,
    event_id: EventId,
    kind: String,
    aggregate: Aggregate,
    aggregate_seq: u64,
    occurred_at: LocalDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    members: Vec<MemberId>,
    data: Map<String, Value>,
}

impl TryFrom<Wire> for Envelope {
    type Error = InvalidEvent;

    fn try_from(wire: Wire) -> Result<Self, InvalidEvent> {
        checked("kind", &wire.kind)?;
        if let Some(trace) = &wire.traceparent {
            checked("traceparent", trace)?;
        }
        if wire.aggregate_seq == 0 {
            return Err(InvalidEvent::Seq);
        }
        if wire.members.len() > MEMBERS_MAX {
            return Err(InvalidEvent::Members);
        }
        let kind = EventKind::from(wire.kind.clone());
        let event = match wire.v {
            VERSION => Event::read(kind, wire.data).map_err(|cause| InvalidEvent::Data {
                kind: wire.kind,
                cause: cause.to_string(),
            })?,
            _ => Event::Untyped {
                kind,
                data: wire.data,
            },
        };
        Ok(Self {
            version: wire.v,
            id: wire.event_id,
            aggregate: wire.aggregate,
            aggregate_seq: wire.aggregate_seq,
            occurred_at: wire.occurred_at,
            traceparent: wire.traceparent,
            members: wire.members,
            event,
        })
    }
}

impl From<Envelope> for Wire {
    fn from(envelope: Envelope) -> Self {
        Self {
            v: envelope.version,
            event_id: envelope.id,
            kind: envelope.event.kind().as_str().to_owned(),
            aggregate: envelope.aggregate,
            aggregate_seq: envelope.aggregate_seq,
            occurred_at: envelope.occurred_at,
            traceparent: envelope.traceparent,
            members: envelope.members,
            data: envelope.event.into_data(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "v": 1, "eventId": "e", "kind": "member.blocked", "aggregate": "member:7",
            "aggregateSeq": 1, "occurredAt": "2025-08-07T12:34:56.789", "members": [7], "data": {},
        })
    }

    /// The body with one field changed.
    fn read(field: &str, value: Value) -> Result<Envelope, serde_json::Error> {
        let mut body = body();
        body[field] = value;
        serde_json::from_value(body)
    }

    #[test]
    fn every_kind_has_its_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from(kind.as_str().to_owned()), *kind);
        }
        assert_eq!(EventKind::ALL.len(), 16);
    }

    #[test]
    fn unknown_kinds_and_later_versions_are_kept() {
        let data = json!({ "x": [1, { "y": null }] });
        for (version, kind) in [(1, "moon.landed"), (2, "member.blocked")] {
            let mut body = body();
            body["v"] = version.into();
            body["kind"] = kind.into();
            body["data"] = data.clone();
            let read: Envelope = serde_json::from_value(body.clone()).unwrap();
            assert!(matches!(read.event, Event::Untyped { .. }), "{read:?}");
            assert_eq!(read.event.kind().as_str(), kind);
            assert_eq!(serde_json::to_value(&read).unwrap(), body);
        }
    }

    #[test]
    fn what_the_contract_does_not_allow_is_refused() {
        read("eventId", "e".into()).unwrap();
        read("extra", 1.into()).unwrap();
        let long = "x".repeat(65);
        for (field, value) in [
            ("eventId", json!("")),
            ("eventId", json!(long)),
            ("aggregate", json!("member 7")),
            ("kind", json!(long)),
            ("traceparent", json!(long)),
            ("aggregateSeq", json!(0)),
            ("aggregateSeq", json!(-1)),
            ("occurredAt", json!("yesterday")),
            ("members", json!(vec![1; MEMBERS_MAX + 1])),
            ("members", json!([0])),
            ("data", json!([])),
            ("data", Value::Null),
        ] {
            assert!(read(field, value.clone()).is_err(), "{field}: {value}");
        }
        for (kind, data) in [
            ("session.revoked", json!({})),
            ("session.revoked", json!({ "sid": "a b" })),
            ("member.updated", json!({ "name": 1 })),
            ("member.updated", json!({ "name": "x", "language": "de" })),
        ] {
            let mut body = body();
            body["kind"] = kind.into();
            body["data"] = data;
            let read: Result<Envelope, _> = serde_json::from_value(body);
            let error = read.unwrap_err().to_string();
            assert!(error.starts_with(&format!("data of {kind}: ")), "{error}");
        }
    }

    #[test]
    fn ids_are_random() {
        let mut rng = StdRng::seed_from_u64(7);
        let (one, other) = (EventId::random(&mut rng), EventId::random(&mut rng));
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 22);
    }
}
