//! The reconciler: takes whatever is due (open charges, refunds in progress, payments in suspense) and asks the
//! gateway.
//!
//! The time of the next query is a column of each row, and the lease of the instance that queries: it moves the
//! time ahead, by compare-and-set, and records the result only if the time is still its own. A webhook that
//! moves the time back costs one more query and loses nothing.
//!
//! What this module does not do: interpret answers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shared::clock::UnixMillis;
use sqlx::query;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::Payments;
use super::capture::confirm_again;
use super::charge::{ChargeId, Evidence, repo};
use super::suspense::give_back;
use crate::db::row::{Column, column};
use crate::db::{Abort, DbError, Lock, LockMode, Tx};

/// Poll interval.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// An instance that takes a row has this time: two calls of the gateway (25 s each) and their transactions.
const LEASE: Duration = Duration::from_secs(60);

/// Rows that an instance works on at once, of each kind.
const AT_ONCE: usize = 32;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Charges,
    Refunds,
    Suspense,
}

impl Queue {
    const ALL: [Self; 3] = [Self::Charges, Self::Refunds, Self::Suspense];

    const fn label(self) -> &'static str {
        match self {
            Self::Charges => "charge",
            Self::Refunds => "refund",
            Self::Suspense => "suspense",
        }
    }

    const fn due(self) -> &'static str {
        match self {
            Self::Charges => {
                "select id, next_check_at from charge where next_check_at <= $1 \
                 order by next_check_at, id limit $2"
            }
            Self::Refunds => {
                "select id, next_check_at from refund where next_check_at <= $1 \
                 order by next_check_at, id limit $2"
            }
            Self::Suspense => {
                "select id, next_check_at from suspense_payment where next_check_at <= $1 \
                 order by next_check_at, id limit $2"
            }
        }
    }

    /// Moves the time of a row ahead, if it is still `$2`. Of a charge, `$4` is the time of this query.
    const fn take(self) -> &'static str {
        match self {
            Self::Charges => {
                "update charge set next_check_at = $3, checks = checks + 1, checked_at = $4 \
                 where id = $1 and next_check_at = $2"
            }
            Self::Refunds => {
                "update refund set next_check_at = $3 where id = $1 and next_check_at = $2"
            }
            Self::Suspense => {
                "update suspense_payment set next_check_at = $3, checks = checks + 1 \
                 where id = $1 and next_check_at = $2"
            }
        }
    }
}

/// A row that this instance works on.
#[derive(Clone, Copy, Debug)]
struct Taken {
    queue: Queue,
    id: i64,
    lease: UnixMillis,
}

/// Runs due rows.
#[derive(Clone, Debug)]
pub(super) struct Reconciler {
    payments: Payments,
}

impl Reconciler {
    pub(super) const fn new(payments: Payments) -> Self {
        Self { payments }
    }

    /// Polls for due rows until the drain's soft token.
    pub(super) fn start(self) {
        let drain = self.payments.parts.drain.clone();
        let soft = drain.soft();
        drop(drain.spawn_vital("reconciler", async move {
            let permits = Arc::new(Semaphore::new(AT_ONCE * Queue::ALL.len()));
            let mut due = interval(POLL_EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut is_away = false;
            while soft.run_until_cancelled(due.tick()).await.is_some() {
                match self
                    .take(permits.available_permits() / Queue::ALL.len())
                    .await
                {
                    Ok(taken) => {
                        is_away = false;
                        self.spawn_all(taken, &permits);
                    }
                    // Logged once per outage; polling goes on.
                    Err(error) if !is_away => {
                        is_away = true;
                        tracing::warn!("cannot poll for due payments: {error}");
                    }
                    Err(_) => {}
                }
            }
        }));
    }

    /// Works on what is due now, once; returns the number of rows.
    ///
    /// # Errors
    /// What is due cannot be read.
    pub(super) async fn run_due(&self) -> Result<usize, DbError> {
        let taken = self.take(AT_ONCE).await?;
        let count = taken.len();
        join_all(taken.into_iter().map(|row| self.run(row))).await;
        Ok(count)
    }

    fn spawn_all(&self, taken: Vec<Taken>, permits: &Arc<Semaphore>) {
        for row in taken {
            // There is one for each row taken, since only this task acquires them.
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
                return;
            };
            let reconciler = self.clone();
            drop(self.payments.parts.drain.spawn("reconcile", async move {
                reconciler.run(row).await;
                drop(permit);
            }));
        }
    }

