//! Transactional outbox: domain events for the chat server, appended in the transaction that causes them.
//!
//! The table is the queue: its rows are committed, and stay until the chat server has stored their events.
//! Events of an aggregate are numbered without gaps and are sent in that order. Their form is
//! [`shared::event`]'s.
//!
//! Here are also the statements for the relay (its batches and its lease) and for operators (dead rows: events
//! that the chat server refused).
//!
//! What this module does not do: send. The module `relay` does.

mod dead;
mod lease;
mod redact;
mod rows;

use std::collections::BTreeMap;

use shared::clock::LocalDateTime;
use shared::event::{Aggregate, Envelope, Event, EventId, VERSION};
use shared::ids::MemberId;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _, query};

use crate::db::row::{column, places};
use crate::db::{Lock, LockMode, Tx};

pub use dead::{DEAD_LISTED_MAX, DeadEvent, ResendError, dead_events, resend, resend_all};
pub use lease::{LeaseRecord, read_lease, replace_lease};
pub use redact::redact_in;
pub use rows::{Backlog, OutboxRow, backlog, delete_sent, mark_dead, next_batch};

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

/// Appends an event in this transaction, whose COMMIT wakes the relay. It locks the aggregate's number until the end, so events of one
/// aggregate wait for each other: take an aggregate that few transactions share. It comes last in the lock
/// order.
///
/// # Errors
/// The database's.
pub async fn append(tx: &mut Tx<'_>, new: &NewEvent) -> Result<(), sqlx::Error> {
    append_all(tx, std::slice::from_ref(new)).await
}

/// Appends events of different aggregates, all in two statements, in ascending order of their aggregates.
///
/// # Errors
/// The database's; also two events of one aggregate, a defect.
pub async fn append_all(tx: &mut Tx<'_>, events: &[NewEvent]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut events: Vec<&NewEvent> = events.iter().collect();
    events.sort_by(|one, other| one.aggregate.cmp(&other.aggregate));
    let numbers = next_numbers(tx, &events).await?;
    let text = format!(
        "insert into outbox (event_id, kind, aggregate, aggregate_seq, body, occurred_at) values {}",
        places(events.len(), 6)
    );
    let now = tx.now();
    let mut insert = query(AssertSqlSafe(text));
    for new in events {
        let number = numbers.get(new.aggregate.as_str()).copied();
        let number = number.ok_or(sqlx::Error::RowNotFound)?;
        let envelope = envelope_of(new, number, tx);
        let body =
            serde_json::to_string(&envelope).map_err(|error| sqlx::Error::Encode(error.into()))?;
        insert = insert
            .bind(envelope.id.as_str().to_owned())
            .bind(new.event.kind().as_str().to_owned())
            .bind(new.aggregate.as_str())
            .bind(i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()))?)
            .bind(body)
            .bind(now.get());
    }
    insert.execute(tx.connection()).await?;
    tx.notify_at_commit();
    Ok(())
}

fn envelope_of(new: &NewEvent, aggregate_seq: u64, tx: &Tx<'_>) -> Envelope {
    Envelope {
        version: VERSION,
        id: EventId::random(&mut rand::rng()),
        aggregate: new.aggregate.clone(),
        aggregate_seq,
        occurred_at: LocalDateTime::from_unix(tx.now()),
        traceparent: tx.trace().map(|trace| trace.to_string()),
        members: new.members.clone(),
        event: new.event.clone(),
    }
}

/// The next number of each event's aggregate. Numbers have a table of their own, since sent events are
/// deleted. The rows are locked in the order of `events`.
async fn next_numbers(
    tx: &mut Tx<'_>,
    events: &[&NewEvent],
) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    let locks = events
        .iter()
        .map(|new| Lock::OutboxNumber(new.aggregate.clone()));
    tx.note_locks(locks, LockMode::Exclusive);
    let values: Vec<_> = (1..=events.len())
        .map(|place| format!("(${place}, 1)"))
        .collect();
    let text = format!(
        "insert into outbox_number (aggregate, last) values {} \
         on conflict (aggregate) do update set last = outbox_number.last + 1 \
         returning aggregate, last",
        values.join(", ")
    );
    let mut upsert = query(AssertSqlSafe(text));
    for new in events {
        upsert = upsert.bind(new.aggregate.as_str());
    }
    let rows = upsert.fetch_all(tx.connection()).await?;
    let read = |row: &AnyRow| Ok((row.try_get("aggregate")?, column(row, "last")?));
    let numbers: BTreeMap<_, _> = rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?;
    if numbers.len() != events.len() {
        return Err(sqlx::Error::Encode("two events of one aggregate".into()));
    }
    Ok(numbers)
}
