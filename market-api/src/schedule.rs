//! What has to happen at a time, in a table: it survives restarts, and one instance does each.
//!
//! ```text
//! put(tx) ─► row ─► due ─► taken for a while (a lease) ─► handler ─► done: removed │ again at a time
//! ```
//!
//! Pieces are done at the same time, each name as many as its [`Worker`] allows, so a slow handler delays
//! no other name. Rows of a name that is busy stay for a later look, or for another instance.
//!
//! An instance that dies leaves its row taken; when the lease has run out another takes it. So work
//! may be done twice: a handler that writes finishes the row in its own transaction
//! ([`Due::finish_in`]), which fails if somebody else has taken the row meanwhile.

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

/// How often the table is read. Due work is this late at most, and an idle instance asks one indexed
/// question for each name.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a row is this instance's: longer than a handler takes that is cut off, and its note in a
/// database that is slow.
const LEASE: Duration = Duration::from_secs(330);

/// A handler that takes longer has failed.
const HANDLER_MAX: Duration = Duration::from_secs(20);

/// From a failure to the next attempt, doubling from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));

/// A piece of work that this instance has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which handler's.
    pub name: String,
    /// Which of its pieces.
    pub key: String,
    /// What the handler needs to know.
    pub body: String,
    /// When it was to be done.
    pub due_at: UnixMillis,
    /// How often it was taken, this time included.
    pub attempts: i64,
    taken_until: i64,
}

/// What becomes of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: its row goes, if the handler has not removed it itself.
    Done,
    /// It is to be done at this time again.
    Again(UnixMillis),
}

/// Somebody else has taken the row meanwhile, or removed it: nothing may be written for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work is no longer this instance's")]
pub struct Lost;

/// Does the work of one name. An error is logged, and the work tried again later.
pub type Handler =
    Box<dyn Fn(Due) -> BoxFuture<'static, Result<Outcome, HandlerError>> + Send + Sync>;

/// Who does the work of one name.
pub struct Worker {
    /// Which work: the name of its rows.
    pub name: &'static str,
    /// Pieces that one instance does at the same time; at least 1.
    pub at_once: usize,
    /// How one is done.
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

/// Why work was not done.
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

/// Puts work into this transaction; of one name and key there is one piece, the earliest.
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

/// Whether there is such a piece of work.
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

/// Takes work back, if it is not done yet.
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
    /// Removes the row in the handler's own transaction, so that what it wrote and the end of the
    /// work are one.
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
            attempts: row.try_get("attempts")?,
            taken_until,
        })
    }

    fn retry_delay(&self) -> Duration {
        let doublings = u32::try_from(self.attempts.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(16);
        (RETRY.0 * 2_u32.pow(doublings)).min(RETRY.1)
    }
}

/// Does what is due.
pub struct Schedule {
    db: Db,
    metrics: Arc<Metrics>,
    lanes: Vec<Lane>,
    /// A piece has ended, so its name has a place for the next.
    ended: Notify,
}

/// A worker, and its places for pieces under way.
struct Lane {
    worker: Worker,
    places: Arc<Semaphore>,
}

/// A piece of work under way, of the lane of this index. Its place is free when this is dropped.
struct Piece {
    due: Due,
    lane: usize,
    _place: OwnedSemaphorePermit,
}

/// What a look may take: of one lane's name as many rows as it has free places.
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
    /// Work of these names; that of others is left to other versions of the program.
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

    /// Looks for due work until the drain's soft token. What is under way then goes on.
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
            // Never in the middle of taking rows.
            while soft.run_until_cancelled(next(&mut due)).await.is_some() {
                match self.take().await {
                    Ok(pieces) => {
                        is_away = false;
                        self.spawn(pieces, &spawner);
                    }
                    // Logged once: it is tried again every second for as long as it lasts.
                    Err(error) if !is_away => {
                        is_away = true;
                        tracing::warn!("due work cannot be looked for: {error}");
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

    /// Does what is due now and has a place, once; how many pieces that were.
    ///
    /// # Errors
    /// What is due cannot be found out.
    pub async fn work(&self) -> Result<usize, DbError> {
        let taken = self.take().await?;
        let count = taken.len();
        join_all(taken.into_iter().map(|piece| self.run(piece))).await;
        Ok(count)
    }

    /// Takes due rows of every name that has free places.
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
            // The lease runs out and it is done again.
            tracing::warn!("the end of due work could not be noted: {error}");
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
                        // Nothing to do if the handler did it, or if it is lost.
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
                .bind(next.1)
                .execute(tx.connection())
                .await?;
                Ok(())
            })
        });
        settled.await
    }
}

impl Lane {
    /// All places that are free now, one each.
    fn free_places(&self) -> Vec<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.places).try_acquire_owned().ok();
        std::iter::from_fn(free).collect()
    }
}

/// Takes due rows, of each name up to its limit; as many lists as names.
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

/// Rows that another instance is just taking are passed over (`skip locked`).
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
    // Tells this taking from every other, also from one in the same millisecond.
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
            .bind(due.attempts)
            .execute(tx.connection())
            .await?;
        taken.push(due);
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempts: i64, seconds: u64) {
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
    fn retries_come_slower_and_slower() {
        check(1, 5);
        check(2, 10);
        check(3, 20);
        check(12, 3_600);
        check(i64::MAX, 3_600);
    }
}
