//! Distributed store: logs, rooms, read marks and members in ScyllaDB, for any number of nodes.
//!
//! ```text
//! append ─► one conditional batch on one partition ─► Paxos ─► applied, or the head that is there
//! head   ─► the newest bucket, by a hint and a search ─┐
//! read   ─► one or two buckets, by arithmetic ─────────┴─► quorum, or after what is under way
//! ```
//!
//! A log is cut into buckets of 4,096 positions, one partition each. A bucket's `head` is a static
//! column; the log's head is that of its newest bucket. A bucket is begun only when the one before
//! is full, which it then stays: so two conditions on two partitions are as good as one.
//!
//! The servers may be Apache Cassandra as well: only CQL that both know is used (`cql`).
//!
//! Concurrent reads are not shared: a read that began before an entry was stored need not show it,
//! and a caller that misses an entry must see it.
//!
//! It does not keep the order of two members' conditional writes in two data centres unless
//! configured to ([`settings::DataCenters`]), and does not clean up memberships that a crash left
//! half written, which the next change of their room does.

mod buckets;
mod client;
mod cql;
mod epochs;
mod fault;
mod gaps;
mod logs;
mod members;
mod rooms;
mod route;
mod rows;
mod schema;
mod search;
mod session;
pub mod settings;
mod stamps;
mod statements;
mod window;
mod workers;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use shared::clock::{Clock, UnixMillis};
use shared::ids::{MemberId, RoomId, Seq};

use self::buckets::Buckets;
use self::client::Client;
use self::epochs::Epochs;
use self::gaps::Gaps;
use self::logs::Logs;
use self::members::MemberTable;
use self::rooms::RoomTables;
use self::schema::Missing;
use self::settings::ScyllaSettings;
use self::workers::{WorkerParts, Workers};
use super::appends::append_one;
use super::{
    AccountStatus, Append, AppendOutcomes, MemberStore, Membership, MessageStore, NewRecord,
    ReadConsistency, Record, RecordStore, Room, RoomHead, RoomStore, StoreError, TopicAppend,
};
use crate::log::{Entry, Topic};
use crate::metrics::{Metrics, StoreOp};

/// Logs, rooms and members in ScyllaDB.
///
/// Each group of tables is a part of its own; the traits' methods here measure and delegate.
pub struct ScyllaStore {
    client: Arc<Client>,
    buckets: Arc<Buckets>,
    epochs: Arc<Epochs>,
    gaps: Arc<Gaps>,
    logs: Arc<Logs>,
    workers: Workers,
    rooms: Arc<RoomTables>,
    members: MemberTable,
    keyspace: String,
}

impl ScyllaStore {
    /// Connects, creates what is missing and prepares the statements. Retries for a minute, as the
    /// servers may be starting, too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if that does not succeed, with the reason of the last attempt.
    pub async fn connect(
        settings: &ScyllaSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        Self::open(settings, Missing::Create, clock, metrics).await
    }

    /// Connects to a store that is there, without creating one.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect); [`StoreError::Corrupt`] if the keyspace holds no store.
    pub async fn connect_existing(
        settings: &ScyllaSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        Self::open(settings, Missing::Refuse, clock, metrics).await
    }

    async fn open(
        settings: &ScyllaSettings,
        missing: Missing,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let opened = session::open(settings, missing, clock.as_ref()).await?;
        let client = Client::new(opened, settings, clock, Arc::clone(&metrics));
        let client = Arc::new(client);
        let rooms = Arc::new(RoomTables::new(Arc::clone(&client)));
        let buckets = Buckets::new(Arc::clone(&client), Arc::clone(&rooms));
        let buckets = Arc::new(buckets);
        let epochs = Epochs::new(Arc::clone(&client), Arc::clone(&buckets));
        let epochs = Arc::new(epochs);
        let gaps = Arc::new(Gaps::new(
            Arc::clone(&client),
            Arc::clone(&epochs),
            Arc::clone(&metrics),
        ));
        let logs = Logs::new(Arc::clone(&client), Arc::clone(&buckets), Arc::clone(&gaps));
        let logs = Arc::new(logs);
        let workers = Workers::start(&WorkerParts {
            client: Arc::clone(&client),
            logs: Arc::clone(&logs),
            metrics,
        });
        Ok(Self {
            logs,
            workers,
            members: MemberTable::new(Arc::clone(&client)),
            client,
            buckets,
            epochs,
            gaps,
            rooms,
            keyspace: settings.address.keyspace.clone(),
        })
    }

