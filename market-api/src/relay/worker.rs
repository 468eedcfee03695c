//! The relay's task: wakes, holds the lease, sends batches, backs off.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use shared::clock::{Clock, LocalDateTime};
use shared::drain::Drain;
use shared::event::{EVENTS_MAX, EventPost};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::backoff::Backoff;
use super::batch::{DeadRow, label, matching, parse};
use super::lease::{Lease, Now};
use super::listen::listen;
use super::receiver::{EventReceiver, PostError};
use super::{RelayState, RelayStatus};
use crate::db::{Db, DbError, Dialect};
use crate::metrics::Metrics;
use crate::outbox::{self, OutboxRow};

/// Poll interval. Bounds the delay of events whose notification was lost, and how soon a standby finds a free lease.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Bound of the events of a post in bytes. 200 usual events have a tenth of it.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Growth of a batch after each success, up to [`EVENTS_MAX`], if a 413 has halved it.
const BATCH_GROWTH: usize = 10;

/// Interval at which a due time is compared with the clock, which tests move.
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// Least time between two notifications of another instance: it reads all rows that are there by then.
const NOTIFY_EVERY: Duration = Duration::from_millis(10);

/// What a relay is made of.
#[derive(Debug)]
pub struct RelayParts {
    /// The database with the outbox.
    pub db: Db,
    /// The chat server.
    pub receiver: Arc<dyn EventReceiver>,
    /// Times leases and back-off.
    pub clock: Arc<dyn Clock>,
    /// Counts posts and events.
    pub metrics: Arc<Metrics>,
    /// Time-out of a post.
    pub answer_max: Duration,
    /// Stops the relay.
    pub drain: Drain,
}

/// Sends the rows of the outbox to the chat server.
#[derive(Debug)]
pub struct Relay {
    parts: RelayParts,
    status: RelayStatus,
    lease: Lease,
    backoff: Backoff,
    /// Bound of the next batch.
    batch_max: usize,
    /// Whether the database failed last.
    db_is_away: bool,
    /// Rows whose events are stored and that could not be deleted yet. They are not posted again while this process
    /// remembers them.
    stored: Vec<i64>,
    /// Whether this process may take over the lease of a dead one at once.
    is_alone: bool,
}

/// What woke the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// A COMMIT of this process.
    Commit,
    /// A COMMIT of another instance.
    Notification,
    /// The poll interval.
    Poll,
}

/// The result of one step.
#[derive(Debug)]
enum Step {
    /// There may be more to send.
    Again,
    /// The chat server took nothing: wait.
    BackOff,
    /// Nothing to send.
    Idle,
    /// Another instance relays: this one.
    Standby(String),
}

impl Wake {
    const fn label(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Notification => "notification",
            Self::Poll => "poll",
        }
    }
}

impl Relay {
    /// A relay that has not started.
    #[must_use]
    pub fn new(parts: RelayParts) -> Self {
        let name = format!("relay_{:016x}", rand::random::<u64>());
        Self {
            lease: Lease::new(name, parts.answer_max),
            status: RelayStatus::default(),
            backoff: Backoff::default(),
            batch_max: EVENTS_MAX,
            db_is_away: false,
            stored: Vec::new(),
            is_alone: parts.db.dialect() == Dialect::Sqlite,
            parts,
        }
    }

    /// The relay's state, for readiness.
    #[must_use]
    pub fn status(&self) -> RelayStatus {
        self.status.clone()
    }

    /// Relays until the drain's soft token, then finishes the post in flight and releases the lease. The hard token
    /// drops the post; the next holder repeats it.
    pub fn start(mut self) {
        let drain = self.parts.drain.clone();
        let notified = Arc::new(Notify::new());
        let listening = listen(
            self.parts.db.clone(),
            self.lease.name.clone(),
            Arc::clone(&notified),
        );
        let soft = drain.soft();
        drop(drain.spawn("outbox-listen", async move {
            soft.run_until_cancelled(listening).await;
        }));
        drop(drain.spawn_vital("outbox-relay", async move {
            self.run(&notified).await;
        }));
    }

