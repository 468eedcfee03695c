//! Buckets of a log: the head of each, the search for the newest one, conditional appends to one.
//!
//! What this file does not do: read entries (`logs`); move a log into an epoch (`epochs`).

use std::sync::Arc;

use quick_cache::sync::Cache;
use scylla::response::query_result::QueryRowsResult;
use scylla::value::{CqlValue, Row};
use shared::ids::Seq;

use super::client::Client;
use super::fault::{Effect, corrupt};
use super::rooms::RoomTables;
use super::rows::{AppendRow, begins_bucket, number, partition, position};
use super::search::{Search, bucket_of, last_of};
use crate::log::{Entry, Topic};
use crate::store::{ReadConsistency, StoreError};

/// The search for a head, in multiples of one request's time-out: about twenty reads at worst, one
/// where the hint is right; each takes far less than its time-out.
const HEAD_ANSWERS: u32 = 4;

/// Topics with a hint at most: about 6 MiB, and more topics than a node has busy at a time. A topic
/// without a hint costs a few more reads.
const HINTS_MAX: usize = 80_000;

/// The outcome of a conditional batch in its bucket.
pub(super) enum Compared {
    Applied,
    /// The bucket's head is another; `None`: the bucket is not there.
    Not(Option<Seq>),
}

/// The buckets of all logs.
pub(super) struct Buckets {
    client: Arc<Client>,
    rooms: Arc<RoomTables>,
    /// The newest bucket seen of topics in use; nothing depends on their being right.
    hints: Cache<Topic, u32>,
}

impl Buckets {
    pub(super) fn new(client: Arc<Client>, rooms: Arc<RoomTables>) -> Self {
        Self {
            client,
            rooms,
            hints: Cache::new(HINTS_MAX),
        }
    }

    /// The newest entry's position.
    pub(super) async fn find_head(
        &self,
        topic: Topic,
        view: ReadConsistency,
    ) -> Result<Seq, StoreError> {
        let search = async {
            let guess = match self.hints.get(&topic) {
                Some(bucket) => bucket,
                None => self.guess_bucket(topic).await?,
            };
            let mut search = Search::from(guess);
            loop {
                let found = self.head_of(topic, search.at, view).await?;
                if let Some(head) = search.take(found) {
                    return Ok(head);
                }
            }
        };
        let head = self
            .client
            .within(HEAD_ANSWERS, Effect::None, search)
            .await?;
        self.hints.insert(topic, bucket_of(head));
        Ok(head)
    }

    /// Guesses the bucket of the head of a topic for which this node has no hint.
    async fn guess_bucket(&self, topic: Topic) -> Result<u32, StoreError> {
        let noted = match topic {
            Topic::Room(room) => self.rooms.head(room).await?,
            Topic::Inbox(_) => None,
        };
        Ok(noted.map_or(0, |head| bucket_of(head.seq)))
    }

    /// The head of a bucket; `None` if there is no such bucket.
    pub(super) async fn head_of(
        &self,
        topic: Topic,
        bucket: u32,
        view: ReadConsistency,
    ) -> Result<Option<Seq>, StoreError> {
        let statements = self.client.statements().of(topic);
        let key = partition(topic, bucket);
        let rows = match view {
            ReadConsistency::Quorum => self.client.rows(&statements.head, key).await,
            ReadConsistency::Serial => {
                self.client
                    .rows_settled(&statements.head_settled, key)
                    .await
            }
        };
        let head = rows?
            .maybe_first_row::<(Option<i32>,)>()
            .map_err(|error| corrupt("a head", error))?;
        head.and_then(|(head,)| head)
            .map(|head| position("a head", head))
            .transpose()
    }

    /// Compares the log's head and appends: `entries`, the last of which is `newest`, lie in one
    /// bucket with the position after `head`.
    pub(super) async fn append(
        &self,
        topic: Topic,
        head: Seq,
        newest: Seq,
        entries: &[Arc<Entry>],
    ) -> Result<Compared, StoreError> {
        let outcome = self.write(topic, head, newest, entries).await?;
        let bucket = bucket_of(newest);
        match outcome {
            Compared::Applied => self.hints.insert(topic, bucket),
            Compared::Not(Some(found)) if found < last_of(bucket) => {
                self.hints.insert(topic, bucket)
            }
            // Full, or not there: the head lies in another bucket.
            Compared::Not(_) => {}
        }
        Ok(outcome)
    }

    /// Makes a bucket that ends at `head`, or is not there, a full one. Does nothing otherwise.
    pub(super) async fn fill(
        &self,
        topic: Topic,
        bucket: u32,
        head: Seq,
    ) -> Result<(), StoreError> {
        let filled = self.write(topic, head, last_of(bucket), &[]);
        filled.await.map(drop)
    }

    /// The conditional batch.
    async fn write(
        &self,
        topic: Topic,
        head: Seq,
        newest: Seq,
        entries: &[Arc<Entry>],
    ) -> Result<Compared, StoreError> {
        let statements = self.client.statements().of(topic);
        let key = partition(topic, bucket_of(newest));
        let newest = number(newest.get());
        let mut batch = Vec::with_capacity(entries.len() + 1);
        batch.push(if begins_bucket(head) {
            (statements.begin.clone(), AppendRow::Begin(newest, key))
        } else {
            let row = AppendRow::Extend(newest, key, number(head.get()));
            (statements.extend.clone(), row)
        });
        for entry in entries {
            batch.push((statements.insert.clone(), AppendRow::Insert(key, entry)));
        }
        let rows = self.client.write_conditionally(batch).await?;
        compared(topic, &rows)
    }
}

/// Whether the batch was applied. By name from the first row: Cassandra leaves out `head` when it
/// was, or when the partition is not there; ScyllaDB gives a row per statement.
fn compared(topic: Topic, rows: &QueryRowsResult) -> Result<Compared, StoreError> {
    const WHAT: &str = "the answer to an append";
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
