//! The real store behind a layer that delays and drops answers as a test configures.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::*;
use crate::store::{Append, Membership, Room, RoomHead, StoreError};

/// The layer. Every request runs on a thread of its own: while it runs, virtual time stands still,
/// so only the layer decides how long an answer takes.
#[derive(Debug)]
pub(super) struct Through {
    store: Arc<EmbeddedStore>,
    /// Before each append goes on to the store.
    latency: Mutex<Duration>,
    /// Of so many appends the answer never comes, though they are stored.
    pub(super) lost: AtomicUsize,
    /// Nothing but appends gets an answer.
    pub(super) silent: AtomicBool,
    /// Logs are stored in parts of this many positions; 0: in one part.
    pub(super) part_entries: AtomicU32,
    /// So many notes of newest messages fail.
    pub(super) failing_notes: AtomicUsize,
    /// How many of them were taken.
    pub(super) notes: AtomicUsize,
    /// How many appends came here.
    pub(super) appends: AtomicUsize,
}

impl Through {
    pub(super) fn new(store: &Arc<EmbeddedStore>) -> Self {
        Self {
            store: Arc::clone(store),
            latency: Mutex::default(),
            lost: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            part_entries: AtomicU32::new(0),
            failing_notes: AtomicUsize::new(0),
            notes: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
        }
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    fn latency(&self) -> Duration {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T, F>(&self, ask: impl FnOnce(Arc<EmbeddedStore>) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let store = Arc::clone(&self.store);
        let asked = spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(ask(store))
        });
        asked.await.unwrap()
    }

    async fn heard(&self) {
        if self.silent.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl MessageStore for Through {
    fn append_end(&self, head: Seq) -> Seq {
        match self.part_entries.load(Ordering::Relaxed) {
            0 => self.store.append_end(head),
            part => seq((head.get() + 1) / part * part + part - 1),
        }
    }

    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        let newest = entries.last().map_or(head, |entry| entry.seq);
        assert!(newest <= self.append_end(head), "{newest} after {head}");
        sleep(self.latency()).await;
        let append = move |store: Arc<EmbeddedStore>| async move {
            store.append(topic, head, entries).await
        };
        let answer = self.ask(append).await;
        let (order, fewer) = (Ordering::Relaxed, |left: usize| left.checked_sub(1));
        if self.lost.fetch_update(order, order, fewer).is_ok() {
            pending::<()>().await;
        }
        answer
    }

    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError> {
        self.heard().await;
        self.ask(move |store| async move { store.head(topic, view).await })
            .await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.heard().await;
        self.ask(move |store| async move { store.read(topic, first, last, view).await })
            .await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        self.store.delete(topic, seq).await
    }
}

/// Only what the appender asks for takes its time.
#[async_trait]
impl RoomStore for Through {
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        self.store.room(room).await
    }

    async fn put_room(&self, room: &Room) -> Result<(), StoreError> {
        self.store.put_room(room).await
    }

    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        self.store.memberships(member).await
    }

    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        self.store.last_read(member, room).await
    }

    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError> {
        self.store.mark_read(member, room, seq).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        self.store.heads(rooms).await
    }

    async fn note_head(&self, head: RoomHead) -> Result<(), StoreError> {
        let (order, fewer) = (Ordering::Relaxed, |left: usize| left.checked_sub(1));
        if self.failing_notes.fetch_update(order, order, fewer).is_ok() {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        self.notes.fetch_add(1, order);
        self.ask(move |store| async move { store.note_head(head).await })
            .await
    }
}
