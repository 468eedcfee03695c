//! Rows to relay: batches in the order of sending, their deletion, and the backlog.
//!
//! The relay reads from the lowest id each time and deletes what was stored. It keeps no cursor: ids are allocated
//! before the COMMIT, so a row may become visible after rows with higher ids, and a cursor would have passed it.
//! Within an aggregate that cannot happen, because its number row is locked from before the allocation of the id to
//! the COMMIT: there the order of ids is the order of numbers.

use std::convert::Infallible;

use sqlx::{AssertSqlSafe, Row as _, query};

use crate::db::row::column;
use crate::db::{Abort, Db, DbError};

/// A row to relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its position in the table.
    pub id: i64,
    /// The id of its event.
    pub event_id: String,
    /// The event as JSON.
    pub body: String,
}

/// The rows to send next, at least one if there is any: at most `rows_max` of `bytes_max` in all, in the order of
/// sending.
///
/// # Errors
/// The database's.
pub async fn next_batch(
    db: &Db,
    rows_max: usize,
    bytes_max: usize,
) -> Result<Vec<OutboxRow>, DbError> {
    let text = "select id, event_id, body from outbox where dead_at is null order by id limit $1";
    let rows = query(text)
        .bind(i64::try_from(rows_max).unwrap_or(i64::MAX))
        .fetch_all(&mut *db.read().await?)
        .await?;
    let (mut batch, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        let row = OutboxRow {
            id: column(row, "id")?,
            event_id: row.try_get("event_id")?,
            body: row.try_get("body")?,
        };
        bytes += row.body.len();
        if bytes > bytes_max && !batch.is_empty() {
            break;
        }
        batch.push(row);
    }
    Ok(batch)
}

/// Deletes rows whose events the chat server has stored.
///
/// # Errors
/// The database's.
pub async fn delete_sent(db: &Db, ids: Vec<i64>) -> Result<(), DbError> {
    let deleted = db.write(ids, |ids, tx| {
        Box::pin(async move {
            let Some(last) = ids.last() else {
                return Ok(());
            };
            // Filled up with the last id to a power of two, so that few texts are prepared.
            let count = ids.len().next_power_of_two();
            let places: Vec<_> = (1..=count).map(|place| format!("${place}")).collect();
            let text = format!("delete from outbox where id in ({})", places.join(", "));
            let mut delete = query(AssertSqlSafe(text));
            for id in ids.iter().chain(std::iter::repeat(last)).take(count) {
                delete = delete.bind(*id);
            }
            delete.execute(tx.connection()).await?;
            Ok::<_, Abort<Infallible>>(())
        })
    });
    Ok(deleted.await?)
}

/// Marks rows as dead, each with the reason: they are not sent again until an operator resends them.
///
/// # Errors
/// The database's.
pub async fn mark_dead(db: &Db, dead: Vec<(i64, String)>) -> Result<(), DbError> {
    let marked = db.write(dead, |dead, tx| {
        Box::pin(async move {
            let now = tx.now();
            for (id, reason) in dead {
                query("update outbox set dead_at = $2, dead_reason = $3 where id = $1")
                    .bind(*id)
                    .bind(now.get())
                    .bind(reason.as_str())
                    .execute(tx.connection())
                    .await?;
            }
            Ok::<_, Abort<Infallible>>(())
        })
    });
    Ok(marked.await?)
}

/// What the outbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Events to relay.
    pub pending: i64,
    /// Age of the oldest of them in seconds; 0 if there are none.
    pub oldest_seconds: i64,
    /// Dead events.
    pub dead: i64,
}

/// Measures the backlog.
///
/// # Errors
/// The database's.
pub async fn backlog(db: &Db) -> Result<Backlog, DbError> {
    let row = query(
        "select count(*), min(occurred_at), \
         (select count(*) from outbox where dead_at is not null) \
         from outbox where dead_at is null",
    )
    .fetch_one(&mut *db.read().await?)
    .await?;
    let oldest: Option<i64> = row.try_get(1)?;
    let age_ms = oldest.map_or(0, |oldest| db.now().get().saturating_sub(oldest));
    Ok(Backlog {
        pending: row.try_get(0)?,
        oldest_seconds: (age_ms / 1_000).max(0),
        dead: row.try_get(2)?,
    })
}
