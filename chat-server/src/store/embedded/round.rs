//! One round of the writer: the writes that are committed as one batch.
//!
//! A round is planned write by write, each seeing what the ones before it will have done, then
//! committed as one batch. Nothing is answered before: even "another head" may report a head whose
//! write is not committed yet.

use std::collections::{HashMap, HashSet};

use fjall::{Keyspace, OwnedWriteBatch, Slice};
use shared::clock::{Clock as _, SystemClock, UnixMillis};
use shared::ids::{MemberId, RoomId, Seq};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::error;

use super::epochs::Jump;
use super::handover::EncodedAppend;
use super::heads::Heads;
use super::queue::{Answer, Request, Write};
use super::records::{StoredRecord, record_key};
use super::tables::{Tables, at, log_key, member_key, room_key, store_error};
use crate::log::Topic;
use crate::store::epoch::{before, jump_target};
use crate::store::{AccountStatus, Append, NewRecord, Room, StoreError, record};

/// A planned round.
#[derive(Default)]
pub(super) struct Round {
    log: Vec<([u8; 9], Slice)>,
    heads: HashMap<Topic, Seq>,
    rooms: HashSet<RoomId>,
    room_changes: Vec<Change>,
    marks: HashMap<(MemberId, RoomId), Seq>,
    account_statuses: HashMap<MemberId, (AccountStatus, UnixMillis)>,
    records: HashMap<Slice, StoredRecord>,
    /// Keys of records that expired long ago.
    expired_records: HashSet<Slice>,
    jumps: HashMap<Topic, Jump>,
    answers: Vec<(Reply, Answer)>,
    /// Of the appends that were handed over, in their order.
    append_answers: Vec<Answer>,
    must_last: bool,
}

/// A planned round, to be committed.
pub(super) struct PlannedRound {
    pub(super) batch: OwnedWriteBatch,
    /// The heads that it moves.
    pub(super) heads: HashMap<Topic, Seq>,
    pub(super) answers: Answers,
}

/// What to answer when a round is committed.
pub(super) struct Answers {
    pub(super) writes: Vec<(Reply, Answer)>,
    /// See [`Round::plan_append`].
    pub(super) appends: Vec<Answer>,
}

/// A change to the tables of rooms; without a value the row goes.
struct Change {
    table: Keyspace,
    key: Slice,
    value: Option<Slice>,
}

/// A caller that waits for an answer, and its share of the queue until it has it.
pub(super) struct Reply {
    sender: oneshot::Sender<Answer>,
    _share: OwnedSemaphorePermit,
}

impl Reply {
    /// Answers and gives the share back.
    pub(super) fn send(self, answer: Answer) {
        // Fails if the caller is gone, which then needs no answer.
        self.sender.send(answer).ok();
    }
}

impl Round {
    /// Whether `write` would have to read what this round is going to write in a way that
    /// [`Round::plan`] does not follow. That is rare: a room changed twice within a millisecond.
    pub(super) fn must_come_before(&self, write: &Write) -> bool {
        match write {
            Write::PutRoom(room) => self.rooms.contains(&room.room_id),
            // An entry that this round appends is not visible yet: its deletion may as well have
            // come before it was there.
            Write::Delete { .. }
            | Write::Head(_)
            | Write::MarkRead { .. }
            | Write::Enter(_)
            | Write::SetAccountStatus { .. }
            | Write::PutRecord { .. } => false,
        }
    }

    /// Whether the round must be on the disk before it is answered: hints alone need not.
    pub(super) fn must_last(&self) -> bool {
        self.must_last
    }

    /// Adds a write. One that cannot be planned is answered with its error and changes nothing.
    pub(super) fn plan(&mut self, request: Request, tables: &Tables, heads: &Heads) {
        let answer = match request.write {
            Write::Head(topic) => self.head(topic, tables, heads).map(Append::Conflict),
            Write::Delete { topic, seq } => self.delete(topic, seq, tables),
            Write::PutRoom(room) => self.put_room(&room, tables),
            Write::MarkRead { member, room, seq } => self.mark_read(member, room, seq, tables),
            Write::Enter(topic) => self.enter(topic, tables, heads),
            Write::SetAccountStatus { member, status, at } => {
                self.set_account_status(member, status, at, tables)
            }
            Write::PutRecord { member, record } => self.put_record(member, record, tables),
        };
        self.answers.push((
            Reply {
                sender: request.answer,
                _share: request.share,
            },
            answer,
        ));
    }

