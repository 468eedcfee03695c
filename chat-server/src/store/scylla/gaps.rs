//! Positions of logs without entries: what counts as lost, and where a log goes on behind them.

use std::sync::Arc;

use shared::ids::Seq;

use super::ScyllaStore;
use super::fault::corrupt;
use super::logs::next_position;
use super::rows::{number, partition, position};
use super::search::bucket_of;
use crate::log::{Entry, Topic};
use crate::store::StoreError;

impl ScyllaStore {
    /// What is missing of a page is a hole, but for what a jump has passed over.
    pub(super) async fn note_missing(
        &self,
        topic: Topic,
        (first, end): (Seq, Seq),
        entries: &[Arc<Entry>],
    ) -> Result<(), StoreError> {
        let begun = self.past_jump(topic, first).await?;
        self.holes.note_between(topic, begun, entries);
        let next = next_position(begun, entries);
        let next = Seq::try_from(u64::from(next)).unwrap_or(Seq::MAX);
        let missing = self.past_jump(topic, next).await?;
        if missing <= end {
            let range = (missing.get(), end.get());
            self.holes.note(topic, range, "not in the store");
        }
        Ok(())
    }

    /// Bucket by bucket, without what the entries say.
    pub(super) async fn find_nearest(
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
            let statement = &self.statements.of(topic).positions_settled;
            let rows = self.rows_settled(statement, range).await?;
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
