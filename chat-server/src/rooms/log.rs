//! Reads of a room's log, with the second, serial read that a lagging replica needs.

use std::sync::Arc;

use shared::ids::{RoomId, Seq};

use super::{RoomError, StoreErrors};
use crate::append::RoomHeads;
use crate::log::{Entry, Topic};
use crate::metrics::Metrics;
use crate::store::{MessageStore, ReadConsistency, StoreError};

/// The logs of rooms. Clones are the same.
#[derive(Clone)]
pub(super) struct RoomLog {
    pub(super) messages: Arc<dyn MessageStore>,
    pub(super) heads: RoomHeads,
    pub(super) metrics: Arc<Metrics>,
    pub(super) errors: StoreErrors,
}

/// Positions to read: up to `last` entries exist, up to `further` there may be some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) further: Seq,
}

impl RoomLog {
    /// The entry at this position, or `None`. A missing one is confirmed by a serial read.
    pub(super) async fn entry(
        &self,
        room: RoomId,
        seq: Seq,
    ) -> Result<Option<Arc<Entry>>, RoomError> {
        for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
            let found = self.read(room, seq, seq, view).await?.pop();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The entries from `first` to `last`.
    pub(super) async fn read(
        &self,
        room: RoomId,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, RoomError> {
        let entries = self.messages.read(Topic::Room(room), first, last, view);
        entries
            .await
            .map_err(|error| self.unavailable("read", &error))
    }

    /// The entries of a span; read again at serial consistency when some of those up to `last` are
    /// missing. Two reads may still find fewer: a record can name what a restored backup does not
    /// have.
    pub(super) async fn read_span(
        &self,
        room: RoomId,
        span: Span,
    ) -> Result<Vec<Arc<Entry>>, RoomError> {
        let Span {
            first,
            last,
            further,
        } = span;
        let wanted = (last.get() + 1).saturating_sub(first.get()) as usize;
        let entries = self
            .read(room, first, further, ReadConsistency::Quorum)
            .await?;
        if entries.len() >= wanted {
            return Ok(entries);
        }
        self.read(room, first, further, ReadConsistency::Serial)
            .await
    }

    /// The position of the log's last entry.
    pub(super) async fn head(&self, room: RoomId, view: ReadConsistency) -> Result<Seq, RoomError> {
        let head = self.messages.head(Topic::Room(room), view).await;
        head.map_err(|error| self.unavailable("head", &error))
    }

    pub(super) fn unavailable(&self, operation: &'static str, error: &StoreError) -> RoomError {
        self.errors.unavailable(operation, error)
    }
}
