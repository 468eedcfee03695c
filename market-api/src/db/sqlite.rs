//! Writer for SQLite: one connection, a bounded queue, group commit.
//!
//! SQLite has one writer at a time and a COMMIT waits for the disk, so queued closures share one. Each runs
//! in a savepoint: an abort rolls back that closure only. All replies are sent after the COMMIT.
//!
//! When a group fails, a probe write shows whether the file accepts writes. While it does not (a full disk),
//! readiness fails with the reason, and the probe is retried every second.

use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::clock::Clock;
use shared::drain::Drain;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::error::is_about_the_statement;
use super::job::{End, Job, Step};
use super::{ACQUIRE_MAX, DbError, Dialect, Tx, Writer, migrate};
use crate::metrics::Metrics;

/// Bound of closures per COMMIT. Larger groups gain little and delay their first closure.
const GROUP_MAX: usize = 16;

/// Bound of queued closures; beyond it the answer is [`DbError::Busy`]. A second's work at a millisecond
/// each.
const QUEUE_MAX: usize = 1_024;

/// Deadline of a closure: it blocks all others, and awaits nothing but the database.
const CLOSURE_MAX: Duration = Duration::from_secs(1);

/// Number of reader connections beside the writer.
const READERS_MAX: u32 = 8;

/// Settings of every connection. FULL, because NORMAL may lose acknowledged commits on a power failure.
const SESSION: &str = "pragma busy_timeout = 5000; pragma foreign_keys = on; \
     pragma journal_mode = wal; pragma synchronous = full";

/// Dirties a page without a change: an empty COMMIT succeeds even on a full disk.
const PROBE: &str = "begin immediate; pragma user_version = 0; commit";

/// Retry interval of a failing probe.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Why the file rejects writes; `None` while it accepts them.
type Fault = Arc<Mutex<Option<String>>>;

/// What the writer has in common with the database that it belongs to.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    /// Notified after the COMMIT of a transaction that requested it.
    pub(super) committed: Arc<Notify>,
    /// Incremented after each COMMIT, before its closures are answered.
    pub(super) commits: Arc<AtomicU64>,
}

/// The writer's connection; reopened after it is abandoned.
pub(super) struct Writing {
    options: AnyConnectOptions,
    connection: Option<AnyConnection>,
}

/// Opens or creates the file and migrates it.
pub(super) async fn open(path: &Path) -> Result<(AnyPool, Writing), DbError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        shared::files::make_folder(folder)
            .map_err(|error| DbError::Unavailable(format!("{}: {error}", folder.display())))?;
    }
    let options = options(path)?;
    let mut writing = Writing {
        options: options.clone(),
        connection: None,
    };
    let first = writing.connection().await;
    let first = first.map_err(|error| not_opened(path, error.into()))?;
    migrate::run(first, Dialect::Sqlite).await?;
    let readers = AnyPoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        // A file does not hang up; the test would be one more wake-up of the connection's thread for each read.
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                connection.execute("pragma query_only = on").await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    Ok((readers, writing))
}

/// SQLite reports only that it cannot open a file; the operating system reports the reason.
fn not_opened(path: &Path, error: DbError) -> DbError {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let mut files = [path.as_os_str(), &log].into_iter();
    let refused = files.find_map(|file| options.open(file).err());
    refused.map_or(error, |cause| {
        DbError::Unavailable(format!(
            "{}: {cause}; the file and its folder must be on a disk that takes writes",
            path.display()
        ))
    })
}

/// Connect options for a file of any name.
///
/// sqlx has typed options for SQLite, but an `Any` connection starts from a URL. sqlx percent-decodes the
/// path of that URL, and SQLite decodes the `file:` URL inside, to bytes which need not be UTF-8. So the path
/// is encoded twice.
fn options(path: &Path) -> Result<AnyConnectOptions, DbError> {
    let path = std::path::absolute(path)
        .map_err(|error| DbError::Unavailable(format!("{}: {error}", path.display())))?;
    let file = format!(
        "file:{}",
        percent_encoded(path.as_os_str().as_bytes(), b"/")
    );
    let text = format!("sqlite:{}?mode=rwc", percent_encoded(file.as_bytes(), b""));
    Ok(text.parse()?)
}

/// Percent-encodes all bytes but letters, digits and `kept`.
fn percent_encoded(bytes: &[u8], kept: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || kept.contains(&byte);
    let encoded = bytes.iter().map(|&byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

impl Writing {
    async fn connection(&mut self) -> Result<&mut AnyConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.options.connect().await?;
                connection.execute(SESSION).await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Drops the connection; SQLite rolls its transaction back when it closes.
    async fn abandon(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close_hard().await.ok();
        }
    }
}

/// The sending side of the writer's queue.
pub(super) struct SqliteWriter {
    queue: mpsc::Sender<Box<dyn Job>>,
    fault: Fault,
}

impl SqliteWriter {
    /// Spawns the writer; it ends when this handle is dropped and the queue is empty, or at the drain's
    /// hard token.
    pub(super) fn start(writing: Writing, shared: Shared, drain: &Drain) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let hard = drain.hard();
        let fault = Fault::default();
        let own_fault = Arc::clone(&fault);
        let serving = serve(writing, jobs, shared, own_fault);
        drop(drain.spawn_vital("db-writer", hard.run_until_cancelled_owned(serving)));
        Self { queue, fault }
    }
}