    /// Takes due rows, of each queue up to `limit`.
    async fn take(&self, limit: usize) -> Result<Vec<Taken>, DbError> {
        let mut taken = Vec::new();
        let now = self.payments.parts.db.now();
        for queue in Queue::ALL {
            let rows = query(queue.due())
                .bind(now.get())
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&mut *self.payments.parts.db.read().await?)
                .await?;
            let mut due = Vec::with_capacity(rows.len());
            for row in &rows {
                due.push((column(row, "id")?, column(row, "next_check_at")?));
            }
            if due.is_empty() {
                continue;
            }
            // In the order of the locks.
            due.sort_unstable();
            let work = self
                .payments
                .parts
                .db
                .write((queue, due), |(queue, due), tx| {
                    Box::pin(take_in(*queue, due, tx))
                });
            taken.extend(work.await?);
        }
        Ok(taken)
    }

    async fn run(&self, row: Taken) {
        let done = match row.queue {
            Queue::Charges => self.check_charge(row.id, row.lease).await,
            Queue::Refunds => self.advance_refund(row.id, row.lease).await,
            Queue::Suspense => self.check_suspense(row.id, row.lease).await,
        };
        let outcome = if done.is_ok() { "done" } else { "failed" };
        let checks = &self.payments.parts.metrics.payments.checks;
        checks
            .with_label_values(&[row.queue.label(), outcome])
            .inc();
        if let Err(error) = done {
            // The lease expires, and the row is taken again.
            tracing::warn!("{} {} not checked: {error}", row.queue.label(), row.id);
        }
    }

    /// Queries the gateway for a charge's order, and confirms again where the gateway waits for it.
    async fn check_charge(&self, id: i64, lease: UnixMillis) -> Result<(), DbError> {
        let Some(gateway) = self.payments.parts.gateway.clone() else {
            return Ok(());
        };
        let id: ChargeId = row_id(id)?;
        let charge = repo::by_id(&mut *self.payments.parts.db.read().await?, id).await?;
        let Some(charge) = charge else {
            return Ok(());
        };
        let answer = gateway.payment_of(&charge.order).await;
        let evidence = Evidence::Queried(answer);
        let applied = self
            .payments
            .apply(charge.id, evidence, Some(lease))
            .await?;
        if applied.may_confirm {
            // The query's result has set the next time, so this one sets none.
            confirm_again(&self.payments, &*gateway, &charge, lease).await?;
        }
        Ok(())
    }

    async fn advance_refund(&self, id: i64, lease: UnixMillis) -> Result<(), DbError> {
        self.payments.advance_refund(row_id(id)?, lease).await
    }

    async fn check_suspense(&self, id: i64, lease: UnixMillis) -> Result<(), DbError> {
        match self.payments.parts.gateway.clone() {
            Some(gateway) => give_back(&self.payments, &*gateway, id, lease).await,
            None => Ok(()),
        }
    }
}

fn row_id<T: Column>(id: i64) -> Result<T, DbError> {
    T::from_number(id).map_err(|error| DbError::Defect(format!("the id of a row: {error}")))
}

async fn take_in(
    queue: Queue,
    due: &[(i64, UnixMillis)],
    tx: &mut Tx<'_>,
) -> Result<Vec<Taken>, Abort<std::convert::Infallible>> {
    let now = tx.now();
    let mut taken = Vec::with_capacity(due.len());
    for (id, seen) in due {
        let number = u64::try_from(*id).unwrap_or_default();
        match queue {
            Queue::Charges => tx.note_locks([Lock::Charge(number)], LockMode::Exclusive),
            Queue::Refunds => tx.note_locks([Lock::Refund(number)], LockMode::Exclusive),
            // The only rows of this transaction.
            Queue::Suspense => {}
        }
        // The random part distinguishes this lease from all others, also of the same millisecond.
        let spread = Duration::from_millis(rand::random_range(0..1_000));
        let lease = now.saturating_add(LEASE + spread);
        let take = query(queue.take());
        let mut take = take.bind(*id).bind(seen.get()).bind(lease.get());
        if queue == Queue::Charges {
            take = take.bind(now.get());
        }
        let moved = take.execute(tx.connection()).await?;
        if moved.rows_affected() == 1 {
            taken.push(Taken {
                queue,
                id: *id,
                lease,
            });
        }
    }
    Ok(taken)
}
