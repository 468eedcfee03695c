//! The database: PostgreSQL, or SQLite in the embedded mode, with one set of SQL texts.
//!
//! ```text
//! read  ─► pool of readers
//! write ─► PostgreSQL: a transaction of the pool, run again after a serialization failure
//!          SQLite: a bounded queue ─► one writer ─► up to 16 closures in one transaction
//! ```
//!
//! A write is a closure over a [`Tx`]. It reads, computes and writes, and has no effects outside the
//! database, since it may be rerun. The reply is sent after the COMMIT.
//!
//! Rows are locked in one order ([`Lock`]), which debug builds assert.
//!
//! What this module does not do: hold domain SQL. Its own SQL is for settings and migrations.

mod error;
mod job;
mod locks;
mod migrate;
mod notify;
mod postgres;
pub mod row;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::clock::{Clock, LocalDateTime, Month, UnixMillis};
use shared::config::Secret;
use shared::drain::Drain;
use shared::trace::TraceParent;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool};
use tokio::sync::{Notify, oneshot};

use crate::metrics::Metrics;

pub use error::{Abort, DbError, WriteError, defect, is_lock_timeout, overflow};
use job::{Counted, Job, Pending};
use locks::HeldLocks;
pub use locks::{Lock, LockMode};

/// Time-out of a reader that waits for a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(2);

/// The database named by the settings.
#[derive(Clone, Debug)]
pub enum DbUrl {
    /// `postgres://…`, with its password.
    Postgres(Secret<String>),
    /// A file on this computer.
    Sqlite(PathBuf),
}

/// The SQL dialect, for the few texts that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// The open database. Clones share one pool.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    dialect: Dialect,
    readers: AnyPool,
    writer: Arc<dyn Writer>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Notified after the COMMIT of a transaction that requested it.
    committed: Arc<Notify>,
    /// The number of COMMITs, where this process makes all of them.
    commits: Option<Arc<AtomicU64>>,
    /// For the connection that listens; `None` on SQLite.
    listen_url: Option<Secret<String>>,
}

/// Runs closures in transactions.
trait Writer: Send + Sync {
    /// Queues a job. Every job gets a reply, unless the process ends.
    fn submit(&self, job: Box<dyn Job>);

    /// Why this process cannot write, if the cause is local to it.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// A running transaction.
#[derive(Debug)]
pub struct Tx<'c> {
    connection: &'c mut AnyConnection,
    dialect: Dialect,
    now: UnixMillis,
    locks: HeldLocks,
    trace: Option<TraceParent>,
    /// Whether the COMMIT notifies [`Db::committed`].
    notifies: bool,
}

impl<'c> Tx<'c> {
    /// An attempt that begins: nothing is locked yet.
    fn new(connection: &'c mut AnyConnection, dialect: Dialect, now: UnixMillis) -> Self {
        Self {
            connection,
            dialect,
            now,
            locks: HeldLocks::default(),
            trace: None,
            notifies: false,
        }
    }

    /// Makes [`Db::committed`] return after the COMMIT.
    pub fn notify_at_commit(&mut self) {
        self.notifies = true;
    }

    /// Notes rows that the next statement locks, in ascending order. Every statement that locks a row
    /// others may lock is preceded by this; [`locking!`] does it by itself.
    ///
    /// # Panics
    /// In debug builds, when that breaks the lock order.
    pub fn note_locks(&mut self, locks: impl IntoIterator<Item = Lock>, mode: LockMode) {
        if cfg!(debug_assertions) {
            let mut locks: Vec<Lock> = locks.into_iter().collect();
            locks.sort_unstable();
            for lock in locks {
                let noted = self.locks.note(lock, mode);
                debug_assert!(noted.is_ok(), "lock order: {noted:?} (see db/locks.rs)");
            }
        }
    }

    /// The connection that queries run on.
    pub fn connection(&mut self) -> &mut AnyConnection {
        self.connection
    }

    /// The SQL dialect of the connection.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The time of this attempt: read once, so that all its decisions agree.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// The trace of the request that writes. A job has none.
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// The Seoul month of this attempt.
    #[must_use]
    pub fn month(&self) -> Month {
        seoul_month(self.now)
    }
}

/// A query that locks the rows it reads, noted in the lock order:
/// `locking!(tx, [Lock::Wallet(member)], "select … where id = $1")`. A query that locks several rows reads
/// them in ascending order.
///
/// Plain `for update` would also block inserts of rows that reference these. `locking!(tx, shared […], …)`
/// takes shared locks: they block changes of the rows, but no other shared lock. SQLite has one writer, so
/// there no lock is needed.
#[macro_export]
macro_rules! locking {
    ($tx:expr, shared $locks:expr, $text:literal) => {
        $crate::db::locking!(@ $tx, $locks, Shared, $text, " for share")
    };
    ($tx:expr, $locks:expr, $text:literal) => {
        $crate::db::locking!(@ $tx, $locks, Exclusive, $text, " for no key update")
    };
    (@ $tx:expr, $locks:expr, $mode:ident, $text:literal, $suffix:literal) => {{
        $tx.note_locks($locks, $crate::db::LockMode::$mode);
        match $tx.dialect() {
            $crate::db::Dialect::Postgres => concat!($text, $suffix),
            $crate::db::Dialect::Sqlite => $text,
        }
    }};
}

