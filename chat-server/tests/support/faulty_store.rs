//! Embedded store behind a script of faults for each operation: requests fail, hang, wait, or are
//! carried out and then fail.
//!
//! Tests of what uses a store need its failures at exact moments. Unit tests (as
//! `crate::store::faulty`) and the programs in `tests` share this file, so production builds have
//! nothing of it; the library calls itself `chat_server` in its unit tests for that.
//!
//! It imitates no answer of a store but errors, the head of a replica that lags, and the records of room
//! lists, which the embedded store has no use for. `enter`, `jumps` and
//! `nearest` are the traits' own, made of the requests below: its log never changed its epoch.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "each program of tests uses its own part of this"
)]

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_server::log::{Entry, Topic};
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{
    AccountStatus, Append, AppendOutcomes, CompletedAppend, MemberStore, Membership, MessageStore,
    NewRecord, ReadConsistency, Record, RecordStore, Room, RoomHead, RoomStore, StoreError,
    TopicAppend,
};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time-out of an append, as stores have one.
const APPEND_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Requests of the three traits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Append,
    Head,
    Read,
    Delete,
    Room,
    PutRoom,
    Memberships,
    LastRead,
    MarkRead,
    Heads,
    NoteHead,
    Status,
    SetAccountStatus,
    Record,
    PutRecord,
}

/// All of them.
pub const EVERY: [Operation; 15] = [
    Operation::Append,
    Operation::Head,
    Operation::Read,
    Operation::Delete,
    Operation::Room,
    Operation::PutRoom,
    Operation::Memberships,
    Operation::LastRead,
    Operation::MarkRead,
    Operation::Heads,
    Operation::NoteHead,
    Operation::Status,
    Operation::SetAccountStatus,
    Operation::Record,
    Operation::PutRecord,
];

/// Fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None: for the requests of a script before the one that fails.
    Pass,
    /// It is not carried out: [`StoreError::Unavailable`].
    Fail,
    /// It is not carried out: [`StoreError::Unknown`].
    FailUnknown,
    /// It is not carried out, and never answered.
    Hang,
    /// It waits while this fault is set. Not for scripts.
    Freeze,
    /// It waits for [`FaultyStore::release`], and is carried out then.
    Hold,
    /// It is carried out, and the answer is lost: [`StoreError::Unknown`].
    ApplyThenFail,
    /// It is carried out, and never answered.
    ApplyThenHang,
    /// It is carried out and waits for [`FaultyStore::release`]; then the answer is lost.
    ApplyThenHold,
    /// A read of the head at a quorum finds an empty log.
    Lag,
}

/// The real store, with faults.
#[derive(Debug)]
pub struct FaultyStore {
    store: Mutex<Arc<EmbeddedStore>>,
    state: watch::Sender<State>,
    /// One permit for each held request that may go on.
    gate: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    operations: HashMap<Operation, OperationState>,
    append_sizes: Vec<usize>,
    noted: HashMap<RoomId, RoomHead>,
    /// Positions of each part of a log; 0: a log is one part.
    part_len: u32,
}

#[derive(Debug, Default)]
struct OperationState {
    /// Of the next requests, in order.
    script: VecDeque<Fault>,
    /// Of each request beyond the script.
    standing: Option<Fault>,
    delay: Duration,
    calls: usize,
    carried_out: usize,
}

impl State {
    fn of(&mut self, operation: Operation) -> &mut OperationState {
        self.operations.entry(operation).or_default()
    }

    fn is_frozen(&self, operation: Operation) -> bool {
        let operation = self.operations.get(&operation);
        operation.is_some_and(|operation| operation.standing == Some(Fault::Freeze))
    }
}

impl FaultyStore {
    /// Without faults at first.
    pub fn new(store: Arc<EmbeddedStore>) -> Self {
        Self {
            store: Mutex::new(store),
            state: watch::Sender::default(),
            gate: Semaphore::new(0),
        }
    }

    /// The store behind the faults.
    pub fn store(&self) -> Arc<EmbeddedStore> {
        Arc::clone(&self.store.lock().unwrap())
    }

    /// Puts another store in its place, as restoring a backup does.
    pub fn replace(&self, store: Arc<EmbeddedStore>) {
        *self.store.lock().unwrap() = store;
    }

    /// The next requests meet these faults, instead of those scripted before.
    pub fn script(&self, operation: Operation, faults: impl IntoIterator<Item = Fault>) {
        let script = faults.into_iter().collect();
        self.state
            .send_modify(|state| state.of(operation).script = script);
    }

    /// All requests beyond the script meet this fault, until [`heal`](Self::heal).
    pub fn set(&self, operations: &[Operation], fault: Fault) {
        self.state.send_modify(|state| {
            for operation in operations {
                state.of(*operation).standing = Some(fault);
            }
        });
    }

