//! What the databases and sqlx do, where the design rests on it (`money.md`, marked "ran"). A new version that
//! does otherwise fails here first.
//!
//! Elsewhere: deadlocks and time-outs in `tests/db`, caps of amounts in `amounts_beyond_their_caps_are_refused`.

use std::sync::Arc;

use futures_util::future::join_all;
use market_api::db::{Abort, DbError, WriteError};
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _, query};
use tokio::sync::Barrier;

use crate::on_both;
use crate::support::{Base, On, crowd, open, session};

on_both!(
    null_is_bound_and_read,
    upsert_with_a_condition_changes_only_what_fulfils_it,
    nested_savepoints_roll_back_one_by_one,
    flags_are_whole_numbers_because_booleans_are_unreadable_on_sqlite,
    overflow_is_refused_by_the_upper_bound,
);

/// A database with a table `thing (id, number)` without any rows.
async fn with_things(on: On) -> (Base, AnyConnection) {
    let base = open(on).await;
    let mut session = session(&base.url).await;
    let table = "create table thing (id bigint primary key, number bigint)";
    session.execute(table).await.unwrap();
    (base, session)
}

async fn number(session: &mut AnyConnection, text: &'static str) -> Option<i64> {
    session.fetch_one(text).await.unwrap().try_get(0).unwrap()
}

async fn null_is_bound_and_read(on: On) {
    let (_base, mut session) = with_things(on).await;
    for (id, value) in [(1_i64, None), (2, Some(7_i64))] {
        let insert = query("insert into thing (id, number) values ($1, $2)");
        let insert = insert.bind(id).bind(value).execute(&mut session);
        insert.await.unwrap();
    }
    let read = "select number from thing where id = 1 and number is null";
    assert_eq!(number(&mut session, read).await, None);
    let read = "select number from thing where id = 2";
    assert_eq!(number(&mut session, read).await, Some(7));
}

async fn upsert_with_a_condition_changes_only_what_fulfils_it(on: On) {
    let (_base, mut session) = with_things(on).await;
    let mut put = async |value: i64| {
        let upsert = query(
            "insert into thing (id, number) values (1, $1) on conflict (id) do update \
             set number = excluded.number where excluded.number < thing.number",
        );
        let done = upsert.bind(value).execute(&mut session).await.unwrap();
        done.rows_affected()
    };
    assert_eq!((put(5).await, put(9).await, put(3).await), (1, 0, 1));
    let read = "select number from thing";
    assert_eq!(number(&mut session, read).await, Some(3));
}

async fn nested_savepoints_roll_back_one_by_one(on: On) {
    let (_base, mut session) = with_things(on).await;
    for text in [
        "begin",
        "insert into thing values (1, 1)",
        "savepoint outside",
        "insert into thing values (2, 2)",
        "savepoint inside",
        "insert into thing values (3, 3)",
        "rollback to inside",
        "release inside",
        "insert into thing values (4, 4)",
        "release outside",
        "savepoint last",
        "insert into thing values (5, 5)",
        "rollback to last",
        "commit",
    ] {
        session.execute(text).await.unwrap();
    }
    let sum = "select cast(sum(number) as bigint) from thing";
    assert_eq!(number(&mut session, sum).await, Some(1 + 2 + 4));
}

async fn flags_are_whole_numbers_because_booleans_are_unreadable_on_sqlite(on: On) {
    let (_base, mut session) = with_things(on).await;
    session
        .execute("create table flag (plain boolean, number bigint)")
        .await
        .unwrap();
    session
        .execute("insert into flag values (true, 1)")
        .await
        .unwrap();
    let row = session.fetch_one("select plain from flag").await;
    let plain = row.and_then(|row| row.try_get::<bool, _>(0));
    match on {
        On::Postgres => assert!(plain.unwrap()),
        On::Sqlite => assert!(plain.is_err()),
    }
    let flag = "select number from flag";
    assert_eq!(number(&mut session, flag).await, Some(1));
}

async fn overflow_is_refused_by_the_upper_bound(on: On) {
    let (_base, mut session) = with_things(on).await;
    session
        .execute("create table bounded (number bigint check (number between 0 and 1000000000000))")
        .await
        .unwrap();
    for text in [
        "insert into bounded values (1)",
        "insert into thing values (1, 9223372036854775807)",
    ] {
        session.execute(text).await.unwrap();
    }
    let added = session
        .execute("update thing set number = number + 1")
        .await;
    match on {
        On::Postgres => {
            added.unwrap_err();
        }
        // Silently a floating-point number: only a bound keeps amounts whole.
        On::Sqlite => {
            added.unwrap();
            let real = "select count(*) from thing where typeof(number) = 'real'";
            assert_eq!(number(&mut session, real).await, Some(1));
        }
    }
    let added = "update bounded set number = number + 9223372036854775807";
    session.execute(added).await.unwrap_err();
    assert_eq!(
        number(&mut session, "select number from bounded").await,
        Some(1)
    );
}

