//! Events for the chat server, written in the transaction of what they tell of.
//!
//! The table is the queue: what is in it was committed, and stays until the chat server has it.
//! Within an aggregate events are numbered without holes and are sent in that order.
//!
//! What this module does not do: send (a relay takes the rows).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use sqlx::{Row as _, query};

use crate::db::{Db, DbError, Lock, LockMode, Tx};

/// The version of [`Body`]; raised when a reader of the old one could go wrong.
const VERSION: u32 = 1;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A member's name, picture or language.
    MemberUpdated,
    /// An operator has shut a member out, or reports have.
    MemberBlocked,
    /// An operator has let a member in again.
    MemberUnblocked,
    /// A login ended before its time: a logout, or a token that was stolen.
    SessionRevoked,
}

impl EventKind {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemberUpdated => "member.updated",
            Self::MemberBlocked => "member.blocked",
            Self::MemberUnblocked => "member.unblocked",
            Self::SessionRevoked => "session.revoked",
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To what: `member:7`. Its events are told in their order.
    pub aggregate: String,
    /// Whom it concerns.
    pub members: Vec<MemberId>,
    /// What else there is to say.
    pub data: Value,
}

/// An event on the wire (`wire.md`, "Events").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    v: u32,
    event_id: &'a str,
    kind: &'static str,
    aggregate: &'a str,
    aggregate_seq: i64,
    occurred_at: LocalDateTime,
    members: &'a [MemberId],
    data: &'a Value,
}

/// Writes an event into this transaction. It locks the aggregate's number until the end, so events
/// of one aggregate wait for each other: take an aggregate that few transactions share. It comes last in
/// the lock order; several aggregates in ascending order.
///
/// # Errors
/// The database's.
pub async fn append(tx: &mut Tx<'_>, event: &Event) -> Result<(), sqlx::Error> {
    let aggregate_seq = next_number(tx, &event.aggregate).await?;
    // 128 random bits, 22 characters: it is the client message id of the notices it becomes.
    let event_id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    let body = Body {
        v: VERSION,
        event_id: &event_id,
        kind: event.kind.as_str(),
        aggregate: &event.aggregate,
        aggregate_seq,
        occurred_at: LocalDateTime::from_unix(tx.now()),
        members: &event.members,
        data: &event.data,
    };
    let text = serde_json::to_string(&body).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let now = tx.now().get();
    query(
        "insert into outbox (event_id, kind, aggregate, aggregate_seq, body, occurred_at) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(event_id.as_str())
    .bind(event.kind.as_str())
    .bind(event.aggregate.as_str())
    .bind(aggregate_seq)
    .bind(text)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The numbers live beside the events, since events that were told are removed.
async fn next_number(tx: &mut Tx<'_>, aggregate: &str) -> Result<i64, sqlx::Error> {
    let lock = Lock::OutboxNumber(aggregate.to_owned());
    tx.note_locks([lock], LockMode::Exclusive);
    let row = query(
        "insert into outbox_number (aggregate, last) values ($1, 1) \
         on conflict (aggregate) do update set last = outbox_number.last + 1 returning last",
    )
    .bind(aggregate)
    .fetch_one(tx.connection())
    .await?;
    row.try_get(0)
}

/// What is not told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// How many events.
    pub events: i64,
    /// How long ago the oldest of them happened; 0 if there is none.
    pub oldest_seconds: i64,
}

/// How much there is to tell.
///
/// # Errors
/// The database's.
pub async fn pending(db: &Db) -> Result<Pending, DbError> {
    let mut connection = db.read().await?;
    let row = query("select count(*), min(occurred_at) from outbox where done_at is null")
        .fetch_one(&mut *connection)
        .await?;
    let oldest: Option<i64> = row.try_get(1)?;
    let age_ms = oldest.map_or(0, |oldest| db.now().get().saturating_sub(oldest));
    Ok(Pending {
        events: row.try_get(0)?,
        oldest_seconds: (age_ms / 1_000).max(0),
    })
}
