//! Records of the newest message of each room, for room lists: a cache of the rooms' logs in the store.
//! A store whose lists read the logs themselves needs none, and nothing is done then.
//!
//! The record cannot be written together with the log, so it is behind when a node ends between the
//! two, or when only one of the two writes succeeds. Therefore every component that finds a longer log
//! updates it: with the entry at hand by [`RoomHeads::note`] (own appends, entries read after a
//! conflict or an unknown outcome, a list that read past the record), with a position alone by
//! [`RoomHeads::check`], which reads the record and writes it only if it is behind (a repeated send, a
//! hub that has begun, filled a gap or compared heads).
//!
//! One task writes while there is something to write, off the path of sends: the newest entry of a
//! room, however many there were. Failed writes are retried with backoff until written or overtaken.
//! Of two records the store keeps the greater position, so nothing here depends on order. At most
//! [`ROOMS_MAX`] rooms wait; beyond that, records are dropped, and the checks repair them.
//!
//! What this module does not do: lists, which also read the log of each row that they show.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use shared::drain::Drain;
use shared::ids::{RoomId, Seq};
use tokio::time::{sleep, timeout};

use super::log_tail::ATTEMPT;
use crate::log::{Entry, Topic};
use crate::metrics::Metrics;
use crate::store::{MessageStore, ReadConsistency, RoomHead, RoomStore, StoreError};

/// Rooms that wait at most: 16 MiB of the longest texts.
const ROOMS_MAX: usize = 16_384;

/// Rooms of one pass, and writes under way at a time.
const PASS_ROOMS: usize = 64;
const WRITES_AT_ONCE: usize = 16;

/// Time between passes in which nothing could be written: doubling from the first to the last.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Keeps the records of rooms up to date. Clones are the same.
#[derive(Clone)]
pub struct RoomHeads {
    inner: Arc<Inner>,
}

/// What [`RoomHeads::new`] needs.
pub struct RoomHeadsParts {
    /// The records.
    pub rooms: Arc<dyn RoomStore>,
    /// The logs that they are a cache of.
    pub messages: Arc<dyn MessageStore>,
    /// Waits for writes under way when the node stops.
    pub drain: Drain,
    /// Counts records that were behind, and failures.
    pub metrics: Arc<Metrics>,
}

struct Inner {
    parts: RoomHeadsParts,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<RoomId, Newest>,
    /// Each room that waits, once.
    queue: VecDeque<RoomId>,
    /// A task is running.
    working: bool,
}

/// The newest entry of a room.
#[derive(Clone, Debug)]
enum Newest {
    Head(RoomHead),
    /// Only its position.
    At(Seq),
}

impl Newest {
    fn seq(&self) -> Seq {
        match self {
            Self::Head(head) => head.seq,
            Self::At(seq) => *seq,
        }
    }

    /// Whether this is newer than `other`, or has the text that it lacks.
    fn beats(&self, other: &Self) -> bool {
        let is_whole = |one: &Self| matches!(one, Self::Head(_));
        (self.seq(), is_whole(self)) > (other.seq(), is_whole(other))
    }
}

impl RoomHeads {
    /// No record waits.
    #[must_use]
    pub fn new(parts: RoomHeadsParts) -> Self {
        let state = Mutex::default();
        Self {
            inner: Arc::new(Inner { parts, state }),
        }
    }

    /// Notes that the log of a room goes at least to this entry. Nothing for other topics.
    pub fn note(&self, topic: Topic, entry: &Entry) {
        if let (Topic::Room(room), false) = (topic, self.inner.is_needless()) {
            self.put(room, Newest::Head(RoomHead::of(room, entry)));
        }
    }

    /// Notes that the log of a room goes at least to this position; its record may not. Nothing for
    /// other topics.
    pub fn check(&self, topic: Topic, head: Seq) {
        let is_worth_it = head > Seq::ZERO && !self.inner.is_needless();
        if let (Topic::Room(room), true) = (topic, is_worth_it) {
            self.put(room, Newest::At(head));
        }
    }

    /// The records of these rooms that are not written yet. Call it before the store is read: a
    /// record written in between is in the store then.
    #[must_use]
    pub fn waiting(&self, rooms: &[RoomId]) -> Vec<RoomHead> {
        let state = self.inner.lock();
        if state.waiting.is_empty() {
            return Vec::new();
        }
        let newest = rooms.iter().filter_map(|room| state.waiting.get(room));
        let heads = newest.filter_map(|newest| match newest {
            Newest::Head(head) => Some(head.clone()),
            Newest::At(_) => None,
        });
        heads.collect()
    }

