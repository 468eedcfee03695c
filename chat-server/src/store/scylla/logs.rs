//! Logs: appends, pages of entries, deletion marks, positions without entries.
//!
//! What this file does not do: find a log's head or write to a bucket (`buckets`); move a log into
//! an epoch (`epochs`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use shared::ids::Seq;

use super::buckets::{Buckets, Compared};
use super::client::Client;
use super::fault::corrupt;
use super::gaps::Gaps;
use super::rows::{StoredRow, begins_bucket, hole, next_position, number, partition};
use super::search::{bucket_of, last_of};
use crate::log::{Entry, Topic};
use crate::store::{Append, READ_ENTRIES_MAX, ReadConsistency, StoreError};

/// The tables of logs.
pub(super) struct Logs {
    client: Arc<Client>,
    buckets: Arc<Buckets>,
    gaps: Arc<Gaps>,
}

/// The last position that one append after `head` may have: that of a bucket.
pub(super) fn append_end(head: Seq) -> Seq {
    head.next()
        .map_or(Seq::MAX, |first| last_of(bucket_of(first)))
}

impl Logs {
    pub(super) fn new(client: Arc<Client>, buckets: Arc<Buckets>, gaps: Arc<Gaps>) -> Self {
        Self {
            client,
            buckets,
            gaps,
        }
    }

    pub(super) async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: &[Arc<Entry>],
    ) -> Result<Append, StoreError> {
        let Some(newest) = entries.last().map(|entry| entry.seq) else {
            let found = self.settled_head(topic).await?;
            return Ok(if found == head {
                Append::Applied
            } else {
                Append::Conflict(found)
            });
        };
        if newest > append_end(head) {
            return Err(StoreError::Unavailable(format!(
                "an append to {topic} after {head} may not reach {newest}"
            )));
        }
        let bucket = bucket_of(newest);
        if begins_bucket(head) && bucket > 0 {
            // Once full it stays so: what is found now still holds when the next bucket is begun.
            let before = self
                .buckets
                .head_of(topic, bucket - 1, ReadConsistency::Serial)
                .await?;
            if before != Some(head) {
                return Ok(Append::Conflict(self.settled_head(topic).await?));
            }
        }
        match self.buckets.append(topic, head, newest, entries).await? {
            Compared::Applied => Ok(Append::Applied),
            Compared::Not(Some(found)) if found < last_of(bucket) => Ok(Append::Conflict(found)),
            // Full, or not there: the head lies in another bucket.
            Compared::Not(_) => Ok(Append::Conflict(self.settled_head(topic).await?)),
        }
    }

    async fn settled_head(&self, topic: Topic) -> Result<Seq, StoreError> {
        self.buckets.find_head(topic, ReadConsistency::Serial).await
    }

    /// The entries at `range`, at most a page of them.
    pub(super) async fn read(
        &self,
        topic: Topic,
        range: RangeInclusive<Seq>,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let first = Seq::FIRST.max(*range.start());
        let last = first.saturating_add(READ_ENTRIES_MAX - 1).min(*range.end());
        if first > last {
            return Ok(Vec::new());
        }
        let mut entries = self.read_rows(topic, first..=last, view).await?;
        match (topic, view) {
            (Topic::Room(_), ReadConsistency::Quorum) => {
                // An append is being settled: a caller that needs the missing entries reads again.
                let at = hole(first, &entries).unwrap_or(entries.len());
                entries.truncate(at);
            }
            (Topic::Room(_), ReadConsistency::Serial) => {
                let mut end = Seq::ZERO;
                if next_position(first, &entries).is_some_and(|next| next <= last) {
                    // Missing, or not there yet: a second read after the head decides which.
                    end = last.min(self.settled_head(topic).await?);
                    entries = self.read_rows(topic, first..=last, view).await?;
                }
                if entries.len() < (last.get() + 1 - first.get()) as usize {
                    self.gaps.note_missing(topic, first..=end, &entries).await?;
                }
            }
            (Topic::Inbox(_), _) => {}
        }
        Ok(entries)
    }

    async fn read_rows(
        &self,
        topic: Topic,
        range: RangeInclusive<Seq>,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut entries = Vec::new();
        // The newer bucket first: if it shows an entry, the older one was full before, and a later
        // read shows all of that. The other way round a hole could be seen that is none.
        for bucket in (bucket_of(*range.start())..=bucket_of(*range.end())).rev() {
            entries.extend(self.read_bucket(topic, bucket, &range, view).await?);
        }
        entries.reverse();
        Ok(entries)
    }

    /// A bucket's entries at `range`, newest first.
    async fn read_bucket(
        &self,
        topic: Topic,
        bucket: u32,
        range: &RangeInclusive<Seq>,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let statements = self.client.statements().of(topic);
        let (owner, bucket) = partition(topic, bucket);
        let (first, last) = (number(range.start().get()), number(range.end().get()));
        let key = (owner, bucket, first, last);
        let rows = match view {
            ReadConsistency::Quorum => self.client.rows(&statements.read, key).await,
            ReadConsistency::Serial => {
                self.client
                    .rows_settled(&statements.read_settled, key)
                    .await
            }
        }?;
        let what = topic.to_string();
        let rows = rows.rows::<StoredRow<'_>>();
        let mut entries = Vec::new();
        for row in rows.map_err(|error| corrupt(&what, error))? {
            let row = row.map_err(|error| corrupt(&what, error))?;
            let at = row.seq.cast_unsigned();
            match row.entry(topic) {
                Ok(entry) => entries.extend(entry.map(Arc::new)),
                // One row that cannot be read must not take its page with it.
                Err(error) => self.gaps.note_unreadable(topic, at, &error),
            }
        }
        Ok(entries)
    }

    /// Reads first: a mark on nothing would be a row of its own.
    pub(super) async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        let statements = self.client.statements().of(topic);
        let (owner, bucket) = partition(topic, bucket_of(seq));
        let seq = number(seq.get());
        let key = (owner, bucket, seq);
        let rows = self.client.rows(&statements.find, key).await?;
        let found = rows.maybe_first_row::<(Option<&[u8]>, Option<i32>)>();
        let found = found.map_err(|error| corrupt("an entry", error))?;
        let Some((Some(_uid), seconds_left)) = found else {
            return Ok(());
        };
        // The mark expires with its entry. An entry without an expiry has no time to live: 0.
        let seconds_left = seconds_left.unwrap_or(0);
        let values = (self.client.next_stamp(), seconds_left, owner, bucket, seq);
        self.client.write(&statements.delete, values).await
    }
}
