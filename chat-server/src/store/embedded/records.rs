//! Records of members in the embedded store: their keys, their form on the disk, their reads.
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
use super::queue::Write;
use super::tables::{Tables, store_error};
use crate::store::{
    NewRecord, RECORD_KEY_BYTES_MAX, RECORDS_MAX, Record, RecordStore, StoreError, record,
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

    fn member_records(&self, member: MemberId, prefix: &str) -> Result<Vec<Record>, StoreError> {
        let (snapshot, now) = (self.db.snapshot(), SystemClock.unix_millis());
        let mut records = Vec::new();
        for row in snapshot.prefix(&self.records, record_key(member, prefix)) {
            let (key, value) = row.into_inner().map_err(store_error)?;
            let Some(value) = StoredRecord::decode(&value)?.value_at(now) else {
                continue;
            };
            let text = key.get(4..).map(std::str::from_utf8);
            let Some(Ok(text)) = text else {
                return Err(StoreError::Corrupt(format!("record key {key:02x?}")));
            };
            let key = text.into();
            records.push(Record { key, value });
            if records.len() == RECORDS_MAX {
                break;
            }
        }
        Ok(records)
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
        let prefix = prefix.to_owned();
        self.read_blocking(move |tables| tables.member_records(member, &prefix))
            .await
    }

    async fn put_record(&self, member: MemberId, record: NewRecord) -> Result<(), StoreError> {
        debug_assert!(record.key.len() <= RECORD_KEY_BYTES_MAX, "{}", record.key);
        let bytes = record.value.len();
        self.write(Write::PutRecord { member, record }, bytes)
            .await
            .map(drop)
    }
}
