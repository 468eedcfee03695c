//! Recovery of a store that takes no writes: probe the disk, close, open again.
//!
//! fjall refuses everything after one failed write, rightly: the content of the page cache is
//! unknown then, and only a start reads the journal again. So the store is closed and opened again
//! in this process. Not before the disk takes writes again, which a probe file shows: until then
//! the old tables still serve reads.
//!
//! Readiness shows the outage. A store that cannot be opened again ends the
//! process with an error code, so that its supervisor acts.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use shared::clock::{Clock as _, SystemClock};
use tracing::{error, info, warn};

use super::NodeContext;
use super::folder;
use super::opened::Opened;
use super::tables::Tables;
use crate::store::StoreError;

/// Between two tries: short at first, for a disk that was full for a moment.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// An operator frees a disk in minutes; a delay of this much does not matter then.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the disk must take before the store is opened again: more than a round usually is, and than
/// a flush of the largest table's buffer.
const PROBE_BYTES: usize = 32 << 20;

const PROBE_CHUNK_BYTES: usize = 1 << 20;

/// An outage that begins this soon after the last one ended goes on with its pauses and its count:
/// opening again did not help.
const RELAPSE_WITHIN: Duration = Duration::from_secs(60);

/// Beside the files of fjall, which does not mind it.
const PROBE_NAME: &str = "probe";

/// How long reads under way may hold the tables. They take milliseconds.
const READS_MAX: Duration = Duration::from_secs(5);

/// Tries to open the store on a disk that takes writes; after that a new process may do better.
const OPENINGS_MAX: u32 = 30;

/// A write that takes longer makes the node unready.
const SLOW: Duration = Duration::from_secs(10);

/// A write that takes longer will not end: the disk hangs, or fjall waits for a thread of its own
/// that is gone.
const STUCK: Duration = Duration::from_secs(120);

/// The name of the store among the faults of the node.
pub(super) const PART: &str = "store";

/// The name of a writer that is slow there.
const WRITER_PART: &str = "store writer";

/// Why nothing is written, and when that is tried to be mended.
pub(super) struct Outage {
    pub(super) why: String,
    pub(super) next_try: Instant,
    pause: Duration,
    openings: u32,
}

/// How a try ended.
pub(super) enum Tried {
    /// The store is open again.
    Open,
    /// Not yet, or never.
    Not,
}

impl Outage {
    /// Begins an outage: log, metrics, readiness.
    pub(super) fn begin(why: String, context: &NodeContext) -> Self {
        error!(
            "writing to the message store failed, it takes no writes until it is opened again: {why}"
        );
        let why = format!("no writes since one failed: {why}");
        context.health.set_fault(PART, why.clone());
        context.metrics.store_outages.inc();
        Self {
            why,
            next_try: SystemClock.now() + PAUSE_MIN,
            pause: PAUSE_MIN,
            openings: 0,
        }
    }

    /// Begins the one after this, which ended at `ended`.
    pub(super) fn again(self, ended: Instant, why: String, context: &NodeContext) -> Self {
        let now = SystemClock.now();
        let mut outage = Self::begin(why, context);
        if now.saturating_duration_since(ended) > RELAPSE_WITHIN {
            return outage;
        }
        (outage.pause, outage.openings) = (self.pause, self.openings);
        outage.next_try = now + outage.pause;
        if outage.openings >= OPENINGS_MAX {
            let why = &outage.why;
            context.drain.fail(format!(
                "opening the message store again does not help: {why}"
            ));
        }
        outage
    }

    /// Closes the store and opens it again, if the disk takes writes. `forget` is called between.
    pub(super) fn try_to_end(
        &mut self,
        folder: &Path,
        opened: &Opened,
        context: &NodeContext,
        forget: impl FnOnce(),
    ) -> Tried {
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let tried = match probe(folder) {
            Ok(()) => self.open_again(folder, opened, forget),
            Err(cause) => Err(StoreError::Unavailable(format!(
                "the disk takes no writes: {cause}"
            ))),
        };
        let still = match tried {
            Ok(()) => {
                info!("the message store is open again");
                context.health.clear_fault(PART);
                context.metrics.store_reopens.inc();
                return Tried::Open;
            }
            Err(still) => still,
        };
        warn!("the message store is still not open again: {still}");
        if matches!(still, StoreError::Corrupt(_)) || self.openings >= OPENINGS_MAX {
            context
                .drain
                .fail(format!("the message store cannot be opened again: {still}"));
        }
        self.next_try = SystemClock.now() + self.pause;
        Tried::Not
    }

    fn open_again(
        &mut self,
        folder: &Path,
        opened: &Opened,
        forget: impl FnOnce(),
    ) -> Result<(), StoreError> {
        self.openings += 1;
        if let Ok(tables) = opened.get() {
            opened.take_away(&self.why);
            close(tables, opened)?;
        }
        forget();
        opened.put(folder::open(folder)?.into());
        Ok(())
    }
}

/// Drops the tables once no read uses them any more; gives them back if that takes too long.
#[expect(
    clippy::disallowed_methods,
    reason = "the writer is a thread of its own"
)]
fn close(mut tables: Arc<Tables>, opened: &Opened) -> Result<(), StoreError> {
    let began = SystemClock.now();
    loop {
        match Arc::try_unwrap(tables) {
            // Ends its threads and the lock of the folder.
            Ok(last) => {
                drop(last);
                return Ok(());
            }
            Err(shared) => tables = shared,
        }
        if SystemClock.now() - began > READS_MAX {
            opened.put(tables);
            return Err(StoreError::Unavailable("a read does not end".to_owned()));
        }
        sleep(Duration::from_millis(5));
    }
}

/// Whether the disk takes writes.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE_NAME);
    let written = write_probe(&path);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn write_probe(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    // No zeros: a file system may keep those for nothing.
    let chunk = vec![0x5a; PROBE_CHUNK_BYTES];
    for _ in 0..PROBE_BYTES / PROBE_CHUNK_BYTES {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

/// Reports a panic of the writer: nothing is written without it, so the process ends.
pub(super) struct PanicGuard(pub(super) NodeContext);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "its writer has panicked";
            self.0.health.set_fault(PART, why.to_owned());
            self.0.drain.fail(format!("the message store: {why}"));
        }
    }
}

/// Since when the writer is at what it does.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    busy_since: Mutex<Option<Instant>>,
}

impl Pulse {
    pub(super) fn begin(&self) {
        self.set(Some(SystemClock.now()));
    }

    /// It is done, however long that took.
    pub(super) fn end(&self, context: &NodeContext) {
        self.set(None);
        context.health.clear_fault(WRITER_PART);
    }

    fn set(&self, since: Option<Instant>) {
        *self
            .busy_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// A write was not answered in time: an outage if the writer makes no progress at all.
    pub(super) fn check(&self, context: &NodeContext) {
        let since = *self
            .busy_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(busy) = since.map(|since| SystemClock.now() - since) else {
            return;
        };
        if busy > SLOW {
            let why = format!("a write has been under way for {} s", busy.as_secs());
            if busy > STUCK {
                context
                    .drain
                    .fail(format!("the message store hangs: {why}"));
            }
            context.health.set_fault(WRITER_PART, why);
        }
    }
}