/// So a closure must end at its first SQL error.
#[tokio::test]
async fn commit_after_an_error_is_fine_on_postgres_and_stores_nothing() {
    let (_base, mut session) = with_things(On::Postgres).await;
    let mut transaction = session.begin().await.unwrap();
    let insert = "insert into thing values (1, 1)";
    transaction.execute(insert).await.unwrap();
    transaction.execute(insert).await.unwrap_err();
    transaction.commit().await.unwrap();
    let count = "select count(*) from thing";
    assert_eq!(number(&mut session, count).await, Some(0));
}

/// A purchase inserts rows that reference members while another one has the wallet or member locked.
#[tokio::test]
async fn reference_waits_for_rows_locked_for_update_but_not_for_no_key_update() {
    let (base, mut holding) = with_things(On::Postgres).await;
    for text in crowd(1, 2, 0) {
        holding.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
    }
    let mut inserting = session(&base.url).await;
    inserting
        .execute("set lock_timeout = '200ms'")
        .await
        .unwrap();
    for (lock, is_blocked) in [("for update", true), ("for no key update", false)] {
        holding.execute("begin").await.unwrap();
        let text = format!("select id from member where id = 1 {lock}");
        holding.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
        let insert =
            "insert into upload (key, member_id, created_at, expires_at) values ('k', 1, 1, 1)";
        let inserted = inserting.execute(insert).await;
        assert_eq!(inserted.is_err(), is_blocked, "{lock}: {inserted:?}");
        if let Err(error) = inserted {
            assert!(market_api::db::is_lock_timeout(&error), "{error}");
        }
        holding.execute("rollback").await.unwrap();
    }
}

/// A buyer who skips locked rows finds an offer sold out that has nearly all of its units left.
#[tokio::test]
async fn skipping_locked_offers_finds_them_sold_out_falsely() {
    let (base, mut first) = with_things(On::Postgres).await;
    first
        .execute("insert into thing values (1, 20)")
        .await
        .unwrap();
    let mut second = session(&base.url).await;
    first.execute("begin").await.unwrap();
    let buy = "update thing set number = number - 1 where id = 1 and number >= 1 returning number";
    assert_eq!(number(&mut first, buy).await, Some(19));

    let skipping =
        "select number from thing where id = 1 and number >= 1 for no key update skip locked";
    assert!(second.fetch_optional(skipping).await.unwrap().is_none());

    // A conditional update waits, and then finds what is left.
    let waiting = second.fetch_one(buy);
    let committing = async {
        let waits = "select count(*) from pg_stat_activity \
                     where datname = current_database() and wait_event_type = 'Lock'";
        while number(&mut first, waits).await != Some(1) {
            tokio::task::yield_now().await;
        }
        first.execute("commit").await.unwrap();
    };
    let both = async { tokio::join!(waiting, committing) };
    let bounded = tokio::time::timeout(std::time::Duration::from_secs(30), both);
    let (left, ()) = bounded.await.unwrap();
    assert_eq!(left.unwrap().try_get::<i64, _>(0).unwrap(), 18);
}

/// An error may make SQLite drop the whole transaction: later savepoints would commit one by one, and writes
/// would be answered before a COMMIT. So the group fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_fails_when_sqlite_drops_its_transaction() {
    let (base, mut session) = with_things(On::Sqlite).await;
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let gates = (Arc::clone(&entered), Arc::clone(&leave));
    // While this one has the writer, the others arrive; then they are one group.
    let first = base.db.write(gates, |(entered, leave), _| {
        Box::pin(async move {
            entered.wait().await;
            leave.wait().await;
            Ok::<(), Abort<()>>(())
        })
    });
    let write = |text: &'static str| {
        base.db.write(text, |text, tx| {
            Box::pin(async move {
                query(*text).execute(tx.connection()).await?;
                Ok::<(), Abort<()>>(())
            })
        })
    };
    let group = [
        "insert into thing values (1, 1)",
        "insert or rollback into thing values (1, 1)",
        "insert into thing values (3, 3)",
    ];
    let group = async {
        entered.wait().await;
        let mut group = join_all(group.map(write));
        assert!(futures_util::poll!(&mut group).is_pending());
        leave.wait().await;
        group.await
    };
    let (first, group) = tokio::join!(first, group);
    first.unwrap();
    for written in group {
        assert!(
            matches!(written, Err(WriteError::Db(DbError::Unavailable(_)))),
            "{written:?}"
        );
    }
    let count = "select count(*) from thing";
    assert_eq!(number(&mut session, count).await, Some(0));
    write("insert into thing values (4, 4)").await.unwrap();
    assert_eq!(number(&mut session, count).await, Some(1));
}
