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

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use shared::clock::UnixMillis;
use shared::drain::Drain;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use crate::db::row::column;
use crate::db::{Abort, Db, DbError, Dialect, Tx, WriteError};
use crate::metrics::Metrics;

/// Poll interval. Bounds the delay of due jobs; an idle instance runs one indexed query per name.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Duration of a lease: longer than a handler's deadline plus the record of its result in a slow database.
const LEASE: Duration = Duration::from_secs(330);

/// Deadline of a handler; beyond it the run has failed.
const HANDLER_MAX: Duration = Duration::from_secs(20);

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

/// The handler of a name, with its limit.
pub struct Worker {
    /// The name of the jobs' rows.
    pub name: &'static str,
    /// Bound of jobs that one instance runs concurrently; at least 1.
    pub at_once: usize,
    /// Runs one job.
    pub handler: Handler,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .field("at_once", &self.at_once)
            .finish_non_exhaustive()
    }
}

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

/// Cancels a job, if it is not done yet.
///
/// # Errors
/// The database's.
pub async fn remove(tx: &mut Tx<'_>, name: &str, key: &str) -> Result<(), sqlx::Error> {
    query("delete from schedule where name = $1 and key = $2")
        .bind(name)
        .bind(key)
        .execute(tx.connection())
        .await?;
    Ok(())
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

/// Runs due jobs.
pub struct Schedule {
    db: Db,
    metrics: Arc<Metrics>,
    lanes: Vec<Lane>,
    /// Notified when a job ends, since its name may lease the next row.
    ended: Notify,
}

/// A worker, and the permits for its running jobs.
struct Lane {
    worker: Worker,
    places: Arc<Semaphore>,
}

/// A running job, of the lane of this index. Dropping it releases the permit.
struct Piece {
    due: Due,
    lane: usize,
    _place: OwnedSemaphorePermit,
}

/// The rows that a poll may lease: of one lane's name as many as it has free permits.
struct Wanted {
    lane: usize,
    name: &'static str,
    places: Vec<OwnedSemaphorePermit>,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers: Vec<_> = self.lanes.iter().map(|lane| &lane.worker).collect();
        f.debug_struct("Schedule")
            .field("workers", &workers)
            .finish_non_exhaustive()
    }
}

impl Schedule {
    /// A schedule of these workers; jobs of other names are left to other versions of the program.
    #[must_use]
    pub fn new(db: Db, metrics: Arc<Metrics>, workers: Vec<Worker>) -> Self {
        let lane = |worker: Worker| Lane {
            places: Arc::new(Semaphore::new(worker.at_once.max(1))),
            worker,
        };
        Self {
            db,
            metrics,
            lanes: workers.into_iter().map(lane).collect(),
            ended: Notify::new(),
        }
    }

