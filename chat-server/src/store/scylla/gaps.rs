//! Positions of logs without entries: which of them are holes, and where a log goes on behind them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use shared::ids::Seq;

use super::client::Client;
use super::epochs::Epochs;
use super::fault::corrupt;
use super::rows::{next_position, number, partition, position};
use super::search::bucket_of;
use crate::log::{Entry, Topic};
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::holes::Holes;

/// The holes found so far, and the jumps that are none.
pub(super) struct Gaps {
    client: Arc<Client>,
    epochs: Arc<Epochs>,
    holes: Holes,
}

impl Gaps {
    pub(super) fn new(client: Arc<Client>, epochs: Arc<Epochs>, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            epochs,
            holes: Holes::new(metrics),
        }
    }

    /// A row at this position that is no entry.
    pub(super) fn note_unreadable(&self, topic: Topic, at: u32, error: &StoreError) {
        self.holes.note(topic, at..=at, &error.to_string());
    }

    /// What is missing of a page is a hole, but for what a jump has passed over.
    pub(super) async fn note_missing(
        &self,
        topic: Topic,
        page: RangeInclusive<Seq>,
        entries: &[Arc<Entry>],
    ) -> Result<(), StoreError> {
        let begun = self.epochs.past_jump(topic, *page.start()).await?;
        self.holes.note_between(topic, begun, entries);
        let Some(next) = next_position(begun, entries) else {
            return Ok(()); // the log is full, and its last entry is there
        };
        let missing = self.epochs.past_jump(topic, next).await?;
        if missing <= *page.end() {
            let range = missing.get()..=page.end().get();
            self.holes.note(topic, range, "not in the store");
        }
        Ok(())
    }

    /// The first position with an entry from `from` to `to`: bucket by bucket, positions only.
    pub(super) async fn nearest(
        &self,
        topic: Topic,
        from: Seq,
        to: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        let (first, last) = (from.min(to), from.max(to));
        let buckets = bucket_of(first)..=bucket_of(last);
        let ordered: Vec<u32> = match from <= to {
            true => buckets.collect(),
            false => buckets.rev().collect(),
        };
        let what = topic.to_string();
        for bucket in ordered {
            let (owner, bucket) = partition(topic, bucket);
            let range = (owner, bucket, number(first.get()), number(last.get()));
            let statement = &self.client.statements().of(topic).positions_settled;
            let rows = self.client.rows_settled(statement, range).await?;
            let rows = rows.rows::<(i32, Option<&[u8]>)>();
            let mut found = Vec::new();
            for row in rows.map_err(|error| corrupt(&what, error))? {
                let (seq, uid) = row.map_err(|error| corrupt(&what, error))?;
                if uid.is_some() {
                    found.push(position(&what, seq)?);
                }
            }
            let nearest = match from <= to {
                true => found.into_iter().min(),
                false => found.into_iter().max(),
            };
            if nearest.is_some() {
                return Ok(nearest);
            }
        }
        Ok(None)
    }
}