pub use locking;

impl Db {
    /// Opens the database and migrates it. Its tasks run in `drain`.
    ///
    /// # Errors
    /// It cannot be reached or migrated.
    pub async fn open(
        url: &DbUrl,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        drain: &Drain,
    ) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        let (own_clock, own_metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
        let committed = Arc::new(Notify::new());
        let own_committed = Arc::clone(&committed);
        let listen_url = match url {
            DbUrl::Postgres(url) => Some(url.clone()),
            DbUrl::Sqlite(_) => None,
        };
        let mut commits = None;
        let (dialect, readers, writer): (_, _, Arc<dyn Writer>) = match url {
            DbUrl::Postgres(url) => {
                let pool = postgres::open(url.expose()).await?;
                let writer = postgres::PostgresWriter::new(
                    pool.clone(),
                    own_clock,
                    own_metrics,
                    own_committed,
                    drain.clone(),
                );
                (Dialect::Postgres, pool, Arc::new(writer))
            }
            DbUrl::Sqlite(path) => {
                let (readers, writing) = sqlite::open(path).await?;
                let own_commits = Arc::default();
                commits = Some(Arc::clone(&own_commits));
                let shared = sqlite::Shared {
                    clock: own_clock,
                    metrics: own_metrics,
                    committed: own_committed,
                    commits: own_commits,
                };
                let writer = sqlite::SqliteWriter::start(writing, shared, drain);
                (Dialect::Sqlite, readers, Arc::new(writer))
            }
        };
        Ok(Self(Arc::new(Inner {
            dialect,
            readers,
            writer,
            clock,
            metrics,
            committed,
            commits,
            listen_url,
        })))
    }

    /// Returns after the COMMIT of a write of this process that called [`Tx::notify_at_commit`]. Several COMMITs
    /// before the call are one. For one task: each notification has one receiver.
    pub async fn committed(&self) {
        self.0.committed.notified().await;
    }

    /// The number of COMMITs so far, each counted before its writes are answered: while it stays the same, a row that
    /// was read is as it was. `None` on PostgreSQL, where other processes write, too.
    #[must_use]
    pub fn commits(&self) -> Option<u64> {
        let commits = self.0.commits.as_ref()?;
        Some(commits.load(Ordering::Acquire))
    }

    /// The SQL dialect of the database.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// A connection for reading committed data.
    ///
    /// # Errors
    /// [`DbError::Busy`] when none is free in time.
    pub async fn read(&self) -> Result<PoolConnection<Any>, DbError> {
        let begun = self.0.clock.now();
        let connection = self.0.readers.acquire().await;
        let waited = self.0.clock.now().saturating_duration_since(begun);
        self.0.metrics.db.read_wait.observe(waited.as_secs_f64());
        Ok(connection?)
    }

    /// Why this process cannot write: SQLite's file rejects writes. Cleared when a probe succeeds.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.0.writer.fault()
    }

    /// The time, from the clock that transactions use.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.0.clock.unix_millis()
    }

    /// The present Seoul month, from the clock that transactions use.
    #[must_use]
    pub fn month(&self) -> Month {
        seoul_month(self.now())
    }

    /// Updates the pool's gauges.
    pub fn show_connections(&self) {
        let idle = i64::try_from(self.0.readers.num_idle()).unwrap_or(i64::MAX);
        let all = i64::from(self.0.readers.size());
        let connections = &self.0.metrics.db.connections;
        connections.with_label_values(&["idle"]).set(idle);
        connections
            .with_label_values(&["used"])
            .set((all - idle).max(0));
    }

    /// Runs `work` on `context` in a transaction of its own; commits it, or rolls back everything.
    ///
    /// The transaction continues when the caller is cancelled. `work` may be rerun, so it must have no effects
    /// that a rollback does not undo.
    ///
    /// # Errors
    /// [`WriteError::Refused`] is the closure's own no; [`WriteError::Db`] the database's.
    pub async fn write<C, T, E>(&self, context: C, work: TxFn<C, T, E>) -> Result<T, WriteError<E>>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let counted = Counted::begin(Arc::clone(&self.0.metrics), Arc::clone(&self.0.clock));
        // The writer is a task of its own, without the request's context.
        let trace = TraceParent::current();
        let job = Pending::new(context, work, answer, counted, trace);
        self.0.writer.submit(Box::new(job));
        answered
            .await
            .unwrap_or_else(|_| Err(WriteError::Db(DbError::Unavailable("stopping".to_owned()))))
    }

    /// Waits until all readers have returned their connections, then closes the pool.
    pub async fn close(&self) {
        self.0.readers.close().await;
    }
}

fn seoul_month(now: UnixMillis) -> Month {
    LocalDateTime::from_unix(now).month()
}

/// The body of a transaction. A function without captures, since it may be rerun: its input is the context,
/// which it borrows.
pub type TxFn<C, T, E> =
    for<'t, 'c> fn(&'t C, &'t mut Tx<'c>) -> BoxFuture<'t, Result<T, Abort<E>>>;

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("dialect", &self.0.dialect)
            .finish_non_exhaustive()
    }
}