    /// Polls for due jobs until the drain's soft token. Running jobs then continue.
    pub fn start(self: Arc<Self>, drain: &Drain) {
        let (soft, spawner) = (drain.soft(), drain.clone());
        drop(drain.spawn_vital("schedule", async move {
            let mut due = interval(LOOK_EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut is_away = false;
            let next = async |due: &mut tokio::time::Interval| {
                tokio::select! {
                    _ = due.tick() => {}
                    () = self.ended.notified() => {}
                }
            };
            // Stops between two polls, never while rows are being leased.
            while soft.run_until_cancelled(next(&mut due)).await.is_some() {
                match self.take().await {
                    Ok(pieces) => {
                        is_away = false;
                        self.spawn(pieces, &spawner);
                    }
                    // Logged once per outage; polling goes on every second.
                    Err(error) if !is_away => {
                        is_away = true;
                        tracing::warn!("cannot poll for due jobs: {error}");
                    }
                    Err(_) => {}
                }
            }
        }));
    }

    fn spawn(self: &Arc<Self>, pieces: Vec<Piece>, drain: &Drain) {
        for piece in pieces {
            let schedule = Arc::clone(self);
            drop(drain.spawn("due-work", async move {
                schedule.run(piece).await;
                schedule.ended.notify_one();
            }));
        }
    }

    /// Runs the jobs that are due and within the limits now, once; returns their number.
    ///
    /// # Errors
    /// What is due cannot be found out.
    pub async fn work(&self) -> Result<usize, DbError> {
        let taken = self.take().await?;
        let count = taken.len();
        join_all(taken.into_iter().map(|piece| self.run(piece))).await;
        Ok(count)
    }

    /// Leases due rows of every name that has free permits.
    async fn take(&self) -> Result<Vec<Piece>, DbError> {
        let wanted: Vec<Wanted> = (0_usize..)
            .zip(&self.lanes)
            .map(|(lane, at)| Wanted {
                lane,
                name: at.worker.name,
                places: at.free_places(),
            })
            .filter(|wanted| !wanted.places.is_empty())
            .collect();
        let names: Vec<_> = wanted
            .iter()
            .map(|wanted| (wanted.name, wanted.places.len()))
            .collect();
        let taken = self.db.write(names, |names, tx| Box::pin(take(tx, names)));
        let taken = taken.await.map_err(|error| match error {
            WriteError::Refused(()) => DbError::Defect("taking work refuses nothing".to_owned()),
            WriteError::Db(error) => error,
        })?;
        let pieces = wanted.into_iter().zip(taken).flat_map(|(wanted, taken)| {
            let lane = wanted.lane;
            let pieces = taken.into_iter().zip(wanted.places);
            pieces.map(move |(due, place)| Piece {
                due,
                lane,
                _place: place,
            })
        });
        Ok(pieces.collect())
    }

    async fn run(&self, piece: Piece) {
        let Some(lane) = self.lanes.get(piece.lane) else {
            return;
        };
        let due = &piece.due;
        let done = tokio::time::timeout(HANDLER_MAX, (lane.worker.handler)(due.clone())).await;
        let outcome = match done {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err(format!("not done in {HANDLER_MAX:?}")),
        };
        let label = match &outcome {
            Ok(Outcome::Done) => "done",
            Ok(Outcome::Again(_)) => "again",
            Err(_) => "failed",
        };
        let scheduled = &self.metrics.scheduled;
        scheduled.with_label_values(&[&due.name, label]).inc();
        if let Err(error) = &outcome {
            tracing::error!(attempts = due.attempts, "{} {}: {error}", due.name, due.key);
        }
        if let Err(error) = self.settle(due.clone(), outcome).await {
            // The lease expires and the job runs again.
            tracing::warn!("job result not recorded: {error}");
        }
    }

    async fn settle(
        &self,
        due: Due,
        outcome: Result<Outcome, String>,
    ) -> Result<(), WriteError<()>> {
        let settled = self.db.write((due, outcome), |(due, outcome), tx| {
            Box::pin(async move {
                let next = match outcome {
                    Ok(Outcome::Done) => {
                        // No row is left if the handler has finished the job, and the lease may be lost.
                        match due.finish_in(tx).await {
                            Ok(()) | Err(Abort::Refused(Lost)) => return Ok(()),
                            Err(Abort::Sql(error)) => return Err(Abort::Sql(error)),
                        }
                    }
                    Ok(Outcome::Again(at)) => (*at, 0),
                    Err(_) => (tx.now().saturating_add(due.retry_delay()), due.attempts),
                };
                query(
                    "update schedule set due_at = $4, attempts = $5, taken_until = 0 \
                     where name = $1 and key = $2 and taken_until = $3",
                )
                .bind(due.name.as_str())
                .bind(due.key.as_str())
                .bind(due.taken_until)
                .bind(next.0.get())
                .bind(i64::from(next.1))
                .execute(tx.connection())
                .await?;
                Ok(())
            })
        });
        settled.await
    }
}

impl Lane {
    /// All permits that are free now, one by one.
    fn free_places(&self) -> Vec<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.places).try_acquire_owned().ok();
        std::iter::from_fn(free).collect()
    }
}

/// Leases due rows, of each name up to its limit; returns one list per name.
async fn take(
    tx: &mut Tx<'_>,
    names: &[(&'static str, usize)],
) -> Result<Vec<Vec<Due>>, Abort<()>> {
    let mut taken = Vec::with_capacity(names.len());
    for (name, limit) in names {
        taken.push(take_of(tx, name, *limit).await?);
    }
    Ok(taken)
}

/// Leases due rows of one name; skips rows that another instance is leasing concurrently (`skip locked`).
async fn take_of(tx: &mut Tx<'_>, name: &str, limit: usize) -> Result<Vec<Due>, sqlx::Error> {
    macro_rules! due {
        ($suffix:literal) => {
            concat!(
                "select name, key, due_at, body, attempts + 1 as attempts from schedule \
                 where due_at <= $1 and taken_until <= $1 and name = $3 \
                 order by due_at, key limit $2",
                $suffix
            )
        };
    }
    let text = match tx.dialect() {
        Dialect::Postgres => due!(" for update skip locked"),
        Dialect::Sqlite => due!(""),
    };
    let now = tx.now();
    // The random part distinguishes this lease from all others, also of the same millisecond.
    let until = now.saturating_add(LEASE).get() + rand::random_range(0..1_000);
    let select = query(text)
        .bind(now.get())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(name);
    let rows = select.fetch_all(tx.connection()).await?;
    let mut taken = Vec::new();
    for row in &rows {
        let due = Due::read(row, until)?;
        query("update schedule set taken_until = $3, attempts = $4 where name = $1 and key = $2")
            .bind(due.name.as_str())
            .bind(due.key.as_str())
            .bind(until)
            .bind(i64::from(due.attempts))
            .execute(tx.connection())
            .await?;
        taken.push(due);
    }
    Ok(taken)
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
