//! Writer thread: takes all queued writes, commits them as one batch, and only then answers. While
//! the disk syncs, the next round gathers (group commit).
//!
//! As the only writer it needs no locks: the heads that it compares with cannot change meanwhile.
//!
//! It serves no reads, and does not bound the queue.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use fjall::PersistMode;
use shared::clock::{Clock, SystemClock};
use shared::ids::Seq;
use tokio::runtime;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout_at;

use super::NodeContext;
use super::acknowledged::Acknowledged;
use super::handover::Handover;
use super::heads::Heads;
use super::opened::Opened;
use super::outage::{Outage, PanicGuard, Pulse, Tried};
use super::queue::Request;
use super::round::{Answers, PlannedRound, Round};
use super::tables::Tables;
use crate::log::Topic;
use crate::store::{StoreError, SyncMode};

/// Writes of one round at most: as many as the queue can hold of the smallest.
const ROUND_WRITES_MAX: usize = 8_192;

/// How often a store without writes is checked: its threads may have failed in the background.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the writer works with.
pub(super) struct WriterParts {
    pub(super) folder: PathBuf,
    pub(super) opened: Arc<Opened>,
    pub(super) heads: Arc<Heads>,
    pub(super) handover: Arc<Handover>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) context: NodeContext,
}

/// The writing thread's state.
pub(super) struct Writer {
    parts: WriterParts,
    sync: SyncMode,
    /// When the oldest write was committed that may not be on the disk yet.
    unsynced_since: Option<Instant>,
    acknowledged: Acknowledged,
    /// The last append that was answered and may not be on the disk yet.
    answered: Option<(Topic, Seq)>,
    state: State,
    /// When the last outage ended, and what it was.
    last_outage: Option<(Instant, Outage)>,
}

/// Whether writes are taken.
enum State {
    Open(Arc<Tables>),
    /// Nothing is written. The tables stay open for reads, until they are opened again.
    Out(Outage),
}

impl Writer {
    pub(super) fn new(parts: WriterParts, sync: SyncMode) -> Result<Self, StoreError> {
        let tables = parts.opened.get()?;
        Ok(Self {
            sync,
            unsynced_since: None,
            acknowledged: Acknowledged::open(&parts.folder),
            answered: None,
            parts,
            state: State::Open(tables),
            last_outage: None,
        })
    }

    /// Writes until the queue is closed and empty, then sends the result.
    ///
    /// The runtime is for waiting with a deadline; it has no threads of its own.
    pub(super) fn run(
        mut self,
        runtime: &runtime::Runtime,
        mut queue: Receiver<Request>,
        ended: &SyncSender<Result<(), StoreError>>,
    ) {
        let _guard = PanicGuard(self.parts.context.clone());
        runtime.block_on(async {
            let mut requests = Vec::new();
            while self.round(&mut queue, &mut requests).await {}
        });
        let outcome = self.finish();
        // The folder is free before the result is sent.
        drop(self);
        // Fails after the bounded wait in `close`.
        ended.try_send(outcome).ok();
    }

    /// One round: waits, writes what there is, syncs if it is time; false at the end.
    async fn round(&mut self, queue: &mut Receiver<Request>, requests: &mut Vec<Request>) -> bool {
        let goes_on = self.wait(queue, requests).await;
        self.parts.pulse.begin();
        if !self.write(requests) {
            self.look();
        }
        self.sync_if_due();
        if goes_on {
            self.open_again_if_due();
        }
        self.parts.pulse.end(&self.parts.context);
        goes_on
    }

    /// Waits for writes, for the time to sync or for that to check; false at the end.
    async fn wait(&self, queue: &mut Receiver<Request>, requests: &mut Vec<Request>) -> bool {
        let some = async {
            tokio::select! {
                count = queue.recv_many(requests, ROUND_WRITES_MAX) => count > 0,
                () = self.parts.handover.added() => true,
            }
        };
        let look_at = SystemClock.now() + LOOK_EVERY;
        let due = match &self.state {
            State::Open(_) => self.sync_at().map_or(look_at, |at| at.min(look_at)),
            State::Out(outage) => outage.next_try,
        };
        timeout_at(due.into(), some).await.unwrap_or(true)
    }

    /// Finds out whether fjall's own threads have failed.
    fn look(&mut self) {
        if let State::Open(tables) = &self.state
            && let Err(cause) = tables.db.persist(PersistMode::Buffer)
        {
            self.break_off(&cause);
        }
    }

    /// When the disk must have what was written.
    fn sync_at(&self) -> Option<Instant> {
        match self.sync {
            SyncMode::Always => None,
            SyncMode::Every(interval) => self.unsynced_since.map(|since| since + interval),
        }
    }