    /// Each request waits so long before it meets its fault.
    pub fn delay(&self, operation: Operation, delay: Duration) {
        self.state
            .send_modify(|state| state.of(operation).delay = delay);
    }

    /// Ends all faults and delays. Frozen requests are carried out; held ones go on waiting.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            for operation in state.operations.values_mut() {
                operation.script.clear();
                operation.standing = None;
                operation.delay = Duration::ZERO;
            }
        });
    }

    /// One held request goes on.
    pub fn release(&self) {
        self.gate.add_permits(1);
    }

    /// An append reaches no further than the end of its part of so many positions.
    pub fn divide_logs(&self, part_len: u32) {
        self.state.send_modify(|state| state.part_len = part_len);
    }

    /// Number of requests, failed ones included.
    pub fn calls(&self, operation: Operation) -> usize {
        self.of(operation, |operation| operation.calls)
    }

    /// Number of requests that were passed on to the real store.
    pub fn carried_out(&self, operation: Operation) -> usize {
        self.of(operation, |operation| operation.carried_out)
    }

    /// Number of scripted faults that no request has met yet.
    pub fn remaining(&self, operation: Operation) -> usize {
        self.of(operation, |operation| operation.script.len())
    }

    /// Number of entries of each requested append.
    pub fn append_sizes(&self) -> Vec<usize> {
        self.state.borrow().append_sizes.clone()
    }

    /// Waits until so many requests have come.
    pub async fn wait_for_calls(&self, operation: Operation, count: usize) {
        let mut state = self.state.subscribe();
        let has_come = |state: &State| {
            let operation = state.operations.get(&operation);
            operation.is_some_and(|operation| operation.calls >= count)
        };
        let waited = timeout(PATIENCE, state.wait_for(has_come)).await;
        drop(waited.unwrap().unwrap());
    }

    /// Waits until the record for lists has this message: it follows the receipt, as a hint.
    pub async fn wait_for_note(&self, room: RoomId, seq: Seq) {
        let mut state = self.state.subscribe();
        let noted = async {
            loop {
                if self.noted(room).is_some_and(|head| head.seq >= seq) {
                    return;
                }
                state.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, noted).await.unwrap();
    }

    /// The record for lists.
    pub fn noted(&self, room: RoomId) -> Option<RoomHead> {
        self.state.borrow().noted.get(&room).cloned()
    }

    fn note(&self, head: RoomHead) {
        self.state.send_modify(|state| {
            let noted = state.noted.entry(head.room);
            let noted = noted.or_insert_with(|| head.clone());
            if head.seq > noted.seq {
                *noted = head;
            }
        });
    }

    fn of(&self, operation: Operation, count: impl FnOnce(&OperationState) -> usize) -> usize {
        let state = self.state.borrow();
        state.operations.get(&operation).map_or(0, count)
    }

    /// Counts the request, and waits for what comes before its fault.
    async fn arrive(&self, operation: Operation) -> Fault {
        let mut delay = Duration::ZERO;
        self.state.send_modify(|state| {
            let operation = state.of(operation);
            operation.calls += 1;
            delay = operation.delay;
        });
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let mut state = self.state.subscribe();
        loop {
            let mut fault = Fault::Pass;
            self.state.send_modify(|state| {
                let operation = state.of(operation);
                let next = operation.script.pop_front().or(operation.standing);
                fault = next.unwrap_or(Fault::Pass);
            });
            if fault != Fault::Freeze {
                return fault;
            }
            let thawed = state.wait_for(|state| !state.is_frozen(operation)).await;
            drop(thawed.unwrap());
        }
    }

    /// A request to the real store, whose answer is this, meets its fault.
    async fn request<T>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fault = self.arrive(operation).await;
        self.meet(fault, operation, answer).await
    }

    async fn meet<T>(
        &self,
        fault: Fault,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match fault {
            Fault::Pass => self.carry_out(operation, answer).await,
            Fault::Fail => Err(StoreError::Unavailable("as scripted".to_owned())),
            Fault::FailUnknown => Err(StoreError::Unknown("as scripted".to_owned())),
            Fault::Hang => pending().await,
            Fault::Hold => {
                self.wait_for_release().await;
                self.carry_out(operation, answer).await
            }
            Fault::ApplyThenFail => {
                self.carry_out(operation, answer).await?;
                Err(lost_answer())
            }
            Fault::ApplyThenHang => {
                drop(self.carry_out(operation, answer).await);
                pending().await
            }
            Fault::ApplyThenHold => {
                self.carry_out(operation, answer).await?;
                self.wait_for_release().await;
                Err(lost_answer())
            }
            Fault::Freeze | Fault::Lag => panic!("{fault:?} does not fit {operation:?}"),
        }
    }

    async fn wait_for_release(&self) {
        self.gate.acquire().await.unwrap().forget();
    }

    async fn carry_out<T>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.state
            .send_modify(|state| state.of(operation).carried_out += 1);
        let standstill = Standstill::begin();
        let answer = answer.await;
        drop(standstill);
        // Wakes those that wait for what the store has now.
        self.state.send_modify(|_| {});
        answer
    }
}

