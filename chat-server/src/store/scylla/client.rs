//! Statement execution: the driver's session with the prepared statements, routes, time-outs and
//! counters that every table needs.
//!
//! The parts of the store own a handle of one client each; none of them uses the driver's session
//! itself. This file contains nothing about tables.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::LoadBalancingPolicy;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use shared::clock::Clock;
use tokio::time::timeout;

use super::fault::{self, Effect, is_silence};
use super::route::{Asked, InOrder, Suspects};
use super::session::Opened;
use super::settings::ScyllaSettings;
use super::stamps::Stamps;
use super::statements::Statements;
use crate::metrics::{Metrics, StoreOp};
use crate::store::StoreError;

/// The session of a store, shared by its parts.
pub(super) struct Client {
    session: Session,
    statements: Statements,
    /// For conditional batches and serial reads; see `route`.
    route: Arc<dyn LoadBalancingPolicy>,
    suspects: Arc<Suspects>,
    stamps: Stamps,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    answer_wait: Duration,
}

impl Client {
    pub(super) fn new(
        opened: Opened,
        settings: &ScyllaSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.store_shard_aware.set(opened.is_shard_aware.into());
        let suspects = Suspects::new(Arc::clone(&clock));
        Self {
            session: opened.session,
            statements: opened.statements,
            route: InOrder::policy(&suspects),
            suspects,
            stamps: Stamps::new(Arc::clone(&clock)),
            clock,
            metrics,
            answer_wait: settings.answer_wait,
        }
    }

    pub(super) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The timestamp of a plain write, later than all before.
    pub(super) fn next_stamp(&self) -> i64 {
        self.stamps.next()
    }

    /// A read at the quorum, and its rows.
    pub(super) async fn rows(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let result = Box::pin(self.session.execute_unpaged(statement, values)).await;
        rows_of(result.map_err(|error| self.failed(Effect::None, &error))?)
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
            Ok(result) => rows_of(result),
            Err(error) => Err(self.failed_at(&asked, Effect::None, &error)),
        }
    }

    /// A write that may be repeated.
    pub(super) async fn write(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        let result = Box::pin(self.session.execute_unpaged(statement, values)).await;
        result
            .map(drop)
            .map_err(|error| self.failed(Effect::Writes, &error))
    }

    /// A conditional batch on one partition, sent once: a row of values for each statement.
    pub(super) async fn write_conditionally<R: SerializeRow>(
        &self,
        batch: Vec<(PreparedStatement, R)>,
    ) -> Result<QueryRowsResult, StoreError> {
        let (statements, rows): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.statements.append_profile.clone()));
        batch.set_load_balancing_policy(Some(Arc::clone(&self.route)));
        let asked = Arc::new(Asked::default());
        batch.set_history_listener(asked.clone());
        for statement in statements {
            batch.append_statement(statement);
        }
        match Box::pin(self.session.batch(&batch, rows)).await {
            Ok(result) => rows_of(result),
            Err(error) => Err(self.failed_at(&asked, Effect::Writes, &error)),
        }
    }

    /// Measures an operation.
    pub(super) async fn timed<T>(&self, op: StoreOp, operation: impl Future<Output = T>) -> T {
        let begun = self.clock.now();
        let outcome = operation.await;
        let took = self.clock.now().saturating_duration_since(begun);
        self.metrics.store_seconds.observe(op, took);
        outcome
    }

    /// Bounds an operation of many requests to a multiple of one request's time-out.
    pub(super) async fn within<T>(
        &self,
        answers: u32,
        effect: Effect,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let bound = self.answer_wait.saturating_mul(answers);
        timeout(bound, operation).await.unwrap_or_else(|_elapsed| {
            Err(self.failed(effect, &ExecutionError::RequestTimeout(bound)))
        })
    }

    fn failed(&self, effect: Effect, error: &ExecutionError) -> StoreError {
        self.metrics.store_failures.count(fault::kind(error));
        fault::store_error(effect, error)
    }

    /// A failure of a request that goes to one server alone.
    fn failed_at(&self, asked: &Asked, effect: Effect, error: &ExecutionError) -> StoreError {
        if is_silence(error) {
            self.suspects.add(asked);
        }
        self.failed(effect, error)
    }
}

fn rows_of(result: QueryResult) -> Result<QueryRowsResult, StoreError> {
    let rows = result.into_rows_result();
    rows.map_err(|error| fault::corrupt("an answer", error))
}
