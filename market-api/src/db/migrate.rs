//! Bringing the tables up to date: one folder of migrations per database.
//!
//! Safe when several instances start at once: on PostgreSQL an advisory lock lets one at a time do
//! it, SQLite has one process. The connection is one without the time-outs of a session: an index of
//! a large table takes longer than a request may, and whoever waits for it waits as long.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::AnyConnection;
use sqlx::migrate::Migrator;
use tokio::time::timeout;

use super::{DbError, Dialect};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// An instance that is not through by then gives up, and its supervisor starts it again.
const MIGRATION_MAX: Duration = Duration::from_secs(15 * 60);

/// Boxed, because the compiler does not see that the migrator's own future is `Send`.
pub(super) fn run(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> BoxFuture<'_, Result<(), DbError>> {
    let migrator = match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    };
    Box::pin(async move {
        let no = |why: String| DbError::Unavailable(format!("the tables cannot be made: {why}"));
        match timeout(MIGRATION_MAX, migrator.run_direct(None, connection, false)).await {
            Ok(made) => made.map_err(|error| no(error.to_string())),
            Err(_elapsed) => Err(no(format!("not within {MIGRATION_MAX:?}"))),
        }
    })
}