    /// Writes the requests and all appends that wait; whether there was anything.
    ///
    /// The appends are taken after the requests, and planned before them: a request sees the appends that
    /// were handed over before it.
    fn write(&mut self, requests: &mut Vec<Request>) -> bool {
        let mut round = Round::default();
        for append in self.parts.handover.take() {
            match &self.state {
                State::Open(tables) => round.plan_append(append, tables, &self.parts.heads),
                State::Out(outage) => {
                    round.refuse_append(StoreError::Unavailable(outage.why.clone()));
                }
            }
        }
        let is_any = !round.is_empty() || !requests.is_empty();
        for request in requests.drain(..) {
            // The caller has given up, with an unknown outcome: spare the work.
            if request.answer.is_closed() {
                continue;
            }
            if round.must_come_before(&request.write) {
                self.commit(std::mem::take(&mut round));
            }
            match &self.state {
                State::Open(tables) => round.plan(request, tables, &self.parts.heads),
                State::Out(outage) => {
                    round.refuse(request, StoreError::Unavailable(outage.why.clone()));
                }
            }
        }
        self.commit(round);
        is_any
    }

    fn commit(&mut self, round: Round) {
        if round.is_empty() {
            return;
        }
        let (answers, result) = match &self.state {
            State::Out(outage) => {
                let why = outage.why.clone();
                (round.into_answers(), Err(StoreError::Unavailable(why)))
            }
            State::Open(tables) => {
                let tables = Arc::clone(tables);
                let mode = match self.sync {
                    SyncMode::Always if round.must_last() => PersistMode::SyncData,
                    SyncMode::Always | SyncMode::Every(_) => PersistMode::Buffer,
                };
                let PlannedRound {
                    batch,
                    heads,
                    answers,
                } = round.into_batch(&tables);
                let is_written = !batch.is_empty();
                let result = batch.durability(Some(mode)).commit();
                let result = result.map_err(|error| self.break_off(&error));
                if result.is_ok() {
                    self.publish(heads);
                    self.note_written(is_written, mode);
                }
                (answers, result)
            }
        };
        let Answers { writes, appends } = answers;
        let with_result = |answer| match &result {
            Ok(()) => answer,
            Err(error) => Err(copy_of(error)),
        };
        for (reply, answer) in writes {
            reply.send(with_result(answer));
        }
        if !appends.is_empty() {
            let answers = appends.into_iter().map(with_result);
            self.parts.handover.complete(answers);
        }
    }

    fn note_written(&mut self, is_written: bool, mode: PersistMode) {
        if mode != PersistMode::Buffer {
            self.unsynced_since = None;
            self.note_synced();
        } else if is_written && self.unsynced_since.is_none() {
            self.unsynced_since = Some(SystemClock.now());
        }
    }

    fn publish(&mut self, moved: impl IntoIterator<Item = (Topic, Seq)>) {
        let mut last = None;
        for (topic, head) in moved {
            self.parts.heads.insert(topic, head);
            last = Some((topic, head));
        }
        self.answered = last.or(self.answered);
    }

    /// What was answered is on the disk.
    fn note_synced(&mut self) {
        if let Some((topic, head)) = self.answered.take() {
            self.acknowledged.note(topic, head);
        }
    }

    /// Takes no more writes until the store was opened again; what the commit that failed means.
    fn break_off(&mut self, cause: &fjall::Error) -> StoreError {
        let is_refused = matches!(cause, fjall::Error::Poisoned);
        (self.unsynced_since, self.answered) = (None, None);
        let (why, context) = (cause.to_string(), &self.parts.context);
        self.state = State::Out(match self.last_outage.take() {
            Some((ended, last)) => last.again(ended, why, context),
            None => Outage::begin(why, context),
        });
        if is_refused {
            // It failed earlier, in the background, and did not begin with this round.
            StoreError::Unavailable(cause.to_string())
        } else {
            StoreError::Unknown(cause.to_string())
        }
    }

    fn open_again_if_due(&mut self) {
        let State::Out(outage) = &mut self.state else {
            return;
        };
        if outage.next_try > SystemClock.now() {
            return;
        }
        let parts = &self.parts;
        // A write of unknown outcome may turn out to be stored, or not.
        let forget = || parts.heads.clear();
        let tried = outage.try_to_end(&parts.folder, &parts.opened, &parts.context, forget);
        if let (Tried::Open, Ok(tables)) = (tried, parts.opened.get()) {
            let before = std::mem::replace(&mut self.state, State::Open(tables));
            if let State::Out(outage) = before {
                self.last_outage = Some((SystemClock.now(), outage));
            }
        }
    }

    fn sync_if_due(&mut self) {
        if self.sync_at().is_some_and(|at| at <= SystemClock.now()) {
            self.sync();
        }
    }

