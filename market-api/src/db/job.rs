//! A queued write: the closure, its context, its trace, its reply channel.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use shared::clock::Clock;
use shared::trace::TraceParent;
use tokio::sync::oneshot;

use super::{Abort, DbError, Tx, TxFn, WriteError};
use crate::metrics::Metrics;

/// A queued write, independent of its result type.
pub(super) trait Job: Send {
    /// Runs the closure once and stores its result until the answer, or the next run.
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Step>;

    /// Replies to the caller. [`End::Settled`] only after the last run's transaction is committed or rolled
    /// back.
    fn answer(self: Box<Self>, end: End);
}

/// The action on the transaction after a closure has run.
#[derive(Debug)]
pub(super) enum Step {
    /// Commit.
    Keep,
    /// Roll back: the closure aborted.
    Undo,
    /// Roll back: a statement failed.
    Failed(sqlx::Error),
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum End {
    /// The closure's result is final.
    Settled,
    /// The closure's result is void.
    Failed(DbError),
}

type Answer<T, E> = oneshot::Sender<Result<T, WriteError<E>>>;

/// A queued write with its result type.
pub(super) struct Pending<C, T, E> {
    context: C,
    work: TxFn<C, T, E>,
    trace: Option<TraceParent>,
    outcome: Option<Result<T, E>>,
    /// Dropped before the reply, so that the metrics are up to date when the caller reads them.
    counted: Counted,
    answer: Answer<T, E>,
}

impl<C, T, E> Pending<C, T, E> {
    pub(super) fn new(
        context: C,
        work: TxFn<C, T, E>,
        answer: Answer<T, E>,
        counted: Counted,
        trace: Option<TraceParent>,
    ) -> Self {
        Self {
            context,
            work,
            trace,
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
        tx.trace = self.trace;
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
        // Fails when the caller is gone; the write stays committed.
        self.answer.send(told).ok();
    }
}

/// Counts a write at its start and at its end, in every outcome.
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
