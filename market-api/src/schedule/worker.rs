//! The workers: polling for due jobs, leasing them, running them concurrently, recording the results.
//!
//! Apart from the table's other functions because only this half has tasks and state.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shared::drain::Drain;
use sqlx::query;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use super::{Due, Handler, Lost, Outcome};
use crate::db::{Abort, Db, DbError, Dialect, Tx, WriteError};
use crate::metrics::Metrics;

/// Poll interval. Bounds the delay of due jobs; an idle instance runs one indexed query per name.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Duration of a lease: a handler's deadline (20 s), a transaction's (30 s) for the record of its result, and some to
/// spare. Jobs of an instance that was killed are as late as this. One that runs past it is run again, and its own
/// result is not recorded.
const LEASE: Duration = Duration::from_secs(60);

/// Deadline of a handler; beyond it the run has failed.
const HANDLER_MAX: Duration = Duration::from_secs(20);

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
