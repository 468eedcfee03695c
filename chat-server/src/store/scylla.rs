//! The distributed store: logs, rooms, read marks and members in ScyllaDB, for any number of nodes.
//!
//! ```text
//! append ─► one conditional batch on one partition ─► Paxos ─► applied, or the head that is there
//! head   ─► the newest bucket, by a hint and a search ─┐
//! read   ─► one or two buckets, by arithmetic ─────────┴─► quorum, or after what is under way
//! ```
//!
//! A log is cut into buckets of 4,096 positions, one partition each. A bucket's `head` is a static
//! column; the log's head is that of its newest bucket. A bucket is begun only when the one before
//! is full, which it then stays: so two conditions on two partitions are as good as one.
//!
//! The servers may be Apache Cassandra as well: only CQL that both know is used (`cql`).
//!
//! Reads are not shared between those who ask at once: a read that began before an entry was stored
//! need not show it, and who asks because something is missing must see it.
//!
//! What this store does not do: keep the order of two members' conditional writes in two data
//! centres unless told to ([`settings::DataCenters`]); clean up what a crash left in the memberships of a
//! room, which the next change of that room does.

mod cql;
mod epochs;
mod fault;
mod gaps;
mod hints;
mod logs;
mod members;
mod rooms;
mod route;
mod rows;
mod schema;
mod search;
mod session;
pub mod settings;
mod stamps;
mod statements;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::LoadBalancingPolicy;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use shared::clock::Clock;
use tokio::time::timeout;

use self::epochs::Epoch;
use self::fault::Effect;
use self::hints::Hints;
use self::route::{InOrder, Suspects};
use self::schema::Missing;
use self::session::Opened;
use self::settings::ScyllaSettings;
use self::stamps::Stamps;
use self::statements::Statements;
use super::StoreError;
use super::holes::Holes;
use crate::metrics::{Metrics, StoreOp};

/// Logs, rooms and members in ScyllaDB.
pub struct ScyllaStore {
    session: Session,
    statements: Statements,
    route: Arc<dyn LoadBalancingPolicy>,
    suspects: Arc<Suspects>,
    hints: Hints,
    stamps: Stamps,
    clock: Arc<dyn Clock>,
    holes: Holes,
    epoch: Epoch,
    metrics: Arc<Metrics>,
    keyspace: String,
    answer_wait: Duration,
}

impl ScyllaStore {
    /// Connects, creates what is missing and prepares the statements. Tries for a minute, as the
    /// servers may be starting, too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if that does not succeed, with the reason of the last try.
    pub async fn connect(
        settings: &ScyllaSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let opened = session::open(settings, Missing::Create, clock.as_ref()).await?;
        Ok(Self::on(opened, settings, (clock, metrics)))
    }

    /// Connects to a store that is there, without creating one.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect); [`StoreError::Corrupt`] if the keyspace holds no store.
    pub async fn connect_existing(
        settings: &ScyllaSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let opened = session::open(settings, Missing::Refuse, clock.as_ref()).await?;
        Ok(Self::on(opened, settings, (clock, metrics)))
    }

    fn on(
        opened: Opened,
        settings: &ScyllaSettings,
        (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
    ) -> Self {
        metrics.store_shard_aware.set(opened.is_shard_aware.into());
        let suspects = Suspects::new(Arc::clone(&clock));
        Self {
            session: opened.session,
            statements: opened.statements,
            route: InOrder::policy(&suspects),
            suspects,
            hints: Hints::default(),
            stamps: Stamps::new(Arc::clone(&clock)),
            clock,
            holes: Holes::new(Arc::clone(&metrics)),
            epoch: Epoch::default(),
            metrics,
            keyspace: settings.address.keyspace.clone(),
            answer_wait: settings.answer_wait,
        }
    }

    /// A read, and its rows.
    async fn rows(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let asked = Box::pin(self.session.execute_unpaged(statement, values)).await;
        let answer = asked.map_err(|error| self.failed(Effect::None, &error))?;
        rows_of(answer)
    }

    /// A write that may be repeated.
    async fn write(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        let asked = Box::pin(self.session.execute_unpaged(statement, values)).await;
        asked
            .map(drop)
            .map_err(|error| self.failed(Effect::Writes, &error))
    }

    fn failed(&self, effect: Effect, error: &ExecutionError) -> StoreError {
        self.metrics.store_failures.count(fault::kind(error));
        fault::store_error(effect, error)
    }

    /// Notes how long the operation takes.
    async fn timed<T>(&self, op: StoreOp, operation: impl Future<Output = T>) -> T {
        let begun = self.clock.now();
        let outcome = operation.await;
        let took = self.clock.now().saturating_duration_since(begun);
        self.metrics.store_seconds.observe(op, took);
        outcome
    }

    /// Bounds an operation of many questions, to so many times what one of them may take.
    async fn within<T>(
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
}

fn rows_of(answer: QueryResult) -> Result<QueryRowsResult, StoreError> {
    let rows = answer.into_rows_result();
    rows.map_err(|error| fault::corrupt("an answer", error))
}

impl fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaStore")
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}
