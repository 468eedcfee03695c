//! The real store with a switch: while it is off, every question gets the answer of a store that
//! is away. Nothing is imitated but that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chat_server::log::{Entry, Topic};
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{
    Append, MemberStore, Membership, MessageStore, Room, RoomHead, RoomStore, Standing, StoreError,
    View,
};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::sync::watch;
use tokio::time::timeout;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The store behind a switch.
#[derive(Debug)]
pub(crate) struct Outage {
    store: EmbeddedStore,
    away: AtomicBool,
    /// The newest message of each room that lists know of.
    noted: watch::Sender<HashMap<RoomId, Seq>>,
}

impl Outage {
    pub(crate) fn new(store: EmbeddedStore) -> Self {
        Self {
            store,
            away: AtomicBool::new(false),
            noted: watch::Sender::default(),
        }
    }

    /// From now on the store is away.
    pub(crate) fn begin(&self) {
        self.away.store(true, Ordering::Release);
    }

    /// Waits until lists know of this message. They hear of it after its sender: it is a hint.
    pub(crate) async fn noted(&self, room: RoomId, seq: Seq) {
        let mut noted = self.noted.subscribe();
        let is_noted = |heads: &HashMap<_, _>| heads.get(&room).is_some_and(|head| *head >= seq);
        let waited = timeout(PATIENCE, noted.wait_for(is_noted)).await;
        drop(waited.unwrap().unwrap());
    }

    fn asked(&self) -> Result<&EmbeddedStore, StoreError> {
        if self.away.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("switched off".to_owned()));
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl MessageStore for Outage {
    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError> {
        self.asked()?.append(topic, head, entries).await
    }

    async fn head(&self, topic: Topic, view: View) -> Result<Seq, StoreError> {
        self.asked()?.head(topic, view).await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: View,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.asked()?.read(topic, first, last, view).await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        self.asked()?.delete(topic, seq).await
    }
}

#[async_trait]
impl RoomStore for Outage {
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        self.asked()?.room(room).await
    }

    async fn put_room(&self, room: &Room) -> Result<(), StoreError> {
        self.asked()?.put_room(room).await
    }

    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        self.asked()?.memberships(member).await
    }

    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        self.asked()?.last_read(member, room).await
    }

    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError> {
        self.asked()?.mark_read(member, room, seq).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        self.asked()?.heads(rooms).await
    }

    async fn note_head(&self, head: RoomHead) -> Result<(), StoreError> {
        let (room, seq) = (head.room, head.seq);
        self.asked()?.note_head(head).await?;
        self.noted.send_modify(|noted| {
            noted.insert(room, seq);
        });
        Ok(())
    }
}

#[async_trait]
impl MemberStore for Outage {
    async fn standing(&self, member: MemberId) -> Result<Standing, StoreError> {
        self.asked()?.standing(member).await
    }

    async fn set_standing(
        &self,
        member: MemberId,
        standing: Standing,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        self.asked()?.set_standing(member, standing, at).await
    }
}