impl Writer for SqliteWriter {
    fn submit(&self, job: Box<dyn Job>) {
        let refused = match self.queue.try_send(job) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(job)) => (job, DbError::Busy),
            Err(mpsc::error::TrySendError::Closed(job)) => {
                (job, DbError::Unavailable("stopping".to_owned()))
            }
        };
        refused.0.answer(End::Failed(refused.1));
    }

    fn fault(&self) -> Option<String> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.clone()
    }
}

async fn serve(
    mut writing: Writing,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    shared: Shared,
    fault: Fault,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut is_faulty = false;
    loop {
        let coming = jobs.recv_many(&mut group, GROUP_MAX);
        let count = if is_faulty {
            timeout(PROBE_EVERY, coming).await
        } else {
            Ok(coming.await)
        };
        match count {
            Ok(0) => return,
            Ok(_) => {}
            Err(_elapsed) => {
                is_faulty = probe(&mut writing, &fault).await;
                continue;
            }
        }
        let ends = commit_group(&mut writing, &mut group, &*shared.clock).await;
        // Also after a failure: a COMMIT that returns an error may have taken effect.
        shared.commits.fetch_add(1, Ordering::AcqRel);
        match ends.map_err(of_the_group) {
            Ok((ends, notifies)) => {
                shared.metrics.db.commits.inc();
                if notifies {
                    shared.committed.notify_one();
                }
                for (job, end) in group.drain(..).zip(ends) {
                    job.answer(end);
                }
                if is_faulty {
                    is_faulty = probe(&mut writing, &fault).await;
                }
            }
            Err(error) => {
                if !is_faulty {
                    tracing::error!("group commit failed: {error}");
                }
                // Rolls back by dropping the connection; no reply has been sent yet.
                writing.abandon().await;
                // Before the replies, so that readiness agrees with them.
                is_faulty = probe(&mut writing, &fault).await;
                for job in group.drain(..) {
                    job.answer(End::Failed(error.clone()));
                }
            }
        }
    }
}

/// The error that all writers of a failed group get. Only one of them can be its cause, if any, so for the
/// others it is no defect: they may retry.
fn of_the_group(error: DbError) -> DbError {
    match error {
        DbError::Defect(why) => DbError::Unavailable(why),
        DbError::Busy | DbError::Unavailable(_) => error,
    }
}

/// Probes the file; true if it rejects writes, with the reason in `fault`.
async fn probe(writing: &mut Writing, fault: &Fault) -> bool {
    let found = match probe_once(writing).await {
        Ok(()) => None,
        Err(error) => {
            writing.abandon().await;
            Some(format!("no writes since one failed: {error}"))
        }
    };
    let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
    match (&*fault, &found) {
        (None, Some(why)) => {
            tracing::error!("database: {why}; retrying every second")
        }
        (Some(_), None) => tracing::info!("the database accepts writes again"),
        (None, None) | (Some(_), Some(_)) => {}
    }
    fault.clone_from(&found);
    found.is_some()
}

async fn probe_once(writing: &mut Writing) -> Result<(), sqlx::Error> {
    writing.connection().await?.execute(PROBE).await?;
    Ok(())
}

/// Runs the closures and commits; true if one of those that were kept notifies. On an error the whole group is
/// rolled back.
async fn commit_group(
    writing: &mut Writing,
    group: &mut [Box<dyn Job>],
    clock: &dyn Clock,
) -> Result<(Vec<End>, bool), DbError> {
    let connection = writing.connection().await?;
    connection.execute("begin immediate").await?;
    let mut ends = Vec::with_capacity(group.len());
    let mut group_notifies = false;
    for job in group {
        let (end, notifies) = run_in_savepoint(connection, &mut **job, clock).await?;
        ends.push(end);
        group_notifies |= notifies;
    }
    connection.execute("commit").await?;
    Ok((ends, group_notifies))
}

async fn run_in_savepoint(
    connection: &mut AnyConnection,
    job: &mut dyn Job,
    clock: &dyn Clock,
) -> Result<(End, bool), DbError> {
    connection.execute("savepoint closure").await?;
    let mut tx = Tx::new(connection, Dialect::Sqlite, clock.unix_millis());
    let running = AssertUnwindSafe(job.run(&mut tx)).catch_unwind();
    let step = match timeout(CLOSURE_MAX, running).await {
        Ok(Ok(step)) => step,
        Ok(Err(_panic)) => return Err(DbError::Unavailable("a closure panicked".to_owned())),
        Err(_elapsed) => {
            return Err(DbError::Unavailable(format!(
                "a closure took longer than {CLOSURE_MAX:?}"
            )));
        }
    };
    let end = match step {
        Step::Keep => {
            let notifies = tx.notifies;
            connection.execute("release closure").await?;
            return Ok((End::Settled, notifies));
        }
        Step::Undo => End::Settled,
        Step::Failed(error) if is_about_the_statement(&error) => End::Failed(error.into()),
        Step::Failed(error) => return Err(error.into()),
    };
    connection
        .execute("rollback to closure; release closure")
        .await?;
    Ok((end, false))
}