    /// Takes in a write that is answered so and changes nothing.
    pub(super) fn refuse(&mut self, request: Request, error: StoreError) {
        let reply = Reply {
            sender: request.answer,
            _share: request.share,
        };
        self.answers.push((reply, Err(error)));
    }

    /// Adds an append that was handed over.
    pub(super) fn plan_append(&mut self, append: EncodedAppend, tables: &Tables, heads: &Heads) {
        let answer = self.append(append, tables, heads);
        self.append_answers.push(answer);
    }

    /// Takes in an append that is answered so and changes nothing.
    pub(super) fn refuse_append(&mut self, error: StoreError) {
        self.append_answers.push(Err(error));
    }

    fn append(&mut self, append: EncodedAppend, tables: &Tables, heads: &Heads) -> Answer {
        let EncodedAppend { topic, head, rows } = append;
        let found = self.head(topic, tables, heads)?;
        if found != head {
            return Ok(Append::Conflict(found));
        }
        if let Some((newest, _)) = rows.last() {
            self.heads.insert(topic, *newest);
            self.must_last = true;
        }
        let rows = rows
            .into_iter()
            .map(|(seq, bytes)| (log_key(topic, seq), bytes.into()));
        self.log.extend(rows);
        Ok(Append::Applied)
    }

    /// The head behind what is planned.
    fn head(&self, topic: Topic, tables: &Tables, heads: &Heads) -> Result<Seq, StoreError> {
        match self.heads.get(&topic) {
            Some(planned) => Ok(*planned),
            None => heads.get(&topic).map_or_else(|| tables.head(topic), Ok),
        }
    }

    /// Writes the entry again without its body: what was taken back is gone from the disk, too,
    /// once compaction has been there.
    fn delete(&mut self, topic: Topic, seq: Seq, tables: &Tables) -> Answer {
        let key = log_key(topic, seq);
        let Some(stored) = tables.log.get(key).map_err(store_error)? else {
            return Ok(Append::Applied);
        };
        let decoded = record::decode_entry(seq, &stored);
        let mut entry = decoded.map_err(|error| at(topic, seq, error))?;
        if !entry.deleted {
            entry.deleted = true;
            entry.draft.body.clear();
            self.log.push((key, record::encode_entry(&entry).into()));
            self.must_last = true;
        }
        Ok(Append::Applied)
    }

    /// A membership that ended is a row that is gone: the mark has a table of its own and stays.
    fn put_room(&mut self, room: &Room, tables: &Tables) -> Answer {
        let before = tables.room(room.room_id)?;
        let left = before.iter().flat_map(|before| &before.members);
        for gone in left.filter(|was| room.member(was.member_id).is_none()) {
            let key = member_key(gone.member_id, room.room_id);
            self.change(&tables.memberships, &key, None);
        }
        for member in &room.members {
            let key = member_key(member.member_id, room.room_id);
            let value = record::encode_membership(member.role);
            self.change(&tables.memberships, &key, Some(&value));
        }
        let value = record::encode_room(room);
        self.change(&tables.rooms, &room_key(room.room_id), Some(&value));
        self.rooms.insert(room.room_id);
        self.must_last = true;
        Ok(Append::Applied)
    }

    fn change(&mut self, table: &Keyspace, key: &[u8], value: Option<&[u8]>) {
        let change = Change {
            table: table.clone(),
            key: key.into(),
            value: value.map(Slice::from),
        };
        self.room_changes.push(change);
    }