    fn sync(&mut self) {
        let State::Open(tables) = &self.state else {
            return;
        };
        if self.unsynced_since.take().is_none() {
            return;
        }
        match tables.db.persist(PersistMode::SyncData) {
            Ok(()) => self.note_synced(),
            Err(cause) => drop(self.break_off(&cause)),
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.sync();
        match &self.state {
            State::Open(_) => Ok(()),
            State::Out(outage) => Err(StoreError::Unavailable(outage.why.clone())),
        }
    }
}

/// Errors of one commit go to all writes in it.
fn copy_of(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) => StoreError::Unavailable(why.clone()),
        StoreError::Unknown(why) => StoreError::Unknown(why.clone()),
        StoreError::Corrupt(why) => StoreError::Corrupt(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;
    use shared::ids::{MemberId, RoomId};
    use tempfile::TempDir;
    use tokio::sync::{Semaphore, mpsc, oneshot};

    use super::super::queue::Write;
    use super::super::{folder, heads};
    use super::*;
    use crate::store::{Role, Room, RoomMember};

    const INTERVAL: Duration = Duration::from_millis(100);

    fn writer(folder: &TempDir, sync: SyncMode) -> Writer {
        let parts = WriterParts {
            folder: folder.path().to_owned(),
            opened: Arc::new(Opened::new(folder::open(folder.path()).unwrap())),
            heads: Arc::new(heads::empty()),
            handover: Arc::default(),
            pulse: Arc::default(),
            context: NodeContext::default(),
        };
        Writer::new(parts, sync).unwrap()
    }

    impl Writer {
        fn tables(&self) -> Arc<Tables> {
            self.parts.opened.get().unwrap()
        }
    }

    fn request(write: Write) -> (Request, oneshot::Receiver<super::super::queue::Answer>) {
        let (answer, answered) = oneshot::channel();
        let share = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (
            Request {
                write,
                answer,
                share,
            },
            answered,
        )
    }

    fn mark(seq: u64) -> Write {
        let (member, room) = (MemberId::try_from(1_u64), RoomId::FIRST_ALLOCATED_BY_CHAT);
        let seq = Seq::try_from(seq).unwrap();
        Write::MarkRead {
            member: member.unwrap(),
            room,
            seq,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn buffered_write_is_synced_within_the_interval_also_when_traffic_stops() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, SyncMode::Every(INTERVAL));
        let (sender, mut queue) = mpsc::channel(4);
        let mut requests = Vec::new();
        let (first, answered) = request(mark(1));
        sender.send(first).await.unwrap();
        let start = SystemClock.now();
        assert!(writer.round(&mut queue, &mut requests).await);
        answered.await.unwrap().unwrap();
        assert_eq!(writer.unsynced_since, Some(start));
        // Nothing comes any more: the round ends by the time alone.
        assert!(writer.round(&mut queue, &mut requests).await);
        assert_eq!(writer.unsynced_since, None);
        assert!(SystemClock.now() - start < INTERVAL + Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn buffered_writes_are_synced_within_the_interval_also_under_traffic() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, SyncMode::Every(INTERVAL));
        let (sender, mut queue) = mpsc::channel(4);
        let mut requests = Vec::new();
        let start = SystemClock.now();
        for nth in 1..=3 {
            let (next, answered) = request(mark(nth));
            sender.send(next).await.unwrap();
            assert!(writer.round(&mut queue, &mut requests).await);
            answered.await.unwrap().unwrap();
            let expected = (nth < 3).then_some(start);
            assert_eq!(writer.unsynced_since, expected, "write {nth}");
            tokio::time::advance(INTERVAL / 2).await;
        }
    }

    #[tokio::test]
    async fn queue_is_emptied_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, SyncMode::Always);
        let (sender, mut queue) = mpsc::channel(4);
        let (left, answered) = request(mark(3));
        sender.send(left).await.unwrap();
        drop(sender);
        let mut requests = Vec::new();
        while writer.round(&mut queue, &mut requests).await {}
        answered.await.unwrap().unwrap();
        writer.finish().unwrap();
    }

    #[tokio::test]
    async fn room_put_twice_in_a_round_is_as_put_the_second_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, SyncMode::Always);
        let members = [1_u64, 2].map(|id| MemberId::try_from(id).unwrap());
        let room = |member_id| Room {
            room_id: RoomId::FIRST_ALLOCATED_BY_CHAT,
            members: vec![RoomMember {
                member_id,
                role: Role::Member,
                name: String::new(),
                image_url: None,
            }],
            product: None,
            opaque: false,
            created_at: UnixMillis::EPOCH,
        };
        let asked = members.map(|member| request(Write::PutRoom(Box::new(room(member)))));
        let (mut requests, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        writer.write(&mut requests);
        for answered in answers {
            answered.await.unwrap().unwrap();
        }
        let rooms_of = |member| writer.tables().memberships(member).unwrap().len();
        assert_eq!(members.map(rooms_of), [0, 1]);
        let stored = writer
            .tables()
            .room(RoomId::FIRST_ALLOCATED_BY_CHAT)
            .unwrap();
        assert_eq!(stored, Some(room(members[1])));
    }

    #[tokio::test]
    async fn write_that_nobody_waits_for_is_spared() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder, SyncMode::Always);
        let (given_up, answered) = request(mark(3));
        drop(answered);
        writer.write(&mut vec![given_up]);
        let member = MemberId::try_from(1_u64).unwrap();
        let found = writer
            .tables()
            .last_read(member, RoomId::FIRST_ALLOCATED_BY_CHAT);
        assert_eq!(found.unwrap(), Seq::ZERO);
    }
}
