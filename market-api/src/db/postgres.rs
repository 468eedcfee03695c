//! Writer for PostgreSQL: one transaction per closure, READ COMMITTED, every wait bounded.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::drain::Drain;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::error::collision;
use super::job::{End, Job, Step};
use super::{ACQUIRE_MAX, DbError, Dialect, Tx, Writer, migrate};
use crate::metrics::Metrics;

/// Pool size. 8 to 16 connections were the fastest when measured, 100 three times slower: requests should
/// queue in the pool, not in PostgreSQL.
const CONNECTIONS_MAX: u32 = 12;

/// Bound of writes that wait or run; beyond it the answer is [`DbError::Busy`].
const WRITES_MAX: usize = 1_024;

/// Attempts of a transaction that hits a conflict. A deadlock is a defect of the lock order; three attempts
/// limit the damage until it is found.
const ATTEMPTS_MAX: u32 = 3;

/// Deadline of an attempt. The server bounds each statement, but on a connection that dies silently an
/// attempt would wait forever.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// A connection that was used within this time is taken for alive: a test would cost each read and write a
/// round trip. One that the server has closed since fails its request, as it would a moment later.
const UNTESTED_MAX: Duration = Duration::from_secs(1);

/// Session settings: time-outs of locks, statements and idle transactions; the time zone.
const SESSION: &str = "set lock_timeout = '2s'; set statement_timeout = '5s'; \
     set idle_in_transaction_session_timeout = '10s'; set time zone 'UTC'";

/// Migrates the database, then opens the pool.
pub(super) async fn open(url: &str) -> Result<AnyPool, DbError> {
    let connected = timeout(ACQUIRE_MAX, AnyConnection::connect(url)).await;
    let mut first = connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    migrate::run(&mut first, Dialect::Postgres).await?;
    first.close().await?;
    let options = AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        // Instead of the pool's own test of each connection that it hands out, which is a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > UNTESTED_MAX {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        });
    Ok(options.connect(url).await?)
}

/// Runs each write in a task of its own.
pub(super) struct PostgresWriter {
    pool: AnyPool,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    committed: Arc<Notify>,
    drain: Drain,
    places: Arc<Semaphore>,
}

impl PostgresWriter {
    pub(super) fn new(
        pool: AnyPool,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        committed: Arc<Notify>,
        drain: Drain,
    ) -> Self {
        Self {
            pool,
            clock,
            metrics,
            committed,
            drain,
            places: Arc::new(Semaphore::new(WRITES_MAX)),
        }
    }
}

impl Writer for PostgresWriter {
    fn submit(&self, job: Box<dyn Job>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return job.answer(End::Failed(DbError::Busy));
        };
        let (pool, clock) = (self.pool.clone(), Arc::clone(&self.clock));
        let (metrics, committed) = (Arc::clone(&self.metrics), Arc::clone(&self.committed));
        // A task of the process: a cancelled request does not interrupt its transaction.
        drop(self.drain.spawn("db-write", async move {
            let mut job = job;
            let end = write(&pool, &*clock, &metrics, &committed, &mut *job).await;
            drop(place);
            job.answer(end);
        }));
    }
}

async fn write(
    pool: &AnyPool,
    clock: &dyn Clock,
    metrics: &Metrics,
    committed: &Notify,
    job: &mut dyn Job,
) -> End {
    let mut attempt = 1;
    loop {
        let attempted = attempt_once(pool, clock, metrics, committed, job);
        let attempted = timeout(ATTEMPT_MAX, attempted).await;
        let error = match attempted {
            Ok(Ok(())) => return End::Settled,
            Ok(Err(error)) => error,
            Err(_elapsed) => {
                let why = format!("a transaction took longer than {ATTEMPT_MAX:?}");
                tracing::error!("{why}");
                return End::Failed(DbError::Unavailable(why));
            }
        };
        if let Some(reason) = collision(&error).filter(|_| attempt < ATTEMPTS_MAX) {
            metrics.db.reruns.with_label_values(&[reason]).inc();
            tracing::warn!(attempt, "transaction conflict, rerunning: {error}");
            sleep(Duration::from_millis(rand::random_range(10..=50))).await;
            attempt += 1;
            continue;
        }
        let error = DbError::from(error);
        if !matches!(error, DbError::Busy) {
            tracing::error!("a transaction failed: {error}");
        }
        return End::Failed(error);
    }
}

async fn attempt_once(
    pool: &AnyPool,
    clock: &dyn Clock,
    metrics: &Metrics,
    committed: &Notify,
    job: &mut dyn Job,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let connection: &mut AnyConnection = &mut transaction;
    let mut tx = Tx::new(connection, Dialect::Postgres, clock.unix_millis());
    let step = job.run(&mut tx).await;
    let notifies = tx.notifies;
    match step {
        Step::Keep => {
            transaction.commit().await?;
            metrics.db.commits.inc();
            if notifies {
                committed.notify_one();
            }
            Ok(())
        }
        Step::Undo => transaction.rollback().await,
        Step::Failed(error) => {
            // A failed rollback needs no handling: the pool closes the connection.
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}
