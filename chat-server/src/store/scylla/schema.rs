//! The keyspace and its tables, created where they are missing.
//!
//! Several nodes may start at once. ScyllaDB puts changes of a schema in one order; Cassandra 5.0
//! does so only within one server, and two servers that create one table at a time give it two
//! identities. So all nodes send their changes to the same server, the one of the least id, and
//! wait after each until all servers agree; a node that meets another's change all the same waits
//! for agreement and reads the schema again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{
    LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy,
};
use scylla::statement::Statement;
use tracing::{info, warn};

use super::cql::{self, Dialect};
use super::settings::{Replication, ScyllaSettings, is_datacenter};
use crate::store::StoreError;

/// A change of the schema: it passes all servers and is written to their disks, a second at most
/// where they are well.
const CHANGE_WAIT: Duration = Duration::from_secs(10);

/// What becomes of a keyspace without any table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It and its tables are created.
    Create,
    /// Another one was meant.
    Refuse,
}

/// Sees to it that the keyspace and all tables are there.
pub(super) async fn ensure(
    session: &Session,
    settings: &ScyllaSettings,
    missing: Missing,
) -> Result<(), StoreError> {
    let keyspace = &settings.address.keyspace;
    let route = one_server(session)?;
    // Existing tables are not created again: a start must not depend on schema changes, which are
    // impossible while a server is away.
    if tables(session, keyspace).await?.is_empty() {
        if missing == Missing::Refuse {
            return Err(StoreError::Corrupt(format!(
                "the keyspace {keyspace} holds no messages: name the one of the chat servers"
            )));
        }
        create_keyspace(session, settings, &route).await?;
    }
    let there = tables(session, keyspace).await?;
    for (table, text) in cql::TABLES {
        if !there.contains(table) {
            let text = cql::within(keyspace, text);
            change(session, &text, &route).await.map_err(|error| {
                unavailable(&format!("table {table} cannot be created"), &error)
            })?;
        }
    }
    agree(session).await?;
    session
        .refresh_metadata()
        .await
        .map_err(|error| unavailable("the servers' schema cannot be read", &error))
}

async fn create_keyspace(
    session: &Session,
    settings: &ScyllaSettings,
    route: &Arc<dyn LoadBalancingPolicy>,
) -> Result<(), StoreError> {
    let name = &settings.address.keyspace;
    let factors = factors(session, settings)?;
    let common = cql::keyspace(name, &factors, Dialect::Common);
    let created = if is_scylla(session) {
        let text = cql::keyspace(name, &factors, Dialect::Scylla);
        match change(session, &text, route).await {
            // A ScyllaDB from before there were tablets.
            Err(error) if is_refused(&error) => {
                warn!("the keyspace is created without the tablets option: {error}");
                change(session, &common, route).await
            }
            other => other,
        }
    } else {
        change(session, &common, route).await
    };
    created.map_err(|error| unavailable("the keyspace cannot be created", &error))?;
    info!("keyspace {name} is there");
    Ok(())
}

/// The data centres and their copies.
fn factors(session: &Session, settings: &ScyllaSettings) -> Result<Vec<(String, u8)>, StoreError> {
    let factor = match &settings.replication {
        Replication::ByDatacenter(factors) => return Ok(factors.clone()),
        Replication::Factor(factor) => *factor,
    };
    if let Some(datacenter) = &settings.datacenter {
        return Ok(vec![(datacenter.clone(), factor)]);
    }
    let cluster = session.get_cluster_state();
    let nodes = cluster.get_nodes_info().iter();
    let names: BTreeSet<_> = nodes.filter_map(|node| node.datacenter.clone()).collect();
    let names: Vec<_> = names.into_iter().collect();
    match names.as_slice() {
        [only] if is_datacenter(only) => Ok(vec![(only.clone(), factor)]),
        _ => Err(StoreError::Unavailable(format!(
            "the servers are of the data centres {names:?}: the settings must name one"
        ))),
    }
}

/// The tables of the keyspace that are there.
async fn tables(session: &Session, keyspace: &str) -> Result<BTreeSet<String>, StoreError> {
    let mut statement = Statement::new(cql::TABLE_NAMES);
    statement.set_request_timeout(Some(CHANGE_WAIT));
    statement.set_is_idempotent(true);
    let cannot = "the servers' tables cannot be listed";
    let rows = session
        .query_unpaged(statement, (keyspace,))
        .await
        .map_err(|error| unavailable(cannot, &error))?
        .into_rows_result()
        .map_err(|error| unavailable(cannot, &error))?;
    let names = rows
        .rows::<(String,)>()
        .map_err(|error| unavailable(cannot, &error))?;
    let names: Result<_, _> = names.map(|row| row.map(|(name,)| name)).collect();
    names.map_err(|error| unavailable(cannot, &error))
}

async fn change(
    session: &Session,
    text: &str,
    route: &Arc<dyn LoadBalancingPolicy>,
) -> Result<(), ExecutionError> {
    let mut statement = Statement::new(text);
    statement.set_load_balancing_policy(Some(Arc::clone(route)));
    statement.set_request_timeout(Some(CHANGE_WAIT));
    // The driver waits for agreement by itself where something changed; where another node was
    // first it has to be requested.
    session.query_unpaged(statement, ()).await?;
    session.await_schema_agreement().await?;
    Ok(())
}

async fn agree(session: &Session) -> Result<(), StoreError> {
    let agreed = session.await_schema_agreement().await;
    agreed
        .map(drop)
        .map_err(|error| unavailable("the servers do not agree on the schema", &error))
}

/// The server of the least id among those that answer.
fn one_server(session: &Session) -> Result<Arc<dyn LoadBalancingPolicy>, StoreError> {
    let cluster = session.get_cluster_state();
    let nodes = cluster.get_nodes_info().iter();
    let first = nodes
        .filter(|node| node.is_connected())
        .map(|node| node.host_id)
        .min();
    let first = first.ok_or_else(|| StoreError::Unavailable("no server answers".to_owned()))?;
    Ok(SingleTargetLoadBalancingPolicy::new(
        NodeIdentifier::HostId(first),
        None,
    ))
}

/// Only ScyllaDB reports its number of shards.
pub(super) fn is_scylla(session: &Session) -> bool {
    let cluster = session.get_cluster_state();
    cluster
        .get_nodes_info()
        .iter()
        .any(|node| node.sharder().is_some())
}

fn is_refused(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::SyntaxError | DbError::Invalid | DbError::ConfigError,
            _
        ))
    )
}

fn unavailable(what: &str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(format!("{what}: {error}"))
}
