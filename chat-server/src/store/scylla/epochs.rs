//! Epoch of the distributed store, and the jumps of its logs (see `store::epoch`).
//!
//! A jump fills all buckets up to its target with their last positions as heads: those in between
//! first, then the newest one, by a condition on the head that was found. Until that one is applied
//! the log goes on as it was; then its head is the position before the target, and the next append
//! begins a bucket.
//!
//! The target is noted before, and the first note wins: a note of a smaller target has the greater
//! timestamp, and a node that finds a greater head than others finds their note as well, as it was
//! there before any of them jumped. So all nodes jump to one target, and the next node finishes a
//! jump that another one left unfinished.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use shared::ids::Seq;
use tracing::error;

use super::buckets::Buckets;
use super::client::Client;
use super::fault::{Effect, corrupt};
use super::rows::{number, position};
use super::search::{bucket_of, last_of};
use crate::log::Topic;
use crate::store::epoch::{jump_target, next_epoch};
use crate::store::{ReadConsistency, StoreError};

/// How long what was read of the store's epoch counts. Nodes are stopped while a backup is put
/// back; this is for one that was not.
const AGE_MAX: Duration = Duration::from_secs(30);

/// A jump, in what one answer may take: about forty small conditional writes, sixteen at a time.
const JUMP_ANSWERS: u32 = 6;

const WRITES_AT_ONCE: usize = 16;

/// The only row of `epochs`.
const STORE: i32 = 0;

/// The tables of epochs and jumps, and the store's epoch as it was read last.
pub(super) struct Epochs {
    client: Arc<Client>,
    buckets: Arc<Buckets>,
    number: AtomicU64,
    read_at: Mutex<Option<Instant>>,
}

/// Where a log has jumped, or is about to.
#[derive(Clone, Copy, Debug)]
struct Jump {
    epoch: i64,
    to: Seq,
    from: Seq,
}

impl Epochs {
    pub(super) fn new(client: Arc<Client>, buckets: Arc<Buckets>) -> Self {
        Self {
            client,
            buckets,
            number: AtomicU64::new(0),
            read_at: Mutex::default(),
        }
    }

    /// Begins a new epoch, and returns it.
    pub(super) async fn begin(&self) -> Result<u64, StoreError> {
        let now = self.client.clock().unix_millis();
        let epoch = next_epoch(self.read_epoch().await?, now);
        let stored = i64::try_from(epoch).map_err(|error| corrupt("an epoch", error))?;
        let values = (stored, stored, STORE);
        self.client
            .write(&self.client.statements().set_epoch, values)
            .await?;
        Ok(epoch)
    }

    async fn read_epoch(&self) -> Result<u64, StoreError> {
        const WHAT: &str = "the store's epoch";
        let rows = self
            .client
            .rows(&self.client.statements().epoch, (STORE,))
            .await?;
        let found = rows.maybe_first_row::<(Option<i64>,)>();
        let found = found.map_err(|error| corrupt(WHAT, error))?;
        let epoch = found.and_then(|(epoch,)| epoch).unwrap_or(0);
        u64::try_from(epoch).map_err(|error| corrupt(WHAT, error))
    }

