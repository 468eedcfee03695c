//! Keyspaces of the embedded store, their keys and their reads.
//!
//! Keys are big-endian, so that their order is the order of positions: `log` is kind, owner,
//! position; `memberships` and `marks` are member, room; `rooms` and `room_heads` the room;
//! `members` the member; `records` the member, then the record's key; `epochs` see there.
//!
//! It does not write; all writes are the writer's.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError, Readable, Snapshot, UserValue};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};
use shared::limits::OpenFiles;

use super::lock::{self, Lock};
use crate::log::{Entry, Topic};
use crate::store::holes::Holes;
use crate::store::{
    AccountStatus, Membership, READ_ENTRIES_MAX, Room, RoomHead, StoreError, record,
};

/// Blocks of the disk kept in memory. The newest entries are in the write buffer anyway, and live
/// ones in the hubs' rings: this serves history.
const CACHE_BYTES: u64 = 64 << 20;

/// Journals at most; a start reads them again, about 0.3 s for 64 MiB. A journal has that size, so
/// this is two of them: the one being written and one whose last rows are being flushed.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;

/// Write buffer of the log. Up to five of them exist while flushes lag, 80 MiB.
const LOG_BUFFER_BYTES: u64 = 16 << 20;

/// Write buffer of each of the seven small keyspaces.
const SMALL_BUFFER_BYTES: u64 = 4 << 20;

/// It flushes and compacts. Of two, fjall 3.1 leaves the flushes to the first, which passes compactions on
/// by putting them back into its own queue: while the other one compacts, it keeps a core busy. During a
/// compaction of a few hundred megabytes, some seconds, the write buffers of the log take what comes.
const WORKER_THREADS: usize = 1;

/// Entries of one room that a list tries to read for its newest message.
const UNREADABLE_MAX: usize = 16;

/// The open database.
pub(super) struct Tables {
    pub(super) db: Database,
    pub(super) log: Keyspace,
    pub(super) rooms: Keyspace,
    pub(super) memberships: Keyspace,
    pub(super) marks: Keyspace,
    /// Of earlier versions; only opened, so that its rows do not stay in the journal.
    _room_heads: Keyspace,
    pub(super) members: Keyspace,
    pub(super) records: Keyspace,
    pub(super) epochs: Keyspace,
    /// See `store::epoch`; 0 until a backup was put back.
    pub(super) epoch: u64,
    /// The last to be dropped.
    _lock: Lock,
}

impl Tables {
    /// Opens or creates the database in `folder`, whose files were checked; the database keeps the
    /// lock.
    pub(super) fn open(folder: &Path, lock: Lock) -> Result<Self, StoreError> {
        let open = move || -> Result<Self, fjall::Error> {
            let db = Database::builder(folder)
                .cache_size(CACHE_BYTES)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .worker_threads(WORKER_THREADS)
                .max_cached_files(Some(OpenFiles::now().store_tables()))
                .open()?;
            let table = |name, bytes| {
                db.keyspace(name, || {
                    KeyspaceCreateOptions::default().max_memtable_size(bytes)
                })
            };
            Ok(Self {
                log: table("log", LOG_BUFFER_BYTES)?,
                rooms: table("rooms", SMALL_BUFFER_BYTES)?,
                memberships: table("memberships", SMALL_BUFFER_BYTES)?,
                marks: table("marks", SMALL_BUFFER_BYTES)?,
                _room_heads: table("room_heads", SMALL_BUFFER_BYTES)?,
                members: table("members", SMALL_BUFFER_BYTES)?,
                records: table("records", SMALL_BUFFER_BYTES)?,
                epochs: table("epochs", SMALL_BUFFER_BYTES)?,
                epoch: 0,
                db,
                _lock: lock,
            })
        };
        let mut tables = open().map_err(|error| open_error(folder, error))?;
        tables.find_epoch(folder)?;
        Ok(tables)
    }

    pub(super) fn head(&self, topic: Topic) -> Result<Seq, StoreError> {
        // A snapshot, here and below: without one fjall shows a batch while it is being applied,
        // and a reader would see half an append.
        let snapshot = self.db.snapshot();
        let all = log_key(topic, Seq::ZERO)..=log_key(topic, Seq::MAX);
        let newest = match snapshot.range(&self.log, all).next_back() {
            None => Seq::ZERO,
            Some(newest) => seq_of_key(&newest.key().map_err(store_error)?)?,
        };
        Ok(newest.max(self.head_by_jump(topic)?))
    }

