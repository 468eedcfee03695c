//! Transactional outbox: domain events for the chat server, appended in the transaction that causes them.
//!
//! The table is the queue: its rows are committed, and stay until the chat server has acknowledged them.
//! Events of an aggregate are numbered without gaps and are sent in that order. Their form is
//! [`shared::event`]'s.
//!
//! What this module does not do: send. A relay reads and deletes the rows.

use shared::clock::LocalDateTime;
use shared::event::{Aggregate, Envelope, Event, EventId, VERSION};
use shared::ids::MemberId;
use sqlx::{Row as _, query};

use crate::db::row::column;
use crate::db::{Db, DbError, Lock, LockMode, Tx};

/// An event to append.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// The aggregate whose events it is numbered among.
    pub aggregate: Aggregate,
    /// The members it concerns.
    pub members: Vec<MemberId>,
}

impl NewEvent {
    /// An event of one member, which concerns no other.
    #[must_use]
    pub fn of_member(member: MemberId, event: Event) -> Self {
        Self {
            event,
            aggregate: member.into(),
            members: vec![member],
        }
    }
}

/// Appends an event in this transaction. It locks the aggregate's number until the end, so events of one
/// aggregate wait for each other: take an aggregate that few transactions share. It comes last in the lock
/// order; several aggregates in ascending order.
///
/// # Errors
/// The database's.
pub async fn append(tx: &mut Tx<'_>, new: &NewEvent) -> Result<(), sqlx::Error> {
    let aggregate_seq = next_number(tx, &new.aggregate).await?;
    let envelope = Envelope {
        version: VERSION,
        id: EventId::random(&mut rand::rng()),
        aggregate: new.aggregate.clone(),
        aggregate_seq,
        occurred_at: LocalDateTime::from_unix(tx.now()),
        traceparent: None,
        members: new.members.clone(),
        event: new.event.clone(),
    };
    let number = i64::try_from(aggregate_seq).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let text =
        serde_json::to_string(&envelope).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let now = tx.now().get();
    query(
        "insert into outbox (event_id, kind, aggregate, aggregate_seq, body, occurred_at) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(envelope.id.as_str())
    .bind(new.event.kind().as_str())
    .bind(new.aggregate.as_str())
    .bind(number)
    .bind(text)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The next number of an aggregate. Numbers have a table of their own, since sent events are deleted.
async fn next_number(tx: &mut Tx<'_>, aggregate: &Aggregate) -> Result<u64, sqlx::Error> {
    tx.note_locks([Lock::OutboxNumber(aggregate.clone())], LockMode::Exclusive);
    let row = query(
        "insert into outbox_number (aggregate, last) values ($1, 1) \
         on conflict (aggregate) do update set last = outbox_number.last + 1 returning last",
    )
    .bind(aggregate.as_str())
    .fetch_one(tx.connection())
    .await?;
    column(&row, "last")
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
