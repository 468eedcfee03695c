//! The logs: appends, heads, pages, marks.

use std::sync::Arc;

use async_trait::async_trait;
use scylla::errors::ExecutionError;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use shared::ids::Seq;

use super::fault::{Effect, corrupt, is_silence};
use super::gaps::{find_nearest, note_missing};
use super::rooms::room_head;
use super::route::Asked;
use super::rows::{
    AppendRow, Positions, StoredRow, begins_bucket, hole, next_position, number, partition,
    position,
};
use super::search::{Search, bucket_of, last_of};
use super::{ScyllaStore, rows_of};
use crate::log::{Entry, Topic};
use crate::metrics::StoreOp;
use crate::store::{Append, MessageStore, READ_ENTRIES_MAX, ReadConsistency, StoreError};

/// Finding a head, in what one answer may take: about twenty looks at worst, one where the hint is
/// right; each takes far less than it may.
const HEAD_ANSWERS: u32 = 4;

/// What became of the batch in the bucket itself.
pub(super) enum Compared {
    Applied,
    /// The bucket's head is another; `None`: the bucket is not there.
    Not(Option<Seq>),
}

#[async_trait]
impl MessageStore for ScyllaStore {
    fn append_end(&self, head: Seq) -> Seq {
        head.next()
            .map_or(Seq::MAX, |first| last_of(bucket_of(first)))
    }

    async fn append(
        &self,
        topic: Topic,
        head: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Append, StoreError> {
        let append = self.compare_and_append(topic, head, &entries);
        let outcome = self.timed(StoreOp::Append, append).await;
        if let Ok(Append::Conflict(_)) = outcome {
            self.metrics.store_conflicts.inc();
        }
        outcome
    }

    async fn enter(&self, topic: Topic) -> Result<Seq, StoreError> {
        self.timed(StoreOp::Head, self.enter_epoch(topic)).await
    }

    async fn jumps(&self, topic: Topic) -> Result<Vec<Seq>, StoreError> {
        self.timed(StoreOp::Read, self.jump_targets(topic)).await
    }

    async fn nearest(&self, topic: Topic, from: Seq, to: Seq) -> Result<Option<Seq>, StoreError> {
        self.timed(StoreOp::Read, find_nearest(self, topic, from, to))
            .await
    }

    async fn head(&self, topic: Topic, view: ReadConsistency) -> Result<Seq, StoreError> {
        self.timed(StoreOp::Head, self.find_head(topic, view)).await
    }

    async fn read(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let page = self.read_page(topic, first, last, view);
        self.timed(StoreOp::Read, page).await
    }

    async fn delete(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        self.timed(StoreOp::Delete, self.mark_deleted(topic, seq))
            .await
    }
}

impl ScyllaStore {
    async fn compare_and_append(
        &self,
        topic: Topic,
        head: Seq,
        entries: &[Arc<Entry>],
    ) -> Result<Append, StoreError> {
        let Some(newest) = entries.last().map(|entry| entry.seq) else {
            let found = self.find_head(topic, ReadConsistency::Serial).await?;
            return Ok(if found == head {
                Append::Applied
            } else {
                Append::Conflict(found)
            });
        };
        if newest > self.append_end(head) {
            return Err(StoreError::Unavailable(format!(
                "an append to {topic} after {head} may not reach {newest}"
            )));
        }
        let bucket = bucket_of(newest);
        if begins_bucket(head) && bucket > 0 {
            // Once full it stays so: what is found now still holds when the next bucket is begun.
            let before = self
                .bucket_head(topic, bucket - 1, ReadConsistency::Serial)
                .await?;
            if before != Some(head) {
                return Ok(Append::Conflict(
                    self.find_head(topic, ReadConsistency::Serial).await?,
                ));
            }
        }
        match self.store(topic, bucket, head, newest, entries).await? {
            Compared::Applied => {
                self.hints.put(topic, bucket);
                Ok(Append::Applied)
            }
            Compared::Not(Some(found)) if found < last_of(bucket) => {
                self.hints.put(topic, bucket);
                Ok(Append::Conflict(found))
            }
            // Full, or not there: the head lies in another bucket.
            Compared::Not(_) => Ok(Append::Conflict(
                self.find_head(topic, ReadConsistency::Serial).await?,
            )),
        }
    }

