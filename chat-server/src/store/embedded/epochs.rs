//! Epoch of the embedded store, and the jumps of its logs (see `store::epoch`).
//!
//! Keyspace `epochs`: under [`STORE`] the store's epoch; under the log key of a jump's target its
//! epoch and the log's head before. Both are written by a batch that no entry depends on before it
//! is on the disk.

use std::path::Path;

use fjall::{OwnedWriteBatch, PersistMode, Readable, Slice};
use shared::clock::{Clock as _, SystemClock};
use shared::ids::Seq;
use tracing::{error, warn};

use super::copied;
use super::tables::{Tables, log_key, seq_of_key, store_error};
use crate::log::Topic;
use crate::store::StoreError;
use crate::store::epoch::{before, next_epoch};

/// No log has this key: their first byte is 0 or 1.
const STORE: [u8; 1] = [0xff];

/// A log's newest jump, or an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// The first position of the epoch.
    pub(super) to: Seq,
    /// The head before.
    pub(super) from: Seq,
    pub(super) epoch: u64,
}

impl Jump {
    pub(super) fn row(&self, topic: Topic) -> ([u8; 9], Slice) {
        let mut value = [0; 12];
        value[..8].copy_from_slice(&self.epoch.to_be_bytes());
        value[8..].copy_from_slice(&self.from.get().to_be_bytes());
        (log_key(topic, self.to), value.as_slice().into())
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        let to = seq_of_key(key)?;
        let parts = value.first_chunk().zip(value.last_chunk());
        let parts = parts.filter(|_| value.len() == 12);
        let (epoch, from) =
            parts.ok_or_else(|| StoreError::Corrupt(format!("jump {value:02x?}")))?;
        let from = u64::from(u32::from_be_bytes(*from)).try_into();
        Ok(Self {
            to,
            from: from.map_err(|_not| StoreError::Corrupt(format!("jump {value:02x?}")))?,
            epoch: u64::from_be_bytes(*epoch),
        })
    }
}

impl Tables {
    /// Finds out the store's epoch, which is a new one if the folder is a copy, and marks the
    /// folder.
    pub(super) fn find_epoch(&mut self, folder: &Path) -> Result<(), StoreError> {
        let stored = self.epochs.get(STORE).map_err(store_error)?;
        let stored = stored.map(|bytes| {
            let bytes = <[u8; 8]>::try_from(&*bytes);
            bytes.map_err(|_not| StoreError::Corrupt("the store's epoch".to_owned()))
        });
        self.epoch = stored.transpose()?.map_or(0, u64::from_be_bytes);
        let is_copy = copied::is_copy(folder).unwrap_or_else(|cause| {
            warn!("whether the folder of messages is a copy cannot be determined: {cause}");
            false
        });
        if is_copy {
            self.begin_epoch()?;
            warn!(
                epoch = self.epoch,
                "the folder of messages was restored from a copy: its logs continue far ahead, so \
                 that no position is given twice, and clients learn of the gap"
            );
        }
        seal(folder);
        Ok(())
    }

    /// Begins a new epoch, on the disk.
    pub(super) fn begin_epoch(&mut self) -> Result<(), StoreError> {
        let epoch = next_epoch(self.epoch, SystemClock.unix_millis());
        let mut batch = OwnedWriteBatch::with_capacity(self.db.clone(), 1);
        batch.insert(&self.epochs, STORE, epoch.to_be_bytes());
        let batch = batch.durability(Some(PersistMode::SyncAll));
        batch.commit().map_err(store_error)?;
        self.epoch = epoch;
        Ok(())
    }

    /// Where a log has jumped, rising.
    pub(super) fn jumps(&self, topic: Topic) -> Result<Vec<Jump>, StoreError> {
        if self.epoch == 0 {
            return Ok(Vec::new()); // nothing was ever put back
        }
        let all = log_key(topic, Seq::ZERO)..=log_key(topic, Seq::MAX);
        let rows = self.db.snapshot().range(&self.epochs, all);
        rows.map(|row| {
            let (key, value) = row.into_inner().map_err(store_error)?;
            Jump::read(&key, &value)
        })
        .collect()
    }

    /// Whether the log has jumped in this epoch already, or need not.
    pub(super) fn is_entered(&self, topic: Topic) -> Result<bool, StoreError> {
        let newest = self.jumps(topic)?.pop();
        Ok(self.epoch == 0 || newest.is_some_and(|jump| jump.epoch == self.epoch))
    }

    /// The head of a log that jumped and was not appended to since.
    pub(super) fn head_by_jump(&self, topic: Topic) -> Result<Seq, StoreError> {
        let newest = self.jumps(topic)?.pop();
        Ok(newest.map_or(Seq::ZERO, |jump| before(jump.to)))
    }

    /// The first position from `at` on that no jump has passed over.
    pub(super) fn past_jump(&self, topic: Topic, at: Seq) -> Result<Seq, StoreError> {
        let jumps = self.jumps(topic)?;
        let over = jumps.iter().find(|jump| jump.from < at && at < jump.to);
        Ok(over.map_or(at, |jump| jump.to))
    }
}

/// A folder that cannot be marked is taken for a copy after the next start, at worst.
pub(super) fn seal(folder: &Path) {
    if let Err(cause) = copied::seal(folder) {
        error!("the folder of messages cannot be marked: {cause}");
    }
}
