//! The real store with a switch: while it is off, every question gets the answer of a store that
//! is away, or none while it stands still. Nothing is imitated but that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_server::log::{Entry, Topic};
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{
    AccountStatus, Append, MemberStore, Membership, MessageStore, ReadConsistency, Room, RoomHead,
    RoomStore, StoreError,
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
    state: watch::Sender<State>,
    /// The newest message of each room that lists know of.
    noted: watch::Sender<HashMap<RoomId, Seq>>,
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Answered,
    Away,
    /// It waits.
    Frozen,
}

impl Outage {
    pub(crate) fn new(store: EmbeddedStore) -> Self {
        Self {
            store,
            state: watch::Sender::new(State::Answered),
            noted: watch::Sender::default(),
        }
    }

    /// From now on the store is away.
    pub(crate) fn begin(&self) {
        self.state.send_replace(State::Away);
    }

    /// From now on the store stands still.
    pub(crate) fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// The store answers again, the waiting requests first.
    pub(crate) fn thaw(&self) {
        self.state.send_replace(State::Answered);
    }

    /// Waits until lists know of this message. They hear of it after its sender: it is a hint.
    pub(crate) async fn noted(&self, room: RoomId, seq: Seq) {
        let mut noted = self.noted.subscribe();
        let is_noted = |heads: &HashMap<_, _>| heads.get(&room).is_some_and(|head| *head >= seq);
        let waited = timeout(PATIENCE, noted.wait_for(is_noted)).await;
        drop(waited.unwrap().unwrap());
    }

    async fn asked(&self) -> Result<&EmbeddedStore, StoreError> {
        let mut state = self.state.subscribe();
        let moving = state.wait_for(|state| *state != State::Frozen).await;
        match moving.as_deref() {
            Ok(State::Answered) => Ok(&self.store),
            _ => Err(StoreError::Unavailable("switched off".to_owned())),
        }
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
        self.asked().await?.append(topic, head, entries).await
    }

    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError> {
        self.asked().await?.head(topic, view).await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.asked().await?.read(topic, first, last, view).await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        self.asked().await?.delete(topic, seq).await
    }
}

#[async_trait]
impl RoomStore for Outage {
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        self.asked().await?.room(room).await
    }

    async fn put_room(&self, room: &Room) -> Result<(), StoreError> {
        self.asked().await?.put_room(room).await
    }

    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        self.asked().await?.memberships(member).await
    }

    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        self.asked().await?.last_read(member, room).await
    }

    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError> {
        self.asked().await?.mark_read(member, room, seq).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        self.asked().await?.heads(rooms).await
    }

    async fn note_head(&self, head: RoomHead) -> Result<(), StoreError> {
        let (room, seq) = (head.room, head.seq);
        self.asked().await?.note_head(head).await?;
        self.noted.send_modify(|noted| {
            noted.insert(room, seq);
        });
        Ok(())
    }
}

#[async_trait]
impl MemberStore for Outage {
    async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        self.asked().await?.status(member).await
    }

    async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        self.asked()
            .await?
            .set_account_status(member, status, at)
            .await
    }
}
