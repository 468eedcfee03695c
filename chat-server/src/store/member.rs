//! Stored state of members: the account status, and small records by key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether a member may use the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    /// The member may use the site.
    #[default]
    Good,
    /// An administrator has blocked the account.
    Blocked,
}

/// Records that one [`records`](super::RecordStore::records) returns at most.
pub const RECORDS_MAX: usize = 1_000;

/// Bytes of a record's key at most: a prefix and a token family.
pub const RECORD_KEY_BYTES_MAX: usize = 76;

/// Bytes of a record's value at most.
pub const RECORD_BYTES_MAX: usize = 8 << 10;

/// Ranks of a record's writes: a store keeps stamp and rank as one time in microseconds.
pub const RECORD_RANKS: u16 = 999;

/// A record of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key: visible ASCII, at most [`RECORD_KEY_BYTES_MAX`].
    pub key: Box<str>,
    /// Its content, at most [`RECORD_BYTES_MAX`]; never empty.
    pub value: Bytes,
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Its key: visible ASCII, at most [`RECORD_KEY_BYTES_MAX`].
    pub key: Box<str>,
    /// Its content, at most [`RECORD_BYTES_MAX`]; empty: the record is removed.
    pub value: Bytes,
    /// Decides between writes of one key: usually the time in milliseconds. Below 2^50.
    pub stamp: u64,
    /// Decides between writes of one key with the same stamp. Below [`RECORD_RANKS`].
    pub rank: u16,
    /// How long the record exists; `None`: until it is removed.
    pub time_to_live: Option<Duration>,
}
