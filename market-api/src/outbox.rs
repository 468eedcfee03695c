//! Transactional outbox: domain events for the chat server, appended in the transaction that causes them.
//!
//! The table is the queue: its rows are committed, and stay until the chat server has acknowledged them.
//! Events of an aggregate are numbered without gaps and are sent in that order.
//!
//! What this module does not do: send. A relay reads and deletes the rows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use sqlx::{Row as _, query};

use crate::db::{Db, DbError, Lock, LockMode, Tx};

/// The version of [`Body`]; to be raised when readers of the old one could misread the new one.
const VERSION: u32 = 1;

/// The kind of a domain event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A member's name, picture or language has changed.
    MemberUpdated,
    /// A member was blocked, by an administrator or after reports.
    MemberBlocked,
    /// A member was unblocked by an administrator.
    MemberUnblocked,
    /// A session was revoked: by a logout, or after a token theft.
    SessionRevoked,
}

impl EventKind {
    /// The name on the wire.
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

/// A domain event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The kind.
    pub kind: EventKind,
    /// The aggregate that has changed, such as `member:7`. Its events keep their order.
    pub aggregate: String,
    /// The members concerned.
    pub members: Vec<MemberId>,
    /// The payload, by kind.
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

/// Appends an event in this transaction. Locks the aggregate's number until the transaction ends, so writers
/// of one aggregate wait for one another: choose an aggregate that few transactions share. The number comes
/// last in the lock order; several aggregates in ascending order.
///
/// # Errors
/// The database's.
pub async fn append(tx: &mut Tx<'_>, event: &Event) -> Result<(), sqlx::Error> {
    let aggregate_seq = next_number(tx, &event.aggregate).await?;
    // 128 random bits, 22 characters: the client message id of the notifications made from it.
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

/// The next number of an aggregate. Numbers have a table of their own, since sent events are deleted.
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

/// The backlog of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Events not sent yet.
    pub events: i64,
    /// Age of the oldest of them in seconds; 0 if there are none.
    pub oldest_seconds: i64,
}

/// Measures the backlog.
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
