//! Bringing the tables up to date: one folder of migrations per database.
//!
//! Safe when several instances start at once: on PostgreSQL an advisory lock lets one at a time do
//! it, SQLite has one process.

use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool};

use super::{DbError, Dialect};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

pub(super) async fn run(pool: &AnyPool, dialect: Dialect) -> Result<(), DbError> {
    let mut connection = pool.acquire().await?;
    run_on(&mut connection, dialect).await
}

/// Boxed, because the compiler does not see that the migrator's own future is `Send`.
pub(super) fn run_on(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> BoxFuture<'_, Result<(), DbError>> {
    let migrator = match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    };
    Box::pin(async move {
        let made = migrator.run_direct(None, connection, false).await;
        made.map_err(|error| DbError::Unavailable(format!("the tables cannot be made: {error}")))
    })
}