    fn mark_read(&mut self, member: MemberId, room: RoomId, seq: Seq, tables: &Tables) -> Answer {
        let before = match self.marks.get(&(member, room)) {
            Some(planned) => *planned,
            None => tables.last_read(member, room)?,
        };
        if seq > before {
            self.marks.insert((member, room), seq);
            self.must_last = true;
        }
        Ok(Append::Applied)
    }

    fn set_account_status(
        &mut self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
        tables: &Tables,
    ) -> Answer {
        let before = match self.account_statuses.get(&member) {
            Some(planned) => Some(*planned),
            None => tables.status(member)?,
        };
        if before.is_none_or(|(_, since)| at > since) {
            self.account_statuses.insert(member, (status, at));
            self.must_last = true;
        }
        Ok(Append::Applied)
    }

    fn put_record(&mut self, member: MemberId, record: NewRecord, tables: &Tables) -> Answer {
        let now = SystemClock.unix_millis();
        if record.time_to_live.is_some() || record.value.is_empty() {
            self.expired_records
                .extend(tables.expired_records(member, now)?);
        }
        let key = Slice::from(record_key(member, &record.key));
        let before = match self.records.get(&key) {
            Some(planned) => Some(planned.order),
            None => tables.stored_record(&key)?.map(|stored| stored.order),
        };
        if before.is_none_or(|before| (record.stamp, record.rank) >= before) {
            self.expired_records.remove(&key);
            self.records.insert(key, StoredRecord::new(record, now));
            self.must_last = true;
        }
        Ok(Append::Applied)
    }

    /// Moves a log into the store's epoch, if it is not there yet. Answers with its head.
    fn enter(&mut self, topic: Topic, tables: &Tables, heads: &Heads) -> Answer {
        let from = self.head(topic, tables, heads)?;
        if self.jumps.contains_key(&topic) || tables.is_entered(topic)? {
            return Ok(Append::Conflict(from));
        }
        let Some(to) = jump_target(from, tables.epoch) else {
            error!(%topic, "{topic} has no room for a jump: positions may be given twice");
            return Ok(Append::Conflict(from));
        };
        let epoch = tables.epoch;
        self.jumps.insert(topic, Jump { to, from, epoch });
        self.heads.insert(topic, before(to));
        self.must_last = true;
        Ok(Append::Conflict(before(to)))
    }

    /// Whether it has nothing to write and nobody to answer.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.append_answers.is_empty()
    }

    /// The batch, the heads that it moves, and what to answer when it is committed.
    pub(super) fn into_batch(self, tables: &Tables) -> PlannedRound {
        let heads = self.account_statuses.len() + self.jumps.len();
        let records = self.records.len() + self.expired_records.len();
        let others = self.room_changes.len() + self.marks.len() + heads + records;
        let rows = self.log.len() + others;
        let mut batch = OwnedWriteBatch::with_capacity(tables.db.clone(), rows);
        for (key, value) in self.log {
            batch.insert(&tables.log, key, value);
        }
        for change in self.room_changes {
            match change.value {
                Some(value) => batch.insert(&change.table, change.key, value),
                None => batch.remove(&change.table, change.key),
            }
        }
        for ((member, room), seq) in self.marks {
            batch.insert(
                &tables.marks,
                member_key(member, room),
                record::encode_mark(seq),
            );
        }
        for (member, (status, at)) in self.account_statuses {
            let key = member.get().to_be_bytes();
            batch.insert(
                &tables.members,
                key,
                record::encode_account_status(status, at),
            );
        }
        for key in self.expired_records {
            batch.remove(&tables.records, key);
        }
        for (key, stored) in self.records {
            batch.insert(&tables.records, key, stored.encode());
        }
        for (topic, jump) in self.jumps {
            let (key, value) = jump.row(topic);
            batch.insert(&tables.epochs, key, value);
        }
        let answers = Answers {
            writes: self.answers,
            appends: self.append_answers,
        };
        PlannedRound {
            batch,
            heads: self.heads,
            answers,
        }
    }

    /// Only whom to answer: nothing is written.
    pub(super) fn into_answers(self) -> Answers {
        Answers {
            writes: self.answers,
            appends: self.append_answers,
        }
    }
}
