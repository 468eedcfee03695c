//! A session for falsified rows, and for their restoration.

use std::collections::BTreeSet;

use market_api::db::{Db, DbUrl};
use market_api::ledger;
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};

use super::{On, session};

/// A change of rows that violates one invariant.
pub(crate) struct Spoiling {
    invariant: &'static str,
    /// The row that is reported.
    row: &'static str,
    sql: &'static [&'static str],
}

pub(crate) const fn spoiling(
    invariant: &'static str,
    row: &'static str,
    sql: &'static [&'static str],
) -> Spoiling {
    Spoiling {
        invariant,
        row,
        sql,
    }
}

/// The invariants that are violated.
pub(crate) fn invariants_of(spoilings: &[Spoiling]) -> BTreeSet<&'static str> {
    spoilings
        .iter()
        .map(|spoiling| spoiling.invariant)
        .collect()
}

/// The violations in the ledger.
pub(crate) async fn verified(db: &Db) -> Vec<String> {
    let violations = ledger::verify(db).await.unwrap();
    violations.iter().map(ToString::to_string).collect()
}

/// A session that no trigger, check or reference stops.
pub(crate) struct Vandal {
    session: AnyConnection,
    tables: &'static [&'static str],
}

impl Vandal {
    /// Connects, and copies the tables that it will change.
    pub(crate) async fn connect(on: On, url: &DbUrl, tables: &'static [&'static str]) -> Self {
        let session = session(url).await;
        let mut vandal = Self { session, tables };
        match on {
            On::Postgres => {
                vandal.run("set session_replication_role = replica").await;
                vandal
                    .run_each(
                        "select 'alter table ' || conrelid::regclass || ' drop constraint ' || conname \
                         from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace",
                    )
                    .await;
            }
            On::Sqlite => {
                vandal.run("pragma foreign_keys = off").await;
                vandal.run("pragma ignore_check_constraints = on").await;
                vandal.run("pragma busy_timeout = 5000").await;
                vandal
                    .run_each(
                        "select 'drop trigger ' || name from sqlite_master where type = 'trigger'",
                    )
                    .await;
            }
        }
        for table in tables {
            let copy = format!("create table kept_{table} as select * from {table}");
            vandal.run(&copy).await;
        }
        vandal
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        let done = self.session.execute(AssertSqlSafe(sql.to_owned())).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }

    /// Each change is reported by its invariant, and by no other.
    pub(crate) async fn check(&mut self, db: &Db, spoilings: &[Spoiling]) {
        for spoiling in spoilings {
            for sql in spoiling.sql {
                self.run(sql).await;
            }
            let expected = format!("{}: {}", spoiling.invariant, spoiling.row);
            assert_eq!(verified(db).await, [expected], "{:?}", spoiling.sql);
            self.restore().await;
        }
    }

    /// Runs the statements that a query returns.
    async fn run_each(&mut self, texts: &str) {
        let texts = self
            .session
            .fetch_all(AssertSqlSafe(texts.to_owned()))
            .await;
        for text in texts.unwrap() {
            let text: String = text.try_get(0).unwrap();
            self.run(&text).await;
        }
    }

    /// Undoes all changes.
    pub(crate) async fn restore(&mut self) {
        for table in self.tables {
            self.run(&format!("delete from {table}")).await;
            self.run(&format!("insert into {table} select * from kept_{table}"))
                .await;
        }
    }
}