    async fn run(&mut self, notified: &Notify) {
        let soft = self.parts.drain.soft();
        let mut poll = interval(POLL_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let db = self.parts.db.clone();
        loop {
            // Every arm is cancel-safe: a notification that is not taken stays.
            let woken = tokio::select! {
                biased;
                () = soft.cancelled() => break,
                () = db.committed() => Wake::Commit,
                () = notified.notified() => Wake::Notification,
                _ = poll.tick() => Wake::Poll,
            };
            let wakes = &self.parts.metrics.relay.wakes;
            wakes.with_label_values(&[woken.label()]).inc();
            self.relay_all(woken).await;
        }
        self.release().await;
    }

    /// Sends until nothing is left, or another instance does.
    async fn relay_all(&mut self, woken: Wake) {
        let soft = self.parts.drain.soft();
        while !soft.is_cancelled() {
            let step = self.step().await;
            self.show_lease();
            match step {
                Ok(Step::Again) => {}
                Ok(Step::BackOff) => self.back_off().await,
                Ok(Step::Idle) => break,
                Ok(Step::Standby(holder)) => {
                    if woken == Wake::Commit {
                        self.notify(&holder).await;
                        soft.run_until_cancelled(sleep(NOTIFY_EVERY)).await;
                    }
                    break;
                }
                Err(error) => {
                    // Once per outage; polling goes on.
                    if !self.db_is_away {
                        tracing::warn!("the outbox cannot be relayed: {error}");
                    }
                    self.db_is_away = true;
                    return;
                }
            }
            self.db_is_away = false;
        }
    }

    async fn step(&mut self) -> Result<Step, DbError> {
        self.delete_stored().await?;
        if !self.lease.is_fresh(self.now()) {
            let (seen, is_pending) = outbox::read_lease(&self.parts.db).await?;
            // The lease lapses while there is nothing to do: an idle market writes nothing.
            if !is_pending {
                self.status.set(RelayState::Ok);
                return Ok(Step::Idle);
            }
            if !self.claim(&seen).await? {
                self.status.set(RelayState::Standby);
                self.backoff = Backoff::default();
                return Ok(Step::Standby(seen.holder));
            }
        }
        let batch = outbox::next_batch(&self.parts.db, self.batch_max, BATCH_BYTES_MAX).await?;
        if batch.is_empty() {
            self.status.set(RelayState::Ok);
            return Ok(Step::Idle);
        }
        self.send(batch).await
    }

    /// Takes or renews the lease; false if another instance holds it.
    async fn claim(&mut self, seen: &outbox::LeaseRecord) -> Result<bool, DbError> {
        let now = self.now();
        let mut claimed = self.lease.claim(seen, now);
        if claimed.is_none() && self.is_alone {
            // SQLite has one process: the holder is one that ended before this one began.
            claimed = Some(self.lease.take_over(now));
        }
        let Some(new) = claimed else {
            return Ok(false);
        };
        let replaced = outbox::replace_lease(&self.parts.db, seen.clone(), new.clone()).await?;
        match replaced {
            true => {
                self.is_alone = false;
                self.lease.note_held(new, now);
            }
            false => self.lease.note_lost(),
        }
        self.show_lease();
        Ok(replaced)
    }

    async fn send(&mut self, batch: Vec<OutboxRow>) -> Result<Step, DbError> {
        let (events, broken) = parse(&batch);
        if !broken.is_empty() {
            self.bury(broken).await?;
            return Ok(Step::Again);
        }
        let posted = self.post(events).await;
        let posts = &self.parts.metrics.relay.posts;
        posts.with_label_values(&[label(&posted)]).inc();
        match posted {
            Ok(()) => {
                self.parts.metrics.relay.events.inc_by(batch.len() as u64);
                self.batch_max = (self.batch_max + BATCH_GROWTH).min(EVENTS_MAX);
                self.note_success();
                self.stored.extend(batch.iter().map(|row| row.id));
                self.delete_stored().await?;
                Ok(Step::Again)
            }
            Err(PostError::Refused(refused)) => {
                let dead = matching(&batch, refused);
                if dead.is_empty() {
                    // Sent again at once, it would be refused again at once.
                    return Ok(self.note_failure("it refuses events that were not sent"));
                }
                self.note_success();
                self.bury(dead).await?;
                Ok(Step::Again)
            }
            Err(PostError::TooLarge) if batch.len() > 1 => {
                self.batch_max = (batch.len() / 2).max(1);
                Ok(Step::Again)
            }
            Err(PostError::TooLarge) => Ok(self.note_failure("one event is too large for it")),
            Err(PostError::Away(why)) => Ok(self.note_failure(&why)),
        }
    }

    /// Deletes rows whose events are stored, whether the lease is still held or not.
    async fn delete_stored(&mut self) -> Result<(), DbError> {
        if !self.stored.is_empty() {
            outbox::delete_sent(&self.parts.db, self.stored.clone()).await?;
            self.stored.clear();
        }
        Ok(())
    }

    /// Posts events. At the hard token the post is dropped: whether it was stored is unknown, so the rows stay.
    async fn post(&self, events: Vec<Box<RawValue>>) -> Result<(), PostError> {
        let clock = &self.parts.clock;
        let post = EventPost {
            posted_at: LocalDateTime::from_unix(clock.unix_millis()),
            events,
        };
        let begun = clock.now();
        let answer_max = self.parts.answer_max;
        let posted = timeout(answer_max, self.parts.receiver.post(post));
        let posted = match self.parts.drain.hard().run_until_cancelled(posted).await {
            Some(Ok(posted)) => posted,
            Some(Err(_elapsed)) => Err(PostError::Away(format!("no answer in {answer_max:?}"))),
            None => Err(PostError::Away("stopping".to_owned())),
        };
        let elapsed = clock.now().saturating_duration_since(begun);
        let seconds = &self.parts.metrics.relay.post_seconds;
        seconds.observe(elapsed.as_secs_f64());
        posted
    }

    /// Marks rows as dead: they hold up nothing, and an operator decides.
    async fn bury(&self, dead: Vec<DeadRow>) -> Result<(), DbError> {
        let marks = dead.iter().map(|(row, why)| (row.id, why.clone()));
        outbox::mark_dead(&self.parts.db, marks.collect()).await?;
        for (row, why) in dead {
            self.parts.metrics.relay.dead.inc();
            tracing::error!(event.id = row.event_id, "a domain event is dead: {why}");
        }
        Ok(())
    }

    fn note_success(&mut self) {
        self.status.set(RelayState::Ok);
        if let Some(outage) = self.backoff.succeed(self.parts.clock.now()) {
            tracing::info!("the chat server takes events again, after {outage:?}");
        }
    }

    fn note_failure(&mut self, why: &str) -> Step {
        self.status.set(RelayState::Unavailable);
        let now = self.parts.clock.now();
        let is_stopping = self.parts.drain.hard().is_cancelled();
        if self.backoff.fail(now, &mut rand::rng()) && !is_stopping {
            tracing::warn!("the chat server takes no events; they wait in the outbox: {why}");
        }
        Step::BackOff
    }

    /// Waits until the next attempt is due, and keeps the lease meanwhile.
    async fn back_off(&mut self) {
        let soft = self.parts.drain.soft();
        loop {
            let now = self.now();
            let left = self.backoff.left(now.monotonic);
            // If it cannot be renewed, the next step finds out why.
            if left.is_zero() || !self.lease.is_fresh(now) && !self.renew().await {
                return;
            }
            let waited = sleep(left.min(CHECK_EVERY));
            if soft.run_until_cancelled(waited).await.is_none() {
                return;
            }
        }
    }

    /// Renews the lease; false if it is lost, or the database does not answer.
    async fn renew(&mut self) -> bool {
        let renewed = async {
            let (seen, is_pending) = outbox::read_lease(&self.parts.db).await?;
            Ok::<_, DbError>(is_pending && self.claim(&seen).await?)
        };
        renewed.await.unwrap_or(false)
    }

    async fn release(&mut self) {
        let Some((held, released)) = self.lease.release() else {
            return;
        };
        self.show_lease();
        let done = outbox::replace_lease(&self.parts.db, held, released).await;
        if let Err(error) = done {
            tracing::warn!("the relay's lease is not released and has to expire: {error}");
        }
    }

    /// Wakes the instance that relays. A lost notification costs a poll interval.
    async fn notify(&self, holder: &str) {
        if let Err(error) = self.parts.db.notify(holder).await {
            tracing::debug!("the relaying instance is not notified: {error}");
        }
    }

    fn show_lease(&self) {
        let held = i64::from(self.lease.is_held(self.now()));
        self.parts.metrics.relay.lease_held.set(held);
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.parts.clock.now(),
            wall: self.parts.clock.unix_millis(),
        }
    }
}