    /// The store's epoch; 0 until a backup was put back.
    async fn current(&self) -> Result<u64, StoreError> {
        let now = self.client.clock().now();
        let is_fresh = {
            let read_at = self.read_at.lock();
            let read_at = read_at.unwrap_or_else(PoisonError::into_inner);
            read_at.is_some_and(|at| now.saturating_duration_since(at) < AGE_MAX)
        };
        if !is_fresh {
            let epoch = self.read_epoch().await?;
            self.number.store(epoch, Ordering::Relaxed);
            let read_at = self.read_at.lock();
            *read_at.unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        Ok(self.number.load(Ordering::Relaxed))
    }

    /// Moves the log into the store's epoch.
    pub(super) async fn enter(&self, topic: Topic) -> Result<Seq, StoreError> {
        let epoch = self.current().await?;
        if epoch == 0 {
            return self.buckets.find_head(topic, ReadConsistency::Quorum).await;
        }
        let stored = i64::try_from(epoch).map_err(|error| corrupt("an epoch", error))?;
        let noted = self.noted_jump(topic, stored).await?;
        let target = match noted {
            Some(jump) => jump.to,
            None => match self.note_jump(topic, epoch, stored).await? {
                Some(jump) => jump.to,
                None => return self.buckets.find_head(topic, ReadConsistency::Quorum).await,
            },
        };
        let jump = self.jump(topic, target.saturating_sub(1));
        self.client.within(JUMP_ANSWERS, Effect::Writes, jump).await
    }

    async fn noted_jump(&self, topic: Topic, epoch: i64) -> Result<Option<Jump>, StoreError> {
        let jumps = self.read_jumps(topic).await?;
        Ok(jumps.into_iter().find(|jump| jump.epoch == epoch))
    }

    /// Notes where the log jumps to; what then is noted counts. `None`: it has no room to jump.
    async fn note_jump(
        &self,
        topic: Topic,
        epoch: u64,
        stored: i64,
    ) -> Result<Option<Jump>, StoreError> {
        let from = self
            .buckets
            .find_head(topic, ReadConsistency::Serial)
            .await?;
        let Some(to) = jump_target(from, epoch) else {
            error!(%topic, "{topic} has no room for a jump: positions may be given twice");
            return Ok(None);
        };
        let stamp = i64::from(Seq::MAX.get() - to.get()) + 1;
        let (kind, owner) = name(topic);
        let (to, from) = (number(to.get()), number(from.get()));
        let values = (stamp, to, from, kind, owner, stored);
        self.client
            .write(&self.client.statements().note_jump, values)
            .await?;
        let noted = self.noted_jump(topic, stored).await?;
        let lost = || corrupt("a jump", "just noted, not there");
        noted.ok_or_else(lost).map(Some)
    }

    /// Makes `end` the log's head if it ends before that; the head then.
    async fn jump(&self, topic: Topic, end: Seq) -> Result<Seq, StoreError> {
        loop {
            let head = self
                .buckets
                .find_head(topic, ReadConsistency::Serial)
                .await?;
            if head >= end {
                return Ok(head);
            }
            let newest = bucket_of(head.next().unwrap_or(Seq::MAX));
            stream::iter(newest + 1..=bucket_of(end))
                .map(|bucket| self.buckets.fill(topic, bucket, last_of(bucket - 1)))
                .buffer_unordered(WRITES_AT_ONCE)
                .try_collect::<()>()
                .await?;
            self.buckets.fill(topic, newest, head).await?;
        }
    }

    /// Where the log has jumped, rising.
    async fn read_jumps(&self, topic: Topic) -> Result<Vec<Jump>, StoreError> {
        type Stored = (i64, Option<i32>, Option<i32>);
        const WHAT: &str = "a jump";
        let rows = self
            .client
            .rows(&self.client.statements().jumps, name(topic))
            .await?;
        let rows = rows.rows::<Stored>();
        let mut jumps = Vec::new();
        for row in rows.map_err(|error| corrupt(WHAT, error))? {
            let (epoch, to, from) = row.map_err(|error| corrupt(WHAT, error))?;
            let missing = || corrupt(WHAT, "no target or no head");
            let to = position(WHAT, to.ok_or_else(missing)?)?;
            let from = position(WHAT, from.ok_or_else(missing)?)?;
            jumps.push(Jump { epoch, to, from });
        }
        jumps.sort_unstable_by_key(|jump| jump.to);
        Ok(jumps)
    }

    /// The first position of each epoch of the log.
    pub(super) async fn jump_targets(&self, topic: Topic) -> Result<Vec<Seq>, StoreError> {
        if self.current().await? == 0 {
            return Ok(Vec::new());
        }
        let jumps = self.read_jumps(topic).await?;
        Ok(jumps.iter().map(|jump| jump.to).collect())
    }

    /// The first position from `at` on that no jump has passed over.
    pub(super) async fn past_jump(&self, topic: Topic, at: Seq) -> Result<Seq, StoreError> {
        if self.current().await? == 0 {
            return Ok(at);
        }
        let jumps = self.read_jumps(topic).await?;
        let over = jumps.iter().find(|jump| jump.from < at && at < jump.to);
        Ok(over.map_or(at, |jump| jump.to))
    }
}

/// As what a log is named among jumps.
fn name(topic: Topic) -> (i8, i32) {
    match topic {
        Topic::Room(room) => (0, number(room.get())),
        Topic::Inbox(member) => (1, number(member.get())),
    }
}
