//! Dead rows, for operators: events that the chat server refused by their ids.
//!
//! They hold up nothing: later events of their aggregates are sent. So a resent event may come after events that
//! happened later.

use std::fmt;

use shared::clock::LocalDateTime;
use shared::event::EventId;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::db::row::column;
use crate::db::{Abort, Db, DbError, Tx, WriteError};

/// Bound of [`dead_events`]. The event kinds are ours, so many dead events are one defect many times.
pub const DEAD_LISTED_MAX: i64 = 1_000;

/// A dead event. Displayed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadEvent {
    /// The id of the event.
    pub event_id: String,
    /// Its kind.
    pub kind: String,
    /// The aggregate, and its number there.
    pub position: (String, i64),
    /// When it happened.
    pub occurred_at: LocalDateTime,
    /// When the chat server refused it.
    pub dead_at: LocalDateTime,
    /// Why, in the chat server's words.
    pub reason: String,
}

impl fmt::Display for DeadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (aggregate, number) = &self.position;
        write!(
            f,
            "{} {} {aggregate} {number} happened {} refused {}: {}",
            self.event_id, self.kind, self.occurred_at, self.dead_at, self.reason
        )
    }
}

impl DeadEvent {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            event_id: row.try_get("event_id")?,
            kind: row.try_get("kind")?,
            position: (row.try_get("aggregate")?, column(row, "aggregate_seq")?),
            occurred_at: column(row, "occurred_at")?,
            dead_at: column(row, "dead_at")?,
            reason: row.try_get("dead_reason")?,
        })
    }
}

/// The dead events in the order of sending, at most [`DEAD_LISTED_MAX`].
///
/// # Errors
/// The database's.
pub async fn dead_events(db: &Db) -> Result<Vec<DeadEvent>, DbError> {
    let rows = query(
        "select event_id, kind, aggregate, aggregate_seq, occurred_at, dead_at, \
         coalesce(dead_reason, '') as dead_reason \
         from outbox where dead_at is not null order by id limit $1",
    )
    .bind(DEAD_LISTED_MAX)
    .fetch_all(&mut *db.read().await?)
    .await?;
    let events: Result<_, sqlx::Error> = rows.iter().map(DeadEvent::read).collect();
    Ok(events?)
}

/// Why no event is resent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResendError {
    /// No dead event has this id. Nothing was changed.
    #[error("no dead event has the id {}; nothing was changed", .0.as_str())]
    Unknown(EventId),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes these dead events ones to relay again, all or none.
///
/// # Errors
/// See [`ResendError`].
pub async fn resend(db: &Db, ids: Vec<EventId>) -> Result<(), ResendError> {
    let resent = db.write(ids, |ids, tx| {
        Box::pin(async move {
            for id in ids {
                let revived = query(
                    "update outbox set dead_at = null, dead_reason = null \
                     where event_id = $1 and dead_at is not null",
                )
                .bind(id.as_str())
                .execute(tx.connection())
                .await?;
                if revived.rows_affected() == 0 {
                    return Err(Abort::Refused(ResendError::Unknown(id.clone())));
                }
            }
            tx.notify_at_commit();
            Ok(())
        })
    });
    resent.await.map_err(WriteError::into_domain)
}

/// Makes every dead event one to relay again; returns their number.
///
/// # Errors
/// The database's.
pub async fn resend_all(db: &Db) -> Result<u64, ResendError> {
    let resent = db.write((), |(), tx| Box::pin(revive_all(tx)));
    resent.await.map_err(WriteError::into_domain)
}

async fn revive_all(tx: &mut Tx<'_>) -> Result<u64, Abort<ResendError>> {
    let revived =
        query("update outbox set dead_at = null, dead_reason = null where dead_at is not null")
            .execute(tx.connection())
            .await?;
    tx.notify_at_commit();
    Ok(revived.rows_affected())
}