fn lost_answer() -> StoreError {
    StoreError::Unknown("the answer was lost".to_owned())
}

/// While this lives, virtual time stands still, so only the script decides how long an answer takes:
/// a paused clock does not advance while a blocking task runs.
struct Standstill {
    _end: mpsc::Sender<()>,
}

impl Standstill {
    fn begin() -> Self {
        let (end, ended) = mpsc::channel();
        // It ends with an error when the sender is dropped.
        drop(spawn_blocking(move || ended.recv().ok()));
        Self { _end: end }
    }
}

#[async_trait]
impl MessageStore for FaultyStore {
    fn append_end(&self, head: Seq) -> Seq {
        match self.state.borrow().part_len {
            0 => self.store().append_end(head),
            len => {
                let end = (head.get() + 1) / len * len + len - 1;
                Seq::try_from(u64::from(end)).unwrap()
            }
        }
    }

    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError> {
        let newest = entries.last().map_or(head, |entry| entry.seq);
        assert!(newest <= self.append_end(head), "{newest} after {head}");
        self.state
            .send_modify(|state| state.append_sizes.push(entries.len()));
        let store = self.store();
        self.request(Operation::Append, store.append(topic, head, entries))
            .await
    }

    fn append_many(self: Arc<Self>, appends: Vec<TopicAppend>, outcomes: Arc<dyn AppendOutcomes>) {
        for append in appends {
            let (store, outcomes) = (Arc::clone(&self), Arc::clone(&outcomes));
            tokio::spawn(async move {
                let TopicAppend {
                    topic,
                    head,
                    ref entries,
                } = append;
                let request = store.append(topic, head, entries.clone());
                let outcome = timeout(APPEND_TIMEOUT, request).await;
                let outcome = outcome.unwrap_or_else(|_elapsed| Err(lost_answer()));
                outcomes.on_completed(vec![CompletedAppend { append, outcome }]);
            });
        }
    }

    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError> {
        let fault = self.arrive(Operation::Head).await;
        if fault == Fault::Lag {
            assert_eq!(view, ReadConsistency::Quorum, "other reads never lag");
            return Ok(Seq::ZERO);
        }
        let store = self.store();
        self.meet(fault, Operation::Head, store.head(topic, view))
            .await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let store = self.store();
        self.request(Operation::Read, store.read(topic, first, last, view))
            .await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        let store = self.store();
        self.request(Operation::Delete, store.delete(topic, seq))
            .await
    }
}

#[async_trait]
impl RoomStore for FaultyStore {
    async fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        let store = self.store();
        self.request(Operation::Room, store.room(room)).await
    }

    async fn put_room(&self, room: &Room) -> Result<(), StoreError> {
        let store = self.store();
        self.request(Operation::PutRoom, store.put_room(room)).await
    }

    async fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        let store = self.store();
        self.request(Operation::Memberships, store.memberships(member))
            .await
    }

    async fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        let store = self.store();
        self.request(Operation::LastRead, store.last_read(member, room))
            .await
    }

    async fn mark_read(&self, member: MemberId, room: RoomId, seq: Seq) -> Result<(), StoreError> {
        let store = self.store();
        self.request(Operation::MarkRead, store.mark_read(member, room, seq))
            .await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<RoomHead>, StoreError> {
        let noted = async { Ok(rooms.iter().filter_map(|room| self.noted(*room)).collect()) };
        self.request(Operation::Heads, noted).await
    }

    async fn note_head(&self, head: RoomHead) -> Result<(), StoreError> {
        let note = async {
            self.note(head);
            Ok(())
        };
        self.request(Operation::NoteHead, note).await
    }
}

#[async_trait]
impl MemberStore for FaultyStore {
    async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        let store = self.store();
        self.request(Operation::Status, store.status(member)).await
    }

    async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let store = self.store();
        let set = store.set_account_status(member, status, at);
        self.request(Operation::SetAccountStatus, set).await
    }
}

#[async_trait]
impl RecordStore for FaultyStore {
    async fn record(&self, member: MemberId, key: &str) -> Result<Option<Bytes>, StoreError> {
        let store = self.store();
        self.request(Operation::Record, store.record(member, key))
            .await
    }

    async fn records(&self, member: MemberId, prefix: &str) -> Result<Vec<Record>, StoreError> {
        let store = self.store();
        self.request(Operation::Record, store.records(member, prefix))
            .await
    }

    async fn put_record(&self, member: MemberId, record: NewRecord) -> Result<(), StoreError> {
        let store = self.store();
        self.request(Operation::PutRecord, store.put_record(member, record))
            .await
    }
}
