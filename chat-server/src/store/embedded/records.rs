//! Members in the embedded store: their account status, and their records' keys, form on the disk and
//! reads.
//!
//! A removed or expired record stays as a row for ten days, so that an older write that comes later
//! does not bring it back.

use async_trait::async_trait;
use bytes::Bytes;
use fjall::{Readable as _, Slice};
use shared::clock::{Clock as _, SystemClock, UnixMillis};
use shared::ids::MemberId;
use std::time::Duration;

use super::EmbeddedStore;
use super::member_reads::RecordList;
use super::queue::Write;
use super::tables::{Tables, store_error};
use crate::store::{
    AccountStatus, MemberStore, NewRecord, RECORD_KEY_BYTES_MAX, RECORDS_MAX, Record, RecordStore,
    StoreError, record,
};

/// How long a removed record's stamp counts.
const REMOVED_FOR: Duration = Duration::from_secs(10 * 86_400);

/// Bits of a stored number that are the stamp; above them is the rank.
const STAMP_BITS: u32 = 50;

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredRecord {
    /// Of two writes the one with the greater (stamp, rank) wins.
    pub(super) order: (u64, u16),
    expires_at: Option<UnixMillis>,
    value: Bytes,
}

impl StoredRecord {
    pub(super) fn new(record: NewRecord, now: UnixMillis) -> Self {
        let removed = record.value.is_empty().then_some(REMOVED_FOR);
        let expires_at = record.time_to_live.or(removed);
        Self {
            order: (record.stamp, record.rank),
            expires_at: expires_at.map(|after| now.saturating_add(after)),
            value: record.value,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (stamp, rank) = self.order;
        let number = stamp | u64::from(rank) << STAMP_BITS;
        record::encode_member_record(number, self.expires_at, &self.value)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (number, expires_at, value) = record::decode_member_record(bytes)?;
        let rank = u16::try_from(number >> STAMP_BITS).unwrap_or(u16::MAX);
        Ok(Self {
            order: (number & ((1 << STAMP_BITS) - 1), rank),
            expires_at,
            value: Bytes::copy_from_slice(value),
        })
    }

    fn value_at(self, now: UnixMillis) -> Option<Bytes> {
        let is_there = self.expires_at.is_none_or(|expires| now < expires);
        (is_there && !self.value.is_empty()).then_some(self.value)
    }
}

/// Member, then the key's text.
pub(super) fn record_key(member: MemberId, key: &str) -> Vec<u8> {
    [&member.get().to_be_bytes(), key.as_bytes()].concat()
}

impl Tables {
    pub(super) fn stored_record(&self, key: &[u8]) -> Result<Option<StoredRecord>, StoreError> {
        let stored = self.records.get(key).map_err(store_error)?;
        stored.map(|bytes| StoredRecord::decode(&bytes)).transpose()
    }

    /// Keys of the member's records whose stamps need not be kept any longer.
    pub(super) fn expired_records(
        &self,
        member: MemberId,
        now: UnixMillis,
    ) -> Result<Vec<Slice>, StoreError> {
        let snapshot = self.db.snapshot();
        let mut expired = Vec::new();
        for row in snapshot.prefix(&self.records, member.get().to_be_bytes()) {
            let (key, value) = row.into_inner().map_err(store_error)?;
            let stored = StoredRecord::decode(&value)?;
            let is_over = |expires: UnixMillis| expires.saturating_add(REMOVED_FOR) <= now;
            if stored.expires_at.is_some_and(is_over) {
                expired.push(key);
            }
        }
        Ok(expired)
    }

