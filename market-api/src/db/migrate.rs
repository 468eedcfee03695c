//! Schema migrations: one folder of files per database.
//!
//! Safe when several instances start at once: on PostgreSQL an advisory lock serializes them; SQLite has one
//! process. The connection has no session time-outs: indexing a large table takes longer than a request may,
//! and the waiting instances wait as long.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlStr};
use tokio::time::timeout;

use super::{DbError, Dialect};

/// The files of one folder. Both folders hold files of the same names, numbered from 1.
///
/// `sqlx::migrate!` would find them by itself, at the price of a second build of sqlx, rustls, the
/// crypto library and SQLite for the macro: two minutes of processor time for a dozen names.
macro_rules! files {
    ($folder:literal) => {
        files!(
            $folder: "0001_members", "0002_products", "0003_kit", "0004_money",
            "0005_uploads", "0006_chat_rooms", "0007_login_outcomes", "0008_list_changes",
            "0009_purchases", "0010_scrap_indexes", "0011_room_names", "0012_relay", "0013_payments",
            "0014_audit", "0015_reviews", "0016_hotspots",
        )
    };
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$((
            $name,
            include_str!(concat!("../../migrations/", $folder, "/", $name, ".sql")),
        )),+]
    };
}

/// Name and SQL of each file.
const POSTGRES: &[(&str, &str)] = files!("postgres");
const SQLITE: &[(&str, &str)] = files!("sqlite");

/// A migrator equal to the one that sqlx reads from a folder, so that a database keeps its history.
fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |(version, &(name, text)): (i64, &(&'static str, &'static str))| {
        let description = name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
        let in_transaction = !text.starts_with("-- no-transaction");
        Migration::new(
            version,
            description.replace('_', " ").into(),
            MigrationType::Simple,
            SqlStr::from_static(text),
            !in_transaction,
        )
    };
    Migrator::with_migrations((1..).zip(files).map(migration).collect())
}

/// Deadline of an instance's migration; after it the supervisor restarts the instance.
const MIGRATION_MAX: Duration = Duration::from_secs(15 * 60);

/// Boxed, because the compiler cannot prove that the migrator's own future is `Send`.
pub(super) fn run(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> BoxFuture<'_, Result<(), DbError>> {
    let migrator = match dialect {
        Dialect::Postgres => migrator(POSTGRES),
        Dialect::Sqlite => migrator(SQLITE),
    };
    Box::pin(async move {
        let no = |why: String| DbError::Unavailable(format!("the tables cannot be made: {why}"));
        match timeout(MIGRATION_MAX, migrator.run_direct(None, connection, false)).await {
            Ok(made) => made.map_err(|error| no(error.to_string())),
            Err(_elapsed) => Err(no(format!("not within {MIGRATION_MAX:?}"))),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The migrations as sqlx reads them from the folder.
    async fn in_folder(folder: &str) -> Vec<Migration> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let found = Migrator::new(path.join(folder)).await;
        found
            .expect("the folder can be read")
            .iter()
            .cloned()
            .collect()
    }

    #[tokio::test]
    async fn every_file_of_the_folders_is_a_migration_under_its_number() {
        for (folder, files) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let (listed, found) = (migrator(files), in_folder(folder).await);
            let described = |m: &Migration| {
                let text = m.sql.as_str().to_owned();
                (
                    m.version,
                    m.description.to_string(),
                    m.checksum.to_vec(),
                    m.no_tx,
                    text,
                )
            };
            let listed: Vec<_> = listed.iter().map(described).collect();
            assert_eq!(
                listed,
                found.iter().map(described).collect::<Vec<_>>(),
                "{folder}"
            );
        }
    }
}