    /// The readable entries of `range`; others are noted as holes.
    pub(super) fn read(
        &self,
        topic: Topic,
        range: RangeInclusive<Seq>,
        holes: &Holes,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = (*range.start(), *range.end());
        let snapshot = self.db.snapshot();
        let mut entries = Vec::new();
        let keys = log_key(topic, first)..=log_key(topic, last);
        let rows = snapshot.range(&self.log, keys);
        for row in rows.take(READ_ENTRIES_MAX as usize) {
            let (key, value) = match row.into_inner().map_err(store_error) {
                Ok(row) => row,
                // A damaged block takes its neighbours with it for a walk, not for single reads.
                Err(StoreError::Corrupt(_)) => {
                    entries = self.read_singly(topic, range, &snapshot, holes)?;
                    break;
                }
                Err(error) => return Err(error),
            };
            entries.extend(decoded(topic, seq_of_key(&key)?, &value, holes));
        }
        // What a jump passed over is no hole of damage.
        let begun = self.past_jump(topic, first)?;
        holes.note_between(topic, begun, &entries);
        let found = entries
            .last()
            .map_or(Some(begun), |entry| entry.seq.next())
            .map_or(Ok(Seq::MAX), |next| self.past_jump(topic, next))?
            .get();
        let is_short = entries.len() < READ_ENTRIES_MAX as usize && found <= last.get();
        if matches!(topic, Topic::Room(_)) && is_short {
            // In the same snapshot: what is appended meanwhile makes no hole.
            let next = self.nearest_in(&snapshot, topic, last, Seq::MAX)?;
            if let Some(next) = next {
                let end = last.get().max(next.get() - 1);
                holes.note(topic, found.max(1)..=end, "not in the store");
            }
        }
        Ok(entries)
    }