    /// The conditional batch.
    pub(super) async fn store(
        &self,
        topic: Topic,
        bucket: u32,
        head: Seq,
        newest: Seq,
        entries: &[Arc<Entry>],
    ) -> Result<Compared, StoreError> {
        let statements = self.statements.of(topic);
        let key = partition(topic, bucket);
        let newest = number(newest.get());
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.statements.append_profile.clone()));
        batch.set_load_balancing_policy(Some(Arc::clone(&self.route)));
        let asked = Arc::new(Asked::default());
        batch.set_history_listener(asked.clone());
        let mut rows = Vec::with_capacity(entries.len() + 1);
        if begins_bucket(head) {
            batch.append_statement(statements.begin.clone());
            rows.push(AppendRow::Begin(newest, key));
        } else {
            batch.append_statement(statements.extend.clone());
            rows.push(AppendRow::Extend(newest, key, number(head.get())));
        }
        for entry in entries {
            batch.append_statement(statements.insert.clone());
            rows.push(AppendRow::Insert(key, entry));
        }
        match Box::pin(self.session.batch(&batch, rows)).await {
            Ok(answer) => compared(topic, answer),
            Err(error) => Err(self.failed_at(&asked, Effect::Writes, &error)),
        }
    }

    pub(super) async fn find_head(
        &self,
        topic: Topic,
        view: ReadConsistency,
    ) -> Result<Seq, StoreError> {
        let search = async {
            let guess = match self.hints.get(topic) {
                Some(bucket) => bucket,
                None => self.guess_bucket(topic).await?,
            };
            let mut search = Search::from(guess);
            loop {
                let found = self.bucket_head(topic, search.at, view).await?;
                if let Some(head) = search.take(found) {
                    return Ok(head);
                }
            }
        };
        let head = self.within(HEAD_ANSWERS, Effect::None, search).await?;
        self.hints.put(topic, bucket_of(head));
        Ok(head)
    }

    /// Where a head may lie of which this node knows nothing yet.
    async fn guess_bucket(&self, topic: Topic) -> Result<u32, StoreError> {
        let noted = match topic {
            Topic::Room(room) => room_head(self, room).await?,
            Topic::Inbox(_) => None,
        };
        Ok(noted.map_or(0, |head| bucket_of(head.seq)))
    }

    /// The head of a bucket; `None` if there is no such bucket.
    async fn bucket_head(
        &self,
        topic: Topic,
        bucket: u32,
        view: ReadConsistency,
    ) -> Result<Option<Seq>, StoreError> {
        let statements = self.statements.of(topic);
        let asked = match view {
            ReadConsistency::Quorum => self.rows(&statements.head, partition(topic, bucket)).await,
            ReadConsistency::Serial => {
                let key = partition(topic, bucket);
                self.rows_settled(&statements.head_settled, key).await
            }
        };
        let head = asked?
            .maybe_first_row::<(Option<i32>,)>()
            .map_err(|error| corrupt("a head", error))?;
        head.and_then(|(head,)| head)
            .map(|head| position("a head", head))
            .transpose()
    }

    async fn read_page(
        &self,
        topic: Topic,
        first: Seq,
        last: Seq,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let first = first.max(Seq::FIRST);
        let last = last.min(first.saturating_add(READ_ENTRIES_MAX - 1));
        if first > last {
            return Ok(Vec::new());
        }
        let mut entries = self
            .read_rows(topic, Positions { first, last }, view)
            .await?;
        match (topic, view) {
            (Topic::Room(_), ReadConsistency::Quorum) => {
                // An append that is being settled: whoever needs what is missing reads again.
                let at = hole(first, &entries).unwrap_or(entries.len());
                entries.truncate(at);
            }
            (Topic::Room(_), ReadConsistency::Serial) => {
                let mut end = Seq::ZERO;
                if next_position(first, &entries) <= last.get() {
                    // Missing, or not there yet: with the head known, a second look tells.
                    end = last.min(self.find_head(topic, ReadConsistency::Serial).await?);
                    entries = self
                        .read_rows(topic, Positions { first, last }, view)
                        .await?;
                }
                if entries.len() < (last.get() + 1 - first.get()) as usize {
                    let range = Positions { first, last: end };
                    note_missing(self, topic, range, &entries).await?;
                }
            }
            (Topic::Inbox(_), _) => {}
        }
        Ok(entries)
    }

    async fn read_rows(
        &self,
        topic: Topic,
        range: Positions,
        view: ReadConsistency,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut entries = Vec::new();
        // The newer bucket first: if it shows an entry, the older one was full before, and a later
        // read shows all of that. The other way round a hole could be seen that is none.
        for bucket in (bucket_of(range.first)..=bucket_of(range.last)).rev() {
            self.read_bucket(topic, bucket, range, view, &mut entries)
                .await?;
        }
        entries.reverse();
        Ok(entries)
    }

    /// Adds a bucket's entries between the two positions, newest first.
    async fn read_bucket(
        &self,
        topic: Topic,
        bucket: u32,
        range: Positions,
        view: ReadConsistency,
        entries: &mut Vec<Arc<Entry>>,
    ) -> Result<(), StoreError> {
        let statements = self.statements.of(topic);
        let (owner, bucket) = partition(topic, bucket);
        let first = number(range.first.get());
        let range = (owner, bucket, first, number(range.last.get()));
        let rows = match view {
            ReadConsistency::Quorum => self.rows(&statements.read, range).await,
            ReadConsistency::Serial => self.rows_settled(&statements.read_settled, range).await,
        }?;
        let what = topic.to_string();
        let rows = rows.rows::<StoredRow<'_>>();
        for row in rows.map_err(|error| corrupt(&what, error))? {
            let row = row.map_err(|error| corrupt(&what, error))?;
            let at = row.seq.cast_unsigned();
            match row.entry(topic) {
                Ok(entry) => entries.extend(entry.map(Arc::new)),
                // One row that cannot be read must not take its page with it.
                Err(error) => self.holes.note(topic, (at, at), &error.to_string()),
            }
        }
        Ok(())
    }

    /// Reads first: a mark on nothing would be a row of its own.
    async fn mark_deleted(&self, topic: Topic, seq: Seq) -> Result<(), StoreError> {
        let statements = self.statements.of(topic);
        let (owner, bucket) = partition(topic, bucket_of(seq));
        let seq = number(seq.get());
        let rows = self.rows(&statements.find, (owner, bucket, seq)).await?;
        let found = rows.maybe_first_row::<(Option<&[u8]>, Option<i32>)>();
        let found = found.map_err(|error| corrupt("an entry", error))?;
        let Some((Some(_uid), seconds_left)) = found else {
            return Ok(());
        };
        // The mark goes when the entry goes. An entry that is kept for good has no time to live: 0.
        let seconds_left = seconds_left.unwrap_or(0);
        let values = (self.stamps.next(), seconds_left, owner, bucket, seq);
        self.write(&statements.delete, values).await
    }

    /// A read that settles what is under way: by the server that appends are sent to.
    pub(super) async fn rows_settled(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let mut statement = statement.clone();
        let asked = Arc::new(Asked::default());
        statement.set_load_balancing_policy(Some(Arc::clone(&self.route)));
        statement.set_history_listener(asked.clone());
        match Box::pin(self.session.execute_unpaged(&statement, values)).await {
            Ok(answer) => rows_of(answer),
            Err(error) => Err(self.failed_at(&asked, Effect::None, &error)),
        }
    }

    /// A failure of a question that is asked of one server alone.
    fn failed_at(&self, asked: &Asked, effect: Effect, error: &ExecutionError) -> StoreError {
        if is_silence(error) {
            self.suspects.add(asked);
        }
        self.failed(effect, error)
    }
}

/// Whether the batch was applied. By name from the first row: Cassandra leaves out `head` when it
/// was, or when the partition is not there; ScyllaDB gives a row per statement.
fn compared(topic: Topic, answer: QueryResult) -> Result<Compared, StoreError> {
    const WHAT: &str = "the answer to an append";
    let rows = rows_of(answer)?;
    let column = |name| rows.column_specs().get_by_name(name).map(|(at, _)| at);
    let (applied, head) = (column("[applied]"), column("head"));
    let row = rows
        .first_row::<Row>()
        .map_err(|error| corrupt(WHAT, error))?;
    let value = |at: Option<usize>| row.columns.get(at?).and_then(Option::as_ref);
    match (value(applied), value(head)) {
        (Some(CqlValue::Boolean(true)), _) => Ok(Compared::Applied),
        (Some(CqlValue::Boolean(false)), None) => Ok(Compared::Not(None)),
        (Some(CqlValue::Boolean(false)), Some(CqlValue::Int(head))) => {
            Ok(Compared::Not(Some(position(WHAT, *head)?)))
        }
        (applied, head) => Err(corrupt(
            WHAT,
            format!("{applied:?} and {head:?} for {topic}"),
        )),
    }
}
