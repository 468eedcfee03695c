//! Opening a session: addresses, encryption, time-outs, retries at the start.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;
use shared::clock::Clock;
use tokio::time::sleep;
use tracing::{info, warn};

use super::schema::Missing;
use super::settings::ScyllaSettings;
use super::statements::Statements;
use super::{cql, schema};
use crate::store::StoreError;
use crate::tls;

/// How long a start waits for the servers: they may be starting, too.
const START_WAIT: Duration = Duration::from_secs(60);

/// Between two tries of a start: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// A server on the same network answers a connection within milliseconds.
const CONNECT_WAIT: Duration = Duration::from_secs(2);

/// How often an idle connection is probed, and how long it stays open without an answer: a frozen
/// server's connections are closed after five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(3);

/// For servers to agree on a schema; with one that is away they do so without it.
const AGREEMENT_WAIT: Duration = Duration::from_secs(20);
const AGREEMENT_POLL: Duration = Duration::from_millis(100);

/// A session with an existing keyspace and tables, and its statements.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) statements: Statements,
    pub(super) is_shard_aware: bool,
}

/// Connects, with retries for a bounded time.
pub(super) async fn open(
    settings: &ScyllaSettings,
    missing: Missing,
    clock: &dyn Clock,
) -> Result<Opened, StoreError> {
    let tls = settings.ca.as_deref().map(tls::trusting).transpose();
    let tls = tls.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let tls = tls.map(Arc::new);
    let begun = clock.now();
    let mut pause = PAUSE_MIN;
    loop {
        let error = match Box::pin(attempt(settings, missing, tls.clone())).await {
            Ok(opened) => return Ok(opened),
            // What is not there does not come while it is waited for.
            Err(error @ StoreError::Corrupt(_)) => return Err(error),
            Err(error) => error,
        };
        let hosts = settings.address.hosts.join(", ");
        if clock.now().saturating_duration_since(begun) + pause > START_WAIT {
            return Err(StoreError::Unavailable(format!(
                "{hosts} within {START_WAIT:?}: {error}"
            )));
        }
        warn!("the message store at {hosts} cannot be used yet: {error}");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn attempt(
    settings: &ScyllaSettings,
    missing: Missing,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Opened, StoreError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.address.hosts)
        .tls_context(tls)
        .connection_timeout(CONNECT_WAIT)
        .keepalive_interval(KEEP_ALIVE)
        .keepalive_timeout(KEEP_ALIVE_WAIT)
        .schema_agreement_timeout(AGREEMENT_WAIT)
        .schema_agreement_interval(AGREEMENT_POLL);
    if let Some(login) = &settings.address.login {
        builder = builder.user(&login.user, login.password.expose());
    }
    if let Some(datacenter) = &settings.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    let session = builder
        .build()
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    schema::ensure(&session, settings, missing).await?;
    let statements = Statements::prepare(&session, settings)
        .await
        .map_err(|error| StoreError::Unavailable(format!("a statement is refused: {error}")))?;
    let is_shard_aware = describe(&session, settings).await?;
    Ok(Opened {
        session,
        statements,
        is_shard_aware,
    })
}

/// Logs the servers' kind and release; returns whether connections are shard-aware.
async fn describe(session: &Session, settings: &ScyllaSettings) -> Result<bool, StoreError> {
    let cluster = session.get_cluster_state();
    let servers = cluster.get_nodes_info();
    let shard_aware = servers
        .iter()
        .filter(|node| node.sharder().is_some())
        .count();
    let is_shard_aware = shard_aware > 0 && shard_aware == servers.len();
    let name = if schema::is_scylla(session) {
        "ScyllaDB"
    } else {
        "Apache Cassandra"
    };
    let release = release(session).await.unwrap_or_else(|error| {
        warn!("the message store does not report its version: {error}");
        "of an unknown version".to_owned()
    });
    info!(
        servers = servers.len(),
        shard_aware,
        "messages are stored in {name} {release}, keyspace {}",
        settings.address.keyspace
    );
    Ok(is_shard_aware)
}

async fn release(session: &Session) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut statement = Statement::new(cql::RELEASE);
    statement.set_request_timeout(Some(CONNECT_WAIT));
    let rows = session
        .query_unpaged(statement, ())
        .await?
        .into_rows_result()?;
    let (release,) = rows.single_row::<(String,)>()?;
    Ok(release)
}