    /// Begins a new epoch: the servers' data were put back from a backup, and no node is running.
    /// Returns the epoch.
    ///
    /// # Errors
    /// See [`StoreError`]; again is harmless.
    pub async fn begin_epoch(&self) -> Result<u64, StoreError> {
        self.epochs.begin().await
    }
}

#[async_trait]
impl MessageStore for ScyllaStore {
    fn append_end(&self, head: Seq) -> Seq {
        logs::append_end(head)
    }

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
            self.workers.hand_over(appends, outcomes);
        })
        .await
    }

    fn append_many(self: Arc<Self>, appends: Vec<TopicAppend>, outcomes: Arc<dyn AppendOutcomes>) {
        self.workers.hand_over(appends, &outcomes);
    }

    async fn enter(&self, topic: Topic) -> Result<Seq, StoreError> {
        let enter = self.epochs.enter(topic);
        self.client.timed(StoreOp::Head, enter).await
    }

    async fn jumps(&self, topic: Topic) -> Result<Vec<Seq>, StoreError> {
        let jumps = self.epochs.jump_targets(topic);
        self.client.timed(StoreOp::Read, jumps).await
    }

    async fn nearest(&self, topic: Topic, from: Seq, to: Seq) -> Result<Option<Seq>, StoreError> {
        let nearest = self.gaps.nearest(topic, from, to);
        self.client.timed(StoreOp::Read, nearest).await
    }

    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError> {
        let head = self.buckets.find_head(topic, view);
        self.client.timed(StoreOp::Head, head).await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let page = self.logs.read(topic, first..=last, view);
        self.client.timed(StoreOp::Read, page).await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        let delete = self.logs.delete(topic, seq);
        self.client.timed(StoreOp::Delete, delete).await
    }
}

#[async_trait]
impl RoomStore for ScyllaStore {
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        self.client
            .timed(StoreOp::Room, self.rooms.room(room))
            .await
    }

    async fn put_room(&self, room: &Room) -> Result<(), StoreError> {
        self.client
            .timed(StoreOp::PutRoom, self.rooms.put(room))
            .await
    }

    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        let memberships = self.rooms.memberships(member);
        self.client.timed(StoreOp::Memberships, memberships).await
    }

    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        let mark = self.rooms.last_read(member, room);
        self.client.timed(StoreOp::LastRead, mark).await
    }

    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError> {
        let mark = self.rooms.mark_read(member, room, seq);
        self.client.timed(StoreOp::MarkRead, mark).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        let heads = self.rooms.heads(rooms);
        self.client.timed(StoreOp::Heads, heads).await
    }

    async fn note_head(&self, head: RoomHead) -> Result<(), StoreError> {
        let note = self.rooms.note_head(&head);
        self.client.timed(StoreOp::NoteHead, note).await
    }
}

#[async_trait]
impl MemberStore for ScyllaStore {
    async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        let status = self.members.status(member);
        self.client.timed(StoreOp::AccountStatus, status).await
    }

    async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let set = self.members.set_status(member, status, at);
        self.client.timed(StoreOp::SetAccountStatus, set).await
    }
}

#[async_trait]
impl RecordStore for ScyllaStore {
    async fn record(&self, member: MemberId, key: &str) -> Result<Option<Bytes>, StoreError> {
        let record = self.members.record(member, key);
        self.client.timed(StoreOp::Record, record).await
    }

    async fn records(&self, member: MemberId, prefix: &str) -> Result<Vec<Record>, StoreError> {
        let records = self.members.records(member, prefix);
        self.client.timed(StoreOp::Record, records).await
    }

    async fn put_record(&self, member: MemberId, record: NewRecord) -> Result<(), StoreError> {
        let put = self.members.put_record(member, record);
        self.client.timed(StoreOp::PutRecord, put).await
    }
}

impl fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaStore")
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}
