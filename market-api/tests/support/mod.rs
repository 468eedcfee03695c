//! Databases for tests: a fresh one of each kind.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program uses its own part of this"
)]

pub(crate) mod vandal;

use std::sync::Arc;
use std::time::Duration;

use market_api::db::{Db, DbUrl};
use market_api::metrics::Metrics;
use shared::clock::{ManualClock, UnixMillis};
use shared::config::Secret;
use shared::drain::Drain;
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};
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
            let mut connection = AnyConnection::connect(&server).await.unwrap();
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

/// Statements that insert members `first` to `last`, each with a plan of 10 GB, a wallet and this opening
/// balance.
pub(crate) fn crowd(first: i64, last: i64, cash: i64) -> Vec<String> {
    let among = format!("from member where id between {first} and {last}");
    let opening = format!("{among} and {cash} > 0");
    let journals = format!(
        "from journal where kind = 'opening' and {cash} > 0 and ref_id between {first} and {last}"
    );
    vec![
        format!(
            "with recursive crowd (id) as (select {first} union all select id + 1 from crowd \
             where id < {last}) \
             insert into member (id, provider, provider_id, name, role, created_at, updated_at) \
             select id, 'KAKAO', 'crowd ' || id, 'member ' || id, 'ROLE_MEMBER', 1, 1 from crowd"
        ),
        format!("insert into wallet (member_id) select id {among}"),
        format!(
            "insert into plan (member_id, name, category, age_group, providing, monthly_price) \
             select id, 'p', '5G', 'a', 100, 9000 {among}"
        ),
        format!("insert into journal (kind, ref_id, created_at) select 'opening', id, 1 {opening}"),
        format!(
            "insert into posting (journal_id, line, account, amount) \
             select id, 0, 'opening', {cash} {journals}"
        ),
        format!(
            "insert into posting (journal_id, line, account, owner, amount) \
             select id, 1, 'wallet_earned', ref_id, -{cash} {journals}"
        ),
        format!(
            "insert into credit (journal_id, member_id, amount) select id, ref_id, {cash} {journals}"
        ),
    ]
}

/// A session beside the pool, without its settings.
pub(crate) async fn session(url: &DbUrl) -> AnyConnection {
    let url = match url {
        DbUrl::Postgres(url) => url.expose().clone(),
        DbUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
    };
    AnyConnection::connect(&url).await.unwrap()
}

/// The deadlocks that PostgreSQL has counted in this database; none on SQLite. It closes the pool, since a
/// session reports its counters at its end at the latest.
pub(crate) async fn deadlocks(db: &Db, url: &DbUrl) -> i64 {
    db.close().await;
    let DbUrl::Postgres(_) = url else { return 0 };
    let mut connection = session(url).await;
    eventually("the other sessions have ended", async || {
        let others = "select count(*) from pg_stat_activity \
            where datname = current_database() and pid <> pg_backend_pid()";
        let row = connection.fetch_one(others).await.unwrap();
        row.try_get::<i64, _>(0).unwrap() == 0
    })
    .await;
    let counted = "select deadlocks from pg_stat_database where datname = current_database()";
    let row = connection.fetch_one(counted).await.unwrap();
    row.try_get(0).unwrap()
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
