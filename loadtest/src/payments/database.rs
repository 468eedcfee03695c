//! The database of a run: a file in its folder, or a new database on a PostgreSQL server.

use std::path::{Path, PathBuf};

use market_api::db::DbUrl;
use shared::config::Secret;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use super::PaymentsError;

/// A database of the run's own.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres {
        /// A database of the server, to create and remove this one from.
        server: Secret<String>,
        name: String,
    },
}

impl Database {
    /// `server` is a database of a PostgreSQL server; without it, a file in the folder.
    pub(crate) async fn create(
        server: Option<&DbUrl>,
        folder: &Path,
        run: &str,
    ) -> Result<Self, PaymentsError> {
        match server {
            None => Ok(Self::Sqlite(folder.join("market.db"))),
            Some(DbUrl::Sqlite(path)) => Ok(Self::Sqlite(path.clone())),
            Some(DbUrl::Postgres(url)) => {
                let name = format!("payments_{run}");
                let server = Secret::new(url.expose().trim_end_matches('/').to_owned());
                execute(&server, format!("create database {name}")).await?;
                Ok(Self::Postgres { server, name })
            }
        }
    }

    /// As the market's `--db`.
    pub(crate) fn flag(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres { server, name } => {
                let (base, _) = server
                    .expose()
                    .rsplit_once('/')
                    .unwrap_or((server.expose(), ""));
                format!("{base}/{name}")
            }
        }
    }

    pub(crate) fn url(&self) -> DbUrl {
        match self {
            Self::Sqlite(path) => DbUrl::Sqlite(path.clone()),
            Self::Postgres { .. } => DbUrl::Postgres(Secret::new(self.flag())),
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres { .. } => "PostgreSQL",
        }
    }

    /// Removes it; a file stays in the folder.
    pub(crate) async fn remove(&self) -> Result<(), PaymentsError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres { server, name } => {
                execute(server, format!("drop database {name} with (force)")).await
            }
        }
    }
}

async fn execute(server: &Secret<String>, text: String) -> Result<(), PaymentsError> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(server.expose()).await?;
    connection.execute(AssertSqlSafe(text)).await?;
    Ok(connection.close().await?)
}