    fn member_records(&self, member: MemberId, prefix: &str) -> Result<RecordList, StoreError> {
        let (snapshot, now) = (self.db.snapshot(), SystemClock.unix_millis());
        let mut list = RecordList::default();
        for row in snapshot.prefix(&self.records, record_key(member, prefix)) {
            let (key, value) = row.into_inner().map_err(store_error)?;
            let stored = StoredRecord::decode(&value)?;
            let expires_at = stored.expires_at;
            let Some(value) = stored.value_at(now) else {
                continue;
            };
            list.expires_at = list.expires_at.into_iter().chain(expires_at).min();
            let text = key.get(4..).map(std::str::from_utf8);
            let Some(Ok(text)) = text else {
                return Err(StoreError::Corrupt(format!("record key {key:02x?}")));
            };
            let key = text.into();
            list.records.push(Record { key, value });
            if list.records.len() == RECORDS_MAX {
                break;
            }
        }
        Ok(list)
    }
}

#[async_trait]
impl RecordStore for EmbeddedStore {
    async fn record(&self, member: MemberId, key: &str) -> Result<Option<Bytes>, StoreError> {
        let key = record_key(member, key);
        let stored = self.read_blocking(move |tables| tables.stored_record(&key));
        let now = SystemClock.unix_millis();
        Ok(stored.await?.and_then(|stored| stored.value_at(now)))
    }

    async fn records(&self, member: MemberId, prefix: &str) -> Result<Vec<Record>, StoreError> {
        self.opened.get()?;
        let now = SystemClock.unix_millis();
        if let Some(known) = self.member_reads.records(member, prefix, now) {
            return Ok(known);
        }
        let (start, owned) = (self.member_reads.start(), prefix.to_owned());
        let list = self.read_blocking(move |tables| tables.member_records(member, &owned));
        let list = list.await?;
        self.member_reads.keep_records(start, member, prefix, &list);
        Ok(list.records)
    }

    async fn put_record(&self, member: MemberId, record: NewRecord) -> Result<(), StoreError> {
        debug_assert!(record.key.len() <= RECORD_KEY_BYTES_MAX, "{}", record.key);
        let bytes = record.value.len();
        let change = self.member_reads.change(member);
        let answer = self.write(Write::PutRecord { member, record }, bytes).await;
        change.end(&answer);
        answer.map(drop)
    }
}

#[async_trait]
impl MemberStore for EmbeddedStore {
    async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        self.opened.get()?;
        if let Some(known) = self.member_reads.status(member) {
            return Ok(known);
        }
        let start = self.member_reads.start();
        let stored = self.read_blocking(move |tables| tables.status(member));
        let stored = stored.await?;
        let status = stored.map_or(AccountStatus::Good, |(status, _)| status);
        self.member_reads.keep_status(start, member, status);
        Ok(status)
    }

    async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let change = self.member_reads.change(member);
        let write = Write::SetAccountStatus { member, status, at };
        let answer = self.write(write, 0).await;
        change.end(&answer);
        answer.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SyncMode;
    use crate::store::embedded::READS_MAX;

    fn session(sid: &str, time_to_live: Option<Duration>) -> NewRecord {
        NewRecord {
            key: format!("session:{sid}").into(),
            value: "{}".into(),
            stamp: 1,
            rank: 0,
            time_to_live,
        }
    }

    #[tokio::test]
    async fn second_login_of_a_member_reads_no_disk_and_sees_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path(), SyncMode::Always).unwrap();
        let member = MemberId::try_from(7_u64).unwrap();
        let read = async || {
            let status = store.status(member).await.unwrap();
            let ended = store.records(member, "session:").await.unwrap();
            (status, ended.len())
        };
        let changed = async |expected| {
            assert_eq!(read().await, expected);
            // No read of the disk can begin.
            let all = store
                .reads
                .acquire_many(READS_MAX.try_into().unwrap())
                .await
                .unwrap();
            assert_eq!(read().await, expected);
            drop(all);
        };
        changed((AccountStatus::Good, 0)).await;
        let put = store.put_record(member, session("a", None));
        put.await.unwrap();
        changed((AccountStatus::Good, 1)).await;
        let at = SystemClock.unix_millis();
        let set = store.set_account_status(member, AccountStatus::Blocked, at);
        set.await.unwrap();
        changed((AccountStatus::Blocked, 1)).await;
        let gone = Some(Duration::ZERO);
        store.put_record(member, session("a", gone)).await.unwrap();
        changed((AccountStatus::Blocked, 0)).await;
    }
}
