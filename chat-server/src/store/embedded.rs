//! Embedded store: logs, rooms, read marks and members in one folder, in fjall, a log-structured
//! merge tree with a journal. For one process alone; a second one on the same folder is refused.
//!
//! ```text
//! append               ─► handover (bounded) ─┐
//! delete, put_room, …  ─► queue (bounded)    ─┴► writer: one thread ─► one batch a round ─► outcomes
//! head ─► heads in memory, else ┐
//! read, room, memberships, …  ──┴─► blocking pool (bounded) ─► fjall
//! ```
//!
//! Reads go to the blocking pool although most take tens of microseconds: which of them must wait
//! for the disk is unknown before, and a worker that waits holds up every connection it serves. The
//! hop costs less than the page it reads. `head`, which hubs call often, is answered from memory
//! for recently written topics, and what logins read of members once it was read.
//!
//! fjall takes an unreadable part of a journal for its end, and what follows is lost
//! (<https://github.com/fjall-rs/fjall/issues/311>). So the journals are checked before fjall opens
//! them, and a mark of the last acknowledged append after it. Of the tables all metadata is checked
//! before, as damage there ends the process or removes a keyspace.
//!
//! It does not expire the entries of inboxes, repair damage, or check the rows of tables before
//! they are read. A compaction that reads a damaged row ends the writes.

mod acknowledged;
mod context;
mod copied;
mod epochs;
mod files;
mod folder;
mod handover;
mod heads;
mod journal;
mod lock;
mod member_reads;
mod opened;
mod outage;
mod queue;
mod records;
mod round;
mod tables;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

pub use self::context::NodeContext;
use self::handover::{Handover, Watchdog};
use self::heads::Heads;
use self::member_reads::MemberReads;
use self::opened::Opened;
use self::queue::{Queue, Write};
use self::tables::Tables;
use self::writer::{Writer, WriterParts};
use super::appends::append_one;
use super::holes::Holes;
use super::{
    Append, AppendOutcomes, Membership, MessageStore, ReadConsistency, Room, RoomHead, RoomStore,
    StoreError, SyncMode, TopicAppend,
};
use crate::log::{Entry, Topic};

/// Reads at a time. They are short; more of them would only make threads, each up to 512 entries.
const READS_MAX: usize = 16;

/// Time-out of a read, its wait in the pool included. It takes under a millisecond; the longest
/// wait is for a disk that is busy with compaction.
const READ_WAIT: Duration = Duration::from_secs(3);

/// How long closing waits for the writer: 10 s, enough to write a full queue and sync it. A disk
/// that hangs must not hold up the end of the process for ever.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Logs and rooms in a folder of this computer.
pub struct EmbeddedStore {
    folder: PathBuf,
    /// `None` once the store is closing.
    queue: Option<Queue>,
    handover: Arc<Handover>,
    _watchdog: Watchdog,
    /// Only `stop` takes it, alone; the lock is there because a receiver cannot be shared.
    ended: Mutex<mpsc::Receiver<Result<(), StoreError>>>,
    reads: Arc<Semaphore>,
    heads: Arc<Heads>,
    holes: Arc<Holes>,
    opened: Arc<Opened>,
    member_reads: MemberReads,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, or creates it there. Blocks for as long as reading the journal
    /// takes, up to seconds after a crash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another process has it open or the disk fails,
    /// [`StoreError::Corrupt`] if what is there cannot be read.
    pub fn open(folder: impl AsRef<Path>, sync: SyncMode) -> Result<Self, StoreError> {
        Self::open_in(folder, sync, NodeContext::default())
    }

    /// The same, with a node to which the store reports its state.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_in(
        folder: impl AsRef<Path>,
        sync: SyncMode,
        context: NodeContext,
    ) -> Result<Self, StoreError> {
        let folder = folder.as_ref().to_owned();
        let opened = Arc::new(Opened::new(folder::open(&folder)?));
        let heads = Arc::new(heads::empty());
        let holes = Arc::new(Holes::new(Arc::clone(&context.metrics)));
        let (queue, requests) = Queue::new(context.clone());
        let handover = Arc::<Handover>::default();
        let (end, ended) = mpsc::sync_channel(1);
        let parts = WriterParts {
            folder: folder.clone(),
            opened: Arc::clone(&opened),
            heads: Arc::clone(&heads),
            handover: Arc::clone(&handover),
            pulse: queue.pulse(),
            context: context.clone(),
        };
        let writer = Writer::new(parts, sync)?;
        let no_thread = |error| StoreError::Unavailable(format!("no thread to write: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(no_thread)?;
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&runtime, requests, &end))
            .map_err(no_thread)?;
        let watchdog = Watchdog::start(Arc::clone(&handover), queue.pulse(), context);
        let reads = Arc::new(Semaphore::new(READS_MAX));
        Ok(Self {
            folder,
            queue: Some(queue),
            handover,
            _watchdog: watchdog.map_err(no_thread)?,
            ended: Mutex::new(ended),
            reads,
            heads,
            holes,
            opened,
            member_reads: MemberReads::new(),
        })
    }

    /// Begins a new epoch in the store of a folder that no process has open: it was put back from a
    /// backup in a way that does not show. Returns the epoch.
    ///
    /// # Errors
    /// As for [`open`](Self::open); a folder without a store is refused and stays as it is.
    pub fn begin_epoch(folder: impl AsRef<Path>) -> Result<u64, StoreError> {
        files::require_store(folder.as_ref())?;
        let mut tables = folder::open(folder.as_ref())?;
        tables.begin_epoch()?;
        Ok(tables.epoch)
    }

    /// Writes what is queued, syncs and closes. Blocks; dropping the store does the same.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it takes no writes, or the disk did not take the rest in
    /// time.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), StoreError> {
        if self.queue.take().is_none() {
            return Ok(());
        }
        self.handover.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(CLOSE_WAIT) {
            Ok(outcome) => {
                // Without tables there is no lock, and the folder may be another process's by now.
                if self.opened.get().is_ok() {
                    epochs::seal(&self.folder);
                }
                outcome
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Err(StoreError::Unavailable(format!(
                "the writer did not end within {CLOSE_WAIT:?}"
            ))),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(StoreError::Unavailable(
                "the writer has panicked".to_owned(),
            )),
        }
    }

    async fn write(&self, write: Write, bytes: usize) -> Result<Append, StoreError> {
        let queue = self
            .queue
            .as_ref()
            .expect("a store that is closing is borrowed by nobody else");
        queue.write(write, bytes).await
    }

    async fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reading = async {
            let permit = Arc::clone(&self.reads).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            let opened = Arc::clone(&self.opened);
            let task = spawn_blocking(move || {
                // Held to the end of the read, also after its caller has given up.
                let _permit = permit;
                read(&*opened.get()?)
            });
            task.await.unwrap_or_else(|lost| Err(lost_read(&lost)))
        };
        timeout(READ_WAIT, reading)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(StoreError::Unavailable(format!(
                    "no answer from the disk within {READ_WAIT:?}"
                )))
            })
    }
}

