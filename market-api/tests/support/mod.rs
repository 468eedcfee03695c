//! Databases for tests: a fresh one of each kind.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program uses its own part of this"
)]

use std::sync::Arc;
use std::time::Duration;

use market_api::db::{Db, DbUrl};
use market_api::metrics::Metrics;
use shared::clock::{ManualClock, UnixMillis};
use shared::config::Secret;
use shared::drain::Drain;
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

/// 2026-11-15 12:00:00 in Seoul: in the middle of a month.
pub(crate) const NOON_MS: i64 = 1_794_711_600_000;

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The database that a test runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Postgres,
    Sqlite,
}

/// A fresh database, and the guard that removes it.
pub(crate) struct Base {
    pub(crate) db: Db,
    pub(crate) url: DbUrl,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    _folder: TempDir,
}

pub(crate) fn noon() -> UnixMillis {
    UnixMillis::try_from(NOON_MS).expect("a moment of this century")
}

/// The URL of a database of the test's own.
#[expect(
    clippy::disallowed_methods,
    reason = "a service's address is in the environment"
)]
pub(crate) async fn fresh_url(on: On, folder: &TempDir) -> DbUrl {
    match on {
        On::Sqlite => DbUrl::Sqlite(folder.path().join("market.db")),
        On::Postgres => {
            let server = std::env::var("TEST_POSTGRES_URL")
                .expect("PostgreSQL for tests: infra/services up postgres, then its env file");
            let name = format!("market_{:016x}", rand::random::<u64>());
            sqlx::any::install_default_drivers();
            let mut connection = sqlx::AnyConnection::connect(&server).await.unwrap();
            let create = format!("create database {name}");
            connection
                .execute(sqlx::AssertSqlSafe(create))
                .await
                .unwrap();
            connection.close().await.unwrap();
            let (base, _) = server.rsplit_once('/').unwrap();
            DbUrl::Postgres(Secret::new(format!("{base}/{name}")))
        }
    }
}

/// Opens a fresh database.
pub(crate) async fn open(on: On) -> Base {
    let folder = tempfile::tempdir().unwrap();
    let url = fresh_url(on, &folder).await;
    let clock = Arc::new(ManualClock::new(noon()));
    let (metrics, drain) = (Arc::new(Metrics::new()), Drain::new());
    let db = Db::open(&url, Arc::clone(&clock) as _, Arc::clone(&metrics), &drain)
        .await
        .unwrap();
    Base {
        db,
        url,
        clock,
        metrics,
        drain,
        _folder: folder,
    }
}

/// Waits until a condition holds, with a bound.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut look = interval(Duration::from_millis(5));
    let looking = async {
        while !holds().await {
            look.tick().await;
        }
    };
    let held = timeout(PATIENCE, looking).await;
    assert!(held.is_ok(), "in vain: {what}");
}

/// Each test once for each database: `on_both! { mod name: test_a, test_b }`.
#[macro_export]
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::On::Postgres).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::On::Sqlite).await;
            })+
        }
    };
}