    fn read_singly(
        &self,
        topic: Topic,
        range: RangeInclusive<Seq>,
        snapshot: &Snapshot,
        holes: &Holes,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut entries = Vec::new();
        let (first, last) = (*range.start(), *range.end());
        let positions = std::iter::successors(Some(first), |seq| seq.next());
        let positions = positions.take_while(|seq| *seq <= last);
        for seq in positions.take(READ_ENTRIES_MAX as usize) {
            let stored = snapshot.get(&self.log, log_key(topic, seq));
            match stored.map_err(store_error) {
                Ok(Some(value)) => entries.extend(decoded(topic, seq, &value, holes)),
                Ok(None) => {}
                Err(StoreError::Corrupt(why)) => {
                    holes.note(topic, seq.get()..=seq.get(), &why);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// The first position with an entry from `from` to `to`.
    pub(super) fn nearest(
        &self,
        topic: Topic,
        from: Seq,
        to: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        self.nearest_in(&self.db.snapshot(), topic, from, to)
    }

    /// In a snapshot. Where a block between the two is damaged it is `from` itself: a read there
    /// finds out which entries are left.
    fn nearest_in(
        &self,
        snapshot: &Snapshot,
        topic: Topic,
        from: Seq,
        to: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        let range =
            |first, last| snapshot.range(&self.log, log_key(topic, first)..=log_key(topic, last));
        let found = if from <= to {
            range(from, to).next()
        } else {
            range(to, from).next_back()
        };
        match found.map(|row| row.key().map_err(store_error)).transpose() {
            Ok(key) => key.map(|key| seq_of_key(&key)).transpose(),
            Err(StoreError::Corrupt(_)) => Ok(Some(from)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn room(&self, room: RoomId) -> Result<Option<Room>, StoreError> {
        let stored = self.rooms.get(room_key(room)).map_err(store_error)?;
        stored.map(|bytes| record::decode_room(&bytes)).transpose()
    }

    pub(super) fn memberships(&self, member: MemberId) -> Result<Vec<Membership>, StoreError> {
        let snapshot = self.db.snapshot();
        let mut memberships = Vec::new();
        for row in snapshot.prefix(&self.memberships, member.get().to_be_bytes()) {
            let (key, value) = row.into_inner().map_err(store_error)?;
            let mark = snapshot.get(&self.marks, &key).map_err(store_error)?;
            memberships.push(Membership {
                room: room_of_key(&key)?,
                role: record::decode_membership(&value)?,
                last_read: mark_of(mark)?,
            });
        }
        Ok(memberships)
    }

    pub(super) fn last_read(&self, member: MemberId, room: RoomId) -> Result<Seq, StoreError> {
        mark_of(
            self.marks
                .get(member_key(member, room))
                .map_err(store_error)?,
        )
    }

    /// The newest readable entry of each of these rooms, from their logs. What cannot be read is noted as
    /// a hole.
    pub(super) fn room_heads(
        &self,
        rooms: &[RoomId],
        holes: &Holes,
    ) -> Result<Vec<RoomHead>, StoreError> {
        let snapshot = self.db.snapshot();
        let mut heads = Vec::with_capacity(rooms.len());
        for room in rooms {
            let topic = Topic::Room(*room);
            let all = log_key(topic, Seq::ZERO)..=log_key(topic, Seq::MAX);
            for row in snapshot.range(&self.log, all).rev().take(UNREADABLE_MAX) {
                let (key, value) = row.into_inner().map_err(store_error)?;
                if let Some(entry) = decoded(topic, seq_of_key(&key)?, &value, holes) {
                    heads.push(RoomHead::of(*room, &entry));
                    break;
                }
            }
        }
        Ok(heads)
    }

    /// A member's status and since when, if one was ever set.
    pub(super) fn status(
        &self,
        member: MemberId,
    ) -> Result<Option<(AccountStatus, UnixMillis)>, StoreError> {
        let key = member.get().to_be_bytes();
        let stored = self.members.get(key).map_err(store_error)?;
        stored
            .map(|bytes| record::decode_account_status(&bytes))
            .transpose()
    }
}

/// The entry, unless its record cannot be read, which is noted.
fn decoded(topic: Topic, seq: Seq, value: &[u8], holes: &Holes) -> Option<Arc<Entry>> {
    match record::decode_entry(seq, value) {
        Ok(entry) => Some(Arc::new(entry)),
        Err(error) => {
            holes.note(topic, seq.get()..=seq.get(), &error.to_string());
            None
        }
    }
}

fn mark_of(stored: Option<UserValue>) -> Result<Seq, StoreError> {
    stored.map_or(Ok(Seq::ZERO), |bytes| record::decode_mark(&bytes))
}

/// Kind (0 room, 1 inbox), owner, position.
pub(super) fn log_key(topic: Topic, seq: Seq) -> [u8; 9] {
    let (kind, owner) = match topic {
        Topic::Room(room) => (0, room.get()),
        Topic::Inbox(member) => (1, member.get()),
    };
    let mut key = [kind; 9];
    key[1..5].copy_from_slice(&owner.to_be_bytes());
    key[5..].copy_from_slice(&seq.get().to_be_bytes());
    key
}

pub(super) fn room_key(room: RoomId) -> [u8; 4] {
    room.get().to_be_bytes()
}

pub(super) fn member_key(member: MemberId, room: RoomId) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&member.get().to_be_bytes());
    key[4..].copy_from_slice(&room.get().to_be_bytes());
    key
}

pub(super) fn seq_of_key(key: &[u8]) -> Result<Seq, StoreError> {
    last_number(key)
        .and_then(|seq| Seq::try_from(seq).ok())
        .ok_or_else(|| bad_key(key))
}

fn room_of_key(key: &[u8]) -> Result<RoomId, StoreError> {
    last_number(key)
        .and_then(|room| RoomId::try_from(room).ok())
        .ok_or_else(|| bad_key(key))
}

fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk()
        .map(|bytes| u64::from(u32::from_be_bytes(*bytes)))
}

fn bad_key(key: &[u8]) -> StoreError {
    StoreError::Corrupt(format!("key {key:02x?}"))
}

/// Adds the record's topic and position to an error.
pub(super) fn at(topic: Topic, seq: Seq, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(why) => StoreError::Corrupt(format!("{topic} at {seq}: {why}")),
        other @ (StoreError::Unavailable(_) | StoreError::Unknown(_)) => other,
    }
}

/// What a failed read or open means. A failed commit means more: see the writer.
pub(super) fn store_error(error: fjall::Error) -> StoreError {
    let damaged = match &error {
        fjall::Error::Storage(LsmError::Io(cause)) | fjall::Error::Io(cause) => {
            // A file that ends early or holds other bytes than it should.
            matches!(
                cause.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            )
        }
        fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted | fjall::Error::Locked => false,
        fjall::Error::Storage(_)
        | fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Unrecoverable
        // What fjall may add: an operator must act.
        | _ => true,
    };
    match damaged {
        true => StoreError::Corrupt(error.to_string()),
        false => StoreError::Unavailable(error.to_string()),
    }
}

fn open_error(folder: &Path, error: fjall::Error) -> StoreError {
    if matches!(error, fjall::Error::Locked) {
        return lock::in_use(folder);
    }
    let folder = folder.display();
    // fjall makes its first journal before it marks the folder as a database. A process killed
    // between the two leaves what it can neither recover nor create.
    if matches!(&error, fjall::Error::Io(cause) if cause.kind() == io::ErrorKind::AlreadyExists) {
        return StoreError::Unavailable(format!(
            "{folder} holds a store whose creation was interrupted, and no messages: remove it"
        ));
    }
    match store_error(error) {
        StoreError::Corrupt(why) => StoreError::Corrupt(format!("{folder}: {why}")),
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{folder}: {why}")),
        unknown @ StoreError::Unknown(_) => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_positions_do() {
        let room = Topic::Room(RoomId::try_from(258_u64).unwrap());
        let inbox = Topic::Inbox(MemberId::try_from(1_u64).unwrap());
        let key = |topic, seq: u64| log_key(topic, Seq::try_from(seq).unwrap());
        assert_eq!(key(room, 3), [0, 0, 0, 1, 2, 0, 0, 0, 3]);
        assert!(key(room, 255) < key(room, 256));
        assert!(key(room, 256) < key(inbox, 1));
        assert_eq!(seq_of_key(&key(inbox, 256)).unwrap().get(), 256);
    }

    #[test]
    fn keys_that_cannot_be_are_damage() {
        for key in [&[0, 1][..], &[0xff; 9]] {
            assert!(matches!(seq_of_key(key), Err(StoreError::Corrupt(_))));
            assert!(matches!(room_of_key(key), Err(StoreError::Corrupt(_))));
        }
    }
}