/// A panic is fjall's way of finding a block that cannot be; the other way is the end of the
/// process.
fn lost_read(lost: &tokio::task::JoinError) -> StoreError {
    if lost.is_panic() {
        StoreError::Corrupt("the read panicked".to_owned())
    } else {
        StoreError::Unavailable("the process is stopping".to_owned())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        if let Err(cause) = self.stop() {
            error!("closing the message store failed: {cause}");
        }
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl MessageStore for EmbeddedStore {
    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError> {
        let append = TopicAppend {
            topic,
            head,
            entries,
        };
        append_one(append, |appends, outcomes| {
            self.handover.put(appends, outcomes);
        })
        .await
    }

    fn append_many(self: Arc<Self>, appends: Vec<TopicAppend>, outcomes: Arc<dyn AppendOutcomes>) {
        self.handover.put(appends, &outcomes);
    }

    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError> {
        if view == ReadConsistency::Serial {
            // Behind the writes that wait or are being written; it adds nothing to them.
            return match self.write(Write::Head(topic), 0).await? {
                Append::Applied => Ok(Seq::ZERO),
                Append::Conflict(head) => Ok(head),
            };
        }
        match self.heads.get(&topic) {
            Some(head) => Ok(head),
            None => self.read_blocking(move |tables| tables.head(topic)).await,
        }
    }

    async fn enter(&self, topic: Topic) -> Result<Seq, StoreError> {
        let entered = move |tables: &Tables| tables.is_entered(topic);
        let epoch = self.opened.get()?.epoch;
        if epoch == 0 || self.read_blocking(entered).await? {
            return self.head(topic, ReadConsistency::Quorum).await;
        }
        match self.write(Write::Enter(topic), 0).await? {
            Append::Applied => self.head(topic, ReadConsistency::Quorum).await,
            Append::Conflict(head) => Ok(head),
        }
    }

    async fn jumps(&self, topic: Topic) -> Result<Vec<Seq>, StoreError> {
        if self.opened.get()?.epoch == 0 {
            return Ok(Vec::new());
        }
        let jumps = self
            .read_blocking(move |tables| tables.jumps(topic))
            .await?;
        Ok(jumps.iter().map(|jump| jump.to).collect())
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        _view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let holes = Arc::clone(&self.holes);
        self.read_blocking(move |tables| tables.read(topic, first..=last, &holes))
            .await
    }

    async fn nearest(&self, topic: Topic, from: Seq, to: Seq) -> Result<Option<Seq>, StoreError> {
        self.read_blocking(move |tables| tables.nearest(topic, from, to))
            .await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        self.write(Write::Delete { topic, seq }, 0).await.map(drop)
    }
}

#[async_trait]
impl RoomStore for EmbeddedStore {
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        self.read_blocking(move |tables| tables.room(room)).await
    }

    async fn put_room(&self, room: &Room) -> Result<(), StoreError> {
        // A member is two ids, a role, a name and the address of a picture.
        let bytes = room.members.len() * 256;
        self.write(Write::PutRoom(Box::new(room.clone())), bytes)
            .await
            .map(drop)
    }

    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        self.read_blocking(move |tables| tables.memberships(member))
            .await
    }

    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        self.read_blocking(move |tables| tables.last_read(member, room))
            .await
    }

    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError> {
        self.write(Write::MarkRead { member, room, seq }, 0)
            .await
            .map(drop)
    }

    fn heads_follow_logs(&self) -> bool {
        true
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        let rooms = rooms.to_vec();
        let holes = Arc::clone(&self.holes);
        self.read_blocking(move |tables| tables.room_heads(&rooms, &holes))
            .await
    }

    async fn note_head(&self, _head: RoomHead) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_that_lost_its_tables_leaves_the_seal_of_its_folder_alone() {
        let folder = tempfile::tempdir().unwrap();
        let seal = || std::fs::read(folder.path().join("copy-seal")).unwrap();
        let open = || EmbeddedStore::open(folder.path(), SyncMode::Always).unwrap();
        let store = open();
        let before = seal();
        store.opened.take_away("it could not be opened again");
        store.close().unwrap();
        assert_eq!(seal(), before);
        let store = open();
        let before = seal();
        store.close().unwrap();
        assert_ne!(seal(), before, "with tables it is sealed anew");
    }
}
