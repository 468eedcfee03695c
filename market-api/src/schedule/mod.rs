//! Scheduled jobs in a table: they survive restarts, and one instance runs each by a lease.
//!
//! ```text
//! put(tx) ─► row ─► due ─► leased ─► handler ─► done: row deleted │ rescheduled
//! ```
//!
//! Jobs run concurrently, of each name as many as its [`Worker`] allows, so a slow handler delays no other
//! name. Due rows of a name at its limit wait for a later poll, or for another instance.
//!
//! When an instance dies, its lease expires and another instance runs the job. So a job may run twice: a
//! handler that writes finishes the job in its own transaction ([`Due::finish_in`]), which fails once another
//! instance holds the lease.

mod worker;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::clock::UnixMillis;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::db::row::column;
use crate::db::{Abort, Db, DbError, Tx, WriteError};

pub use worker::{Schedule, Worker};

/// Back-off after a failure: doubles from the first value up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));

/// A due job that this instance has leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The name of its handler.
    pub name: String,
    /// Its key among the jobs of the handler.
    pub key: String,
    /// Parameters for the handler.
    pub body: String,
    /// The time it was due.
    pub due_at: UnixMillis,
    /// The number of runs started, this one included.
    pub attempts: u32,
    taken_until: i64,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: the row is deleted, unless the handler has done so.
    Done,
    /// Reschedule the job at this time.
    Again(UnixMillis),
}

/// Another instance holds the lease, or has deleted the row: the handler must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work is no longer this instance's")]
pub struct Lost;

/// Runs the jobs of one name. An error is logged, and the job retried later.
pub type Handler =
    Box<dyn Fn(Due) -> BoxFuture<'static, Result<Outcome, HandlerError>> + Send + Sync>;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(pub String);

impl From<DbError> for HandlerError {
    fn from(error: DbError) -> Self {
        Self(error.to_string())
    }
}

impl<E: fmt::Debug> From<WriteError<E>> for HandlerError {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Refused(refusal) => Self(format!("refused: {refusal:?}")),
            WriteError::Db(error) => error.into(),
        }
    }
}

/// Adds a job in this transaction. There is one job per name and key; the earlier due time wins.
///
/// # Errors
/// The database's.
pub async fn put(
    tx: &mut Tx<'_>,
    name: &str,
    key: &str,
    due_at: UnixMillis,
    body: &str,
) -> Result<(), sqlx::Error> {
    query(
        "insert into schedule (name, key, due_at, body) values ($1, $2, $3, $4) \
         on conflict (name, key) do update set due_at = excluded.due_at \
         where excluded.due_at < schedule.due_at",
    )
    .bind(name)
    .bind(key)
    .bind(due_at.get())
    .bind(body)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// True if the job exists.
///
/// # Errors
/// The database's.
pub async fn is_put(db: &Db, name: &str, key: &str) -> Result<bool, DbError> {
    let mut connection = db.read().await?;
    let row = query("select 1 from schedule where name = $1 and key = $2")
        .bind(name)
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
    Ok(row.is_some())
}

/// Cancels a job; false if it is done or cancelled already. A handler that runs it now cannot finish it any
/// more ([`Due::finish_in`]).
///
/// # Errors
/// The database's.
pub async fn remove(tx: &mut Tx<'_>, name: &str, key: &str) -> Result<bool, sqlx::Error> {
    let removed = query("delete from schedule where name = $1 and key = $2")
        .bind(name)
        .bind(key)
        .execute(tx.connection())
        .await?;
    Ok(removed.rows_affected() == 1)
}

impl Due {
    /// Deletes the job in the handler's own transaction, so that its writes and the end of the job commit
    /// together.
    ///
    /// # Errors
    /// [`Lost`], as the closure's refusal, or the database's.
    pub async fn finish_in(&self, tx: &mut Tx<'_>) -> Result<(), Abort<Lost>> {
        let done = query("delete from schedule where name = $1 and key = $2 and taken_until = $3")
            .bind(self.name.as_str())
            .bind(self.key.as_str())
            .bind(self.taken_until)
            .execute(tx.connection())
            .await?;
        if done.rows_affected() == 1 {
            Ok(())
        } else {
            Err(Abort::Refused(Lost))
        }
    }

    fn read(row: &AnyRow, taken_until: i64) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            key: row.try_get("key")?,
            body: row.try_get("body")?,
            due_at: column(row, "due_at")?,
            attempts: column(row, "attempts")?,
            taken_until,
        })
    }

    fn retry_delay(&self) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(16);
        (RETRY.0 * 2_u32.pow(doublings)).min(RETRY.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempts: u32, seconds: u64) {
        let due = Due {
            name: String::new(),
            key: String::new(),
            body: String::new(),
            due_at: UnixMillis::EPOCH,
            attempts,
            taken_until: 0,
        };
        assert_eq!(
            due.retry_delay(),
            Duration::from_secs(seconds),
            "{attempts}"
        );
    }

    #[test]
    fn retries_back_off() {
        check(1, 5);
        check(2, 10);
        check(3, 20);
        check(12, 3_600);
        check(u32::MAX, 3_600);
    }
}
