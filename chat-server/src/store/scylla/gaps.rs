//! Positions of logs without entries: which count as lost, and the next entry behind them.

use std::sync::Arc;

use shared::ids::Seq;

use super::ScyllaStore;
use super::fault::corrupt;
use super::rows::{Positions, next_position, number, partition, position};
use super::search::bucket_of;
use crate::log::{Entry, Topic};
use crate::store::StoreError;

/// Notes the missing positions of a page as holes, except those that a jump has left out.
pub(super) async fn note_missing(
    store: &ScyllaStore,
    topic: Topic,
    range: Positions,
    entries: &[Arc<Entry>],
) -> Result<(), StoreError> {
    let begun = store.past_jump(topic, range.first).await?;
    store.holes.note_between(topic, begun, entries);
    let next = next_position(begun, entries);
    let next = Seq::try_from(u64::from(next)).unwrap_or(Seq::MAX);
    let missing = store.past_jump(topic, next).await?;
    if missing <= range.last {
        let range = (missing.get(), range.last.get());
        store.holes.note(topic, range, "not in the store");
    }
    Ok(())
}

/// The entry between two positions that is nearest to the first, read bucket by bucket without bodies.
pub(super) async fn find_nearest(
    store: &ScyllaStore,
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
        let statement = &store.statements.of(topic).positions_settled;
        let rows = store.rows_settled(statement, range).await?;
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
