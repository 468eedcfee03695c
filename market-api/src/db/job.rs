//! A closure on its way into a transaction, and its answer on the way back.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use shared::clock::Clock;
use tokio::sync::oneshot;

use super::{Abort, DbError, Tx, TxFn, WriteError};
use crate::metrics::Metrics;

/// A write, whatever its result.
pub(super) trait Job: Send {
    /// Runs the closure once; what it gave is kept until it is answered, or run again.
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Step>;

    /// Tells the caller. [`End::Settled`] after the outcome of the last run was made true.
    fn answer(self: Box<Self>, end: End);
}

/// What has to be done with what a closure did.
#[derive(Debug)]
pub(super) enum Step {
    /// Commit it.
    Keep,
    /// Undo it: the closure refused.
    Undo,
    /// Undo it: the database refused.
    Failed(sqlx::Error),
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum End {
    /// What the closure gave holds.
    Settled,
    /// It does not.
    Failed(DbError),
}

type Answer<T, E> = oneshot::Sender<Result<T, WriteError<E>>>;

/// A write of a certain result.
pub(super) struct Pending<C, T, E> {
    context: C,
    work: TxFn<C, T, E>,
    outcome: Option<Result<T, E>>,
    /// Dropped before the answer, so that who is told finds it counted.
    counted: Counted,
    answer: Answer<T, E>,
}

impl<C, T, E> Pending<C, T, E> {
    pub(super) fn new(
        context: C,
        work: TxFn<C, T, E>,
        answer: Answer<T, E>,
        counted: Counted,
    ) -> Self {
        Self {
            context,
            work,
            outcome: None,
            answer,
            counted,
        }
    }
}

impl<C, T, E> Job for Pending<C, T, E>
where
    C: Send + Sync,
    T: Send,
    E: Send,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Step> {
        Box::pin(async move {
            match (self.work)(&self.context, tx).await {
                Ok(value) => {
                    self.outcome = Some(Ok(value));
                    Step::Keep
                }
                Err(Abort::Refused(refusal)) => {
                    self.outcome = Some(Err(refusal));
                    Step::Undo
                }
                Err(Abort::Sql(error)) => {
                    self.outcome = None;
                    Step::Failed(error)
                }
            }
        })
    }

    fn answer(self: Box<Self>, end: End) {
        let told = match (end, self.outcome) {
            (End::Settled, Some(outcome)) => outcome.map_err(WriteError::Refused),
            (End::Settled, None) => Err(WriteError::Db(DbError::Defect(
                "a write was settled that gave nothing".to_owned(),
            ))),
            (End::Failed(error), _) => Err(WriteError::Db(error)),
        };
        self.counted.end(match &told {
            Ok(_) => "kept",
            Err(WriteError::Refused(_)) => "refused",
            Err(WriteError::Db(DbError::Busy)) => "busy",
            Err(WriteError::Db(DbError::Unavailable(_))) => "unavailable",
            Err(WriteError::Db(DbError::Defect(_))) => "defect",
        });
        // Fails when the caller is gone; what was written stays.
        self.answer.send(told).ok();
    }
}

/// Counts a write when it is asked for, and when it ends, whichever way.
pub(super) struct Counted {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    begun: Instant,
    outcome: &'static str,
}

impl Counted {
    pub(super) fn begin(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        metrics.db.writes_started.inc();
        Self {
            begun: clock.now(),
            metrics,
            clock,
            outcome: "lost",
        }
    }

    fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let elapsed = self.clock.now().saturating_duration_since(self.begun);
        let metrics = &self.metrics.db;
        metrics.write_seconds.observe(elapsed.as_secs_f64());
        metrics.writes.with_label_values(&[self.outcome]).inc();
    }
}