    fn put(&self, room: RoomId, newest: Newest) {
        let mut state = self.inner.lock();
        let is_full = state.waiting.len() >= ROOMS_MAX;
        match state.waiting.get_mut(&room) {
            Some(tail) if newest.beats(tail) => *tail = newest,
            Some(_) => return,
            None if is_full => {
                drop(state);
                return self.inner.count_error();
            }
            None => {
                state.waiting.insert(room, newest);
                state.queue.push_back(room);
            }
        }
        if !std::mem::replace(&mut state.working, true) {
            drop(state);
            let inner = Arc::clone(&self.inner);
            drop(self.inner.parts.drain.spawn("room-heads", inner.work()));
        }
    }
}

impl Inner {
    fn is_needless(&self) -> bool {
        self.parts.rooms.heads_follow_logs()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits, or the time for stopping is over.
    async fn work(self: Arc<Self>) {
        let hard = self.parts.drain.hard();
        let mut backoff = BACKOFF_MIN;
        while let Some(pass) = self.next_pass() {
            let writes = stream::iter(pass).map(|(room, newest)| self.write_one(room, newest));
            let written: Vec<bool> = writes.buffer_unordered(WRITES_AT_ONCE).collect().await;
            if written.contains(&true) {
                backoff = BACKOFF_MIN;
            } else if hard.run_until_cancelled(sleep(backoff)).await.is_some() {
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            if hard.is_cancelled() {
                self.lock().working = false;
                return;
            }
        }
    }

    fn next_pass(&self) -> Option<Vec<(RoomId, Newest)>> {
        let mut state = self.lock();
        let count = state.queue.len().min(PASS_ROOMS);
        let rooms: Vec<RoomId> = state.queue.drain(..count).collect();
        if rooms.is_empty() {
            state.working = false;
            return None;
        }
        let newest = |room: RoomId| Some((room, state.waiting.get(&room)?.clone()));
        Some(rooms.into_iter().filter_map(newest).collect())
    }

    /// Whether it is done; otherwise it waits again, behind the others.
    async fn write_one(&self, room: RoomId, newest: Newest) -> bool {
        let seq = newest.seq();
        let done = match timeout(ATTEMPT, self.write(room, newest)).await {
            Ok(Ok(())) => true,
            Ok(Err(StoreError::Corrupt(why))) => {
                tracing::error!(%room, "the newest message of room {room} cannot be noted: {why}");
                self.count_error();
                true // repeated, it would fail again
            }
            Ok(Err(StoreError::Unavailable(_) | StoreError::Unknown(_))) | Err(_) => {
                self.count_error();
                false
            }
        };
        let mut state = self.lock();
        let is_overtaken = state
            .waiting
            .get(&room)
            .is_some_and(|tail| tail.seq() > seq);
        if done && !is_overtaken {
            state.waiting.remove(&room);
        } else {
            state.queue.push_back(room);
        }
        done
    }

    async fn write(&self, room: RoomId, newest: Newest) -> Result<(), StoreError> {
        let head = match newest {
            Newest::Head(head) => head,
            Newest::At(seq) => {
                let noted = self.parts.rooms.heads(&[room]).await?;
                if noted.first().is_some_and(|noted| noted.seq >= seq) {
                    return Ok(());
                }
                self.parts.metrics.room_heads_behind.inc();
                let Some(entry) = self.entry(room, seq).await? else {
                    return Ok(()); // not readable: the next entry updates the record
                };
                RoomHead::of(room, &entry)
            }
        };
        self.parts.rooms.note_head(head).await
    }

    async fn entry(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Entry>>, StoreError> {
        let topic = Topic::Room(room);
        for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
            let found = self.parts.messages.read(topic, seq, seq, view).await?.pop();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn count_error(&self) {
        let errors = &self.parts.metrics.store_errors;
        errors.with_label_values(&["note_head"]).inc();
    }
}

impl fmt::Debug for RoomHeads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomHeads")
            .field("waiting", &self.inner.lock().waiting.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomHeadsParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomHeadsParts").finish_non_exhaustive()
    }
}
