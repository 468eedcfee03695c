//! Transactions on both databases.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    reason = "callers that leave are tasks of their own"
)]

#[path = "../support/mod.rs"]
mod support;

mod locks;

use std::sync::Arc;
use std::time::Duration;

use market_api::db::{Abort, Db, DbError, DbUrl, Lock, WriteError};
use market_api::locking;
use market_api::metrics::Metrics;
use shared::clock::Month;
use shared::ids::MemberId;
use sqlx::{Connection as _, Executor as _, Row as _, query};
use support::{Base, On, eventually, open, session};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

on_both! {
    committed_data_is_read,
    refusal_rolls_back_its_own_write_only,
    constraint_violation_rolls_back_its_own_write_only,
    writes_at_once_lose_nothing,
    write_continues_when_its_caller_is_cancelled,
    several_instances_make_the_tables_at_once,
    every_migration_is_applied_in_its_order,
    positions_of_hotspots_from_before_are_rounded,
    books_refuse_to_be_changed,
    panicking_closure_affects_no_other_write,
    invalid_sql_is_a_defect,
    amounts_beyond_their_caps_are_refused,
    month_and_time_are_read_from_the_clock_once,
    writes_are_counted_by_how_they_end,
}

async fn member(db: &Db, name: &str) -> i64 {
    let added = db.write(name.to_owned(), |name, tx| {
        Box::pin(async move {
            let now = tx.now().get();
            let row = query(
                "insert into member (provider, provider_id, name, role, created_at, updated_at) \
                 values ('KAKAO', $1, $1, 'ROLE_MEMBER', $2, $2) returning id",
            )
            .bind(name.as_str())
            .bind(now)
            .fetch_one(tx.connection())
            .await?;
            Ok::<i64, Abort<()>>(row.try_get(0)?)
        })
    });
    added.await.unwrap()
}

async fn members(db: &Db) -> i64 {
    let mut connection = db.read().await.unwrap();
    let row = query("select count(*) from member").fetch_one(&mut *connection);
    row.await.unwrap().try_get(0).unwrap()
}

async fn committed_data_is_read(on: On) {
    let base = open(on).await;
    let first = member(&base.db, "first").await;
    let second = member(&base.db, "second").await;
    assert!(first < second);
    assert_eq!(members(&base.db).await, 2);
}

/// Valid writes, concurrent with `odd`, so that they may share its group.
async fn crowd<T: Send + 'static>(base: &Base, odd: impl Future<Output = T> + Send + 'static) -> T {
    let mut others = JoinSet::new();
    for n in 0..20 {
        let db = base.db.clone();
        others.spawn(async move { member(&db, &format!("member {n}")).await });
    }
    let odd = tokio::spawn(odd).await.unwrap();
    others.join_all().await;
    odd
}

async fn refusal_rolls_back_its_own_write_only(on: On) {
    let base = open(on).await;
    let db = base.db.clone();
    let refused = crowd(&base, async move {
        db.write((), |(), tx| {
            Box::pin(async move {
                query(
                    "insert into member (provider, provider_id, name, role, created_at, updated_at) \
                     values ('NAVER', 'x', 'x', 'ROLE_MEMBER', 1, 1)",
                )
                .execute(tx.connection())
                .await?;
                Err::<(), _>(Abort::Refused("no"))
            })
        })
        .await
    });
    let refused = refused.await;
    assert!(
        matches!(refused, Err(WriteError::Refused("no"))),
        "{refused:?}"
    );
    assert_eq!(members(&base.db).await, 20);
}

async fn constraint_violation_rolls_back_its_own_write_only(on: On) {
    let base = open(on).await;
    let db = base.db.clone();
    let broken = crowd(&base, async move {
        db.write((), |(), tx| {
            Box::pin(async move {
                for role in ["ROLE_MEMBER", "KING"] {
                    query(
                        "insert into member (provider, provider_id, name, role, created_at, updated_at) \
                         values ('NAVER', $1, 'x', $1, 1, 1)",
                    )
                    .bind(role)
                    .execute(tx.connection())
                    .await?;
                }
                Ok::<(), Abort<()>>(())
            })
        })
        .await
    });
    let broken = broken.await;
    assert!(
        matches!(broken, Err(WriteError::Db(DbError::Defect(_)))),
        "{broken:?}"
    );
    assert_eq!(members(&base.db).await, 20);
}

/// A write with invalid SQL.
async fn write_nonsense(db: &Db) -> Result<(), WriteError<()>> {
    let broken = db.write((), |(), tx| {
        Box::pin(async move {
            query("select nothing from nowhere")
                .execute(tx.connection())
                .await?;
            Ok(())
        })
    });
    broken.await
}

async fn invalid_sql_is_a_defect(on: On) {
    let base = open(on).await;
    let broken = write_nonsense(&base.db).await;
    assert!(
        matches!(broken, Err(WriteError::Db(DbError::Defect(_)))),
        "{broken:?}"
    );
    member(&base.db, "after").await;
}

async fn amounts_beyond_their_caps_are_refused(on: On) {
    let base = open(on).await;
    let id = member(&base.db, "rich").await;
    for amount in [-1, 1_000_000_000_001, i64::MAX] {
        let refused = base.db.write((id, amount), |(id, amount), tx| {
            Box::pin(async move {
                query("insert into wallet (member_id, charged) values ($1, $2)")
                    .bind(*id)
                    .bind(*amount)
                    .execute(tx.connection())
                    .await?;
                Ok::<(), Abort<()>>(())
            })
        });
        let refused = refused.await;
        assert!(
            matches!(refused, Err(WriteError::Db(DbError::Defect(_)))),
            "{amount}: {refused:?}"
        );
    }
}

async fn writes_at_once_lose_nothing(on: On) {
    let base = open(on).await;
    let id = member(&base.db, "counter").await;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let db = base.db.clone();
        tasks.spawn(async move {
            let added = db.write(id, |id, tx| {
                Box::pin(async move {
                    // Read, compute, write: only the lock prevents a lost update.
                    let lock = Lock::Member(MemberId::try_from(*id).unwrap());
                    let text = locking!(tx, [lock], "select rating_sum from member where id = $1");
                    let row = query(text).bind(*id).fetch_one(tx.connection()).await?;
                    let sum: i64 = row.try_get(0)?;
                    query("update member set rating_sum = $2 where id = $1")
                        .bind(*id)
                        .bind(sum + 1)
                        .execute(tx.connection())
                        .await?;
                    Ok::<(), Abort<()>>(())
                })
            });
            added.await.unwrap();
        });
    }
    tasks.join_all().await;
    let mut connection = base.db.read().await.unwrap();
    let row = query("select rating_sum from member where id = $1").bind(id);
    let sum: i64 = row
        .fetch_one(&mut *connection)
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    assert_eq!(sum, 100);
}

async fn write_continues_when_its_caller_is_cancelled(on: On) {
    let base = open(on).await;
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let db = base.db.clone();
    let gates = (Arc::clone(&entered), Arc::clone(&leave));
    let caller = tokio::spawn(async move {
        db.write(gates, |(entered, leave), tx| {
            Box::pin(async move {
                entered.wait().await;
                leave.wait().await;
                query(
                    "insert into member (provider, provider_id, name, role, created_at, updated_at) \
                     values ('NAVER', 'x', 'x', 'ROLE_MEMBER', 1, 1)",
                )
                .execute(tx.connection())
                .await?;
                Ok::<(), Abort<()>>(())
            })
        })
        .await
    });
    entered.wait().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    leave.wait().await;
    // A later write in the same queue, or one after all tasks, finds it.
    member(&base.db, "later").await;
    let idle = async {
        while base
            .drain
            .running()
            .iter()
            .any(|(name, _)| *name == "db-write")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), idle)
        .await
        .unwrap();
    assert_eq!(members(&base.db).await, 2);
}

/// Opens the database as a starting instance does.
async fn open_again(url: &DbUrl) -> Result<Db, DbError> {
    let clock = Arc::new(shared::clock::SystemClock);
    let metrics = Arc::new(Metrics::new());
    Db::open(url, clock, metrics, &shared::drain::Drain::new()).await
}

async fn several_instances_make_the_tables_at_once(on: On) {
    let instances = match on {
        On::Postgres => 5,
        On::Sqlite => 1, // one process has the file
    };
    let folder = tempfile::tempdir().unwrap();
    let url = support::fresh_url(on, &folder).await;
    let opening = (0..instances).map(async |_| members(&open_again(&url).await.unwrap()).await);
    let found = futures_util::future::join_all(opening).await;
    assert_eq!(found, vec![0; instances]);
    // Again, on existing tables.
    let again = open_again(&url).await.unwrap();
    assert_eq!(members(&again).await, 0);
}

async fn books_refuse_to_be_changed(on: On) {
    let base = open(on).await;
    let written = base.db.write((), |(), tx| {
        Box::pin(async move {
            query("insert into journal (kind, ref_id, created_at) values ('test', 1, 1)")
                .execute(tx.connection())
                .await?;
            query(
                "insert into posting (journal_id, line, account, amount) values (1, 1, 'bank', 5)",
            )
            .execute(tx.connection())
            .await?;
            Ok::<(), Abort<()>>(())
        })
    });
    written.await.unwrap();
    for text in [
        "update posting set amount = 6",
        "delete from posting",
        "update journal set ref_id = 2",
        "delete from journal",
    ] {
        let changed = base.db.write(text, |text, tx| {
            Box::pin(async move {
                query(*text).execute(tx.connection()).await?;
                Ok::<(), Abort<()>>(())
            })
        });
        let changed = changed.await;
        assert!(
            matches!(changed, Err(WriteError::Db(_))),
            "{text}: {changed:?}"
        );
    }
    let mut connection = base.db.read().await.unwrap();
    let row = query("select amount from posting").fetch_one(&mut *connection);
    let amount: i64 = row.await.unwrap().try_get(0).unwrap();
    assert_eq!(amount, 5);
}

async fn panicking_closure_affects_no_other_write(on: On) {
    let base = open(on).await;
    let ended = base
        .db
        .write((), |(), _tx| Box::pin(async move { panic!("on purpose") }));
    let ended: Result<(), WriteError<()>> = ended.await;
    assert!(
        matches!(ended, Err(WriteError::Db(DbError::Unavailable(_)))),
        "{ended:?}"
    );
    member(&base.db, "after").await;
    assert_eq!(members(&base.db).await, 1);
}

async fn month_and_time_are_read_from_the_clock_once(on: On) {
    let base = open(on).await;
    let read = base.db.write((), |(), tx| {
        Box::pin(async move { Ok::<_, Abort<()>>((tx.now(), tx.month())) })
    });
    assert_eq!(
        read.await.unwrap(),
        (support::noon(), Month::try_from(202_611).unwrap())
    );
    base.clock.advance(Duration::from_secs(30 * 24 * 3600));
    let read = base.db.write((), |(), tx| {
        Box::pin(async move { Ok::<_, Abort<()>>(tx.month()) })
    });
    assert_eq!(read.await.unwrap().get(), 202_612);
    let _ = &base.url;
}

async fn writes_are_counted_by_how_they_end(on: On) {
    let base = open(on).await;
    member(&base.db, "one").await;
    let refused = base.db.write((), |(), _| {
        Box::pin(async { Err::<(), _>(Abort::Refused("no")) })
    });
    assert!(refused.await.is_err());
    assert!(write_nonsense(&base.db).await.is_err());
    let panicked = base
        .db
        .write((), |(), _tx| Box::pin(async move { panic!("on purpose") }));
    let panicked: Result<(), WriteError<()>> = panicked.await;
    assert!(panicked.is_err());
    let lost = match on {
        On::Postgres => "lost", // its task ended with it
        On::Sqlite => "unavailable",
    };
    let metrics = &base.metrics.db;
    for outcome in ["kept", "refused", "defect", lost] {
        let counted = metrics.writes.with_label_values(&[outcome]).get();
        assert_eq!(counted, 1, "{outcome}");
    }
    assert_eq!(metrics.writes_started.get(), 4);
    assert_eq!(metrics.write_seconds.get_sample_count(), 4);
    let mut connection = base.db.read().await.unwrap();
    query("select 1").execute(&mut *connection).await.unwrap();
    let state = |state| metrics.connections.with_label_values(&[state]).get();
    // The pool takes a connection back in a task of its own.
    eventually("only this connection is used", async || {
        base.db.show_connections();
        state("used") == 1
    })
    .await;
    assert!(metrics.read_wait.get_sample_count() > 0);
}

/// SQLite only: a COMMIT waits for the disk, and there is one writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_share_a_commit() {
    let base = open(On::Sqlite).await;
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (db, gates) = (base.db.clone(), (Arc::clone(&entered), Arc::clone(&leave)));
    let first = tokio::spawn(async move {
        let held = db.write(gates, |(entered, leave), _| {
            Box::pin(async move {
                entered.wait().await;
                leave.wait().await;
                Ok::<(), Abort<()>>(())
            })
        });
        held.await
    });
    entered.wait().await;
    // While it occupies the writer, 40 more arrive: a polled write is in the queue.
    let names: Vec<_> = (0..40).map(|n| format!("member {n}")).collect();
    let more = names.iter().map(|name| member(&base.db, name));
    let mut more = futures_util::future::join_all(more);
    assert!(futures_util::poll!(&mut more).is_pending());
    leave.wait().await;
    first.await.unwrap().unwrap();
    more.await;
    assert_eq!(members(&base.db).await, 40);
    // One alone, then groups of 16, 16 and 8.
    assert_eq!(base.metrics.db.commits.get(), 4);
}

/// PostgreSQL only: two concurrent writers.
mod two_writers {
    use super::*;

    /// Locks a member without noting it, so that the lock order may be violated.
    const LOCK: &str = "select id from member where id = $1 for no key update";

    /// Locks two rows, one after the other, and waits for all others in between.
    async fn lock_both(
        db: Db,
        first: i64,
        second: i64,
        met: Arc<Barrier>,
    ) -> Result<(), WriteError<()>> {
        db.write((first, second, met), |(first, second, met), tx| {
            Box::pin(async move {
                for (nth, id) in [first, second].into_iter().enumerate() {
                    query(LOCK).bind(*id).fetch_one(tx.connection()).await?;
                    if nth == 0 {
                        // The first time only: in a rerun no other transaction waits.
                        tokio::time::timeout(Duration::from_millis(500), met.wait())
                            .await
                            .ok();
                    }
                }
                query("update member set rating_count = rating_count + 1 where id = $1")
                    .bind(*first)
                    .execute(tx.connection())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn deadlock_is_rerun() {
        let base = open(On::Postgres).await;
        let (a, b) = (member(&base.db, "a").await, member(&base.db, "b").await);
        let met = Arc::new(Barrier::new(2));
        let one = lock_both(base.db.clone(), a, b, Arc::clone(&met));
        let other = lock_both(base.db.clone(), b, a, met);
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
        let mut connection = base.db.read().await.unwrap();
        let row = query("select cast(sum(rating_count) as bigint) from member");
        let sum: i64 = row
            .fetch_one(&mut *connection)
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        assert_eq!(sum, 2);
        let reruns = base.metrics.db.reruns.with_label_values(&["deadlock"]);
        assert_eq!(reruns.get(), 1);
    }

    /// Another session builds the index of a large table: a starting instance waits, longer than any statement of
    /// a request may.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn instance_that_starts_waits_for_a_long_migration() {
        let base = open(On::Postgres).await;
        let DbUrl::Postgres(url) = &base.url else {
            panic!("{:?}", base.url)
        };
        let mut migrating = sqlx::AnyConnection::connect(url.expose()).await.unwrap();
        migrating
            .execute("begin; lock table _sqlx_migrations in access exclusive mode")
            .await
            .unwrap();
        let url = base.url.clone();
        let starting = tokio::spawn(async move { open_again(&url).await });
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let mut looking = base.db.read().await.unwrap();
        let waits_long = async {
            // The session time-outs are 2 and 5 seconds.
            let text = "select count(*) from pg_stat_activity where datname = current_database() \
                and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '5500 ms'";
            while !starting.is_finished() {
                look.tick().await;
                let row = query(text).fetch_one(&mut *looking).await.unwrap();
                if row.try_get::<i64, _>(0).unwrap() == 1 {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waits_long)
            .await
            .unwrap();
        migrating.execute("commit").await.unwrap();
        starting.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn lock_timeout_is_busy() {
        let base = open(On::Postgres).await;
        let id = member(&base.db, "a").await;
        let (locked, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let holder = {
            let (db, gates) = (
                base.db.clone(),
                (id, Arc::clone(&locked), Arc::clone(&leave)),
            );
            tokio::spawn(async move {
                db.write(gates, |(id, locked, leave), tx| {
                    Box::pin(async move {
                        query(LOCK).bind(*id).fetch_one(tx.connection()).await?;
                        locked.wait().await;
                        leave.wait().await;
                        Ok::<(), Abort<()>>(())
                    })
                })
                .await
            })
        };
        locked.wait().await;
        let waiting = base.db.write(id, |id, tx| {
            Box::pin(async move {
                query(LOCK).bind(*id).fetch_one(tx.connection()).await?;
                Ok::<(), Abort<()>>(())
            })
        });
        let waiting = waiting.await;
        assert!(
            matches!(waiting, Err(WriteError::Db(DbError::Busy))),
            "{waiting:?}"
        );
        leave.wait().await;
        holder.await.unwrap().unwrap();
    }

    async fn lock(db: &Db, id: i64) -> Result<(), WriteError<()>> {
        db.write(id, |id, tx| {
            Box::pin(async move {
                query(LOCK).bind(*id).fetch_one(tx.connection()).await?;
                Ok(())
            })
        })
        .await
    }

    /// Another program holds a row lock, and more writes wait for it than the pool has connections.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pool_recovers_from_waiting_for_a_lock_of_another_program() {
        let base = open(On::Postgres).await;
        let id = member(&base.db, "a").await;
        let DbUrl::Postgres(url) = &base.url else {
            panic!("{:?}", base.url)
        };
        let mut other = sqlx::AnyConnection::connect(url.expose()).await.unwrap();
        other
            .execute("begin; select id from member for update")
            .await
            .unwrap();
        let crowd = |count: usize| (0..count).map(|_| lock(&base.db, id));
        for waited in futures_util::future::join_all(crowd(40)).await {
            assert!(
                matches!(waited, Err(WriteError::Db(DbError::Busy))),
                "{waited:?}"
            );
        }
        assert_eq!(members(&base.db).await, 1, "reads are served meanwhile");
        other.execute("commit").await.unwrap();
        // As many as connections: each one still works.
        for locked in futures_util::future::join_all(crowd(12)).await {
            locked.unwrap();
        }
        let busy = base.metrics.db.reruns.with_label_values(&["deadlock"]);
        assert_eq!(busy.get(), 0, "a wait that ran out is no collision");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn statement_timeout_is_busy_and_its_connection_is_reused() {
        const SLEEP: &str = "select cast(pg_sleep(120) as text)";
        let base = open(On::Postgres).await;
        let writing = base.db.write((), |(), tx| {
            Box::pin(async move {
                query(SLEEP).execute(tx.connection()).await?;
                Ok::<(), Abort<()>>(())
            })
        });
        let reading = async {
            let mut connection = base.db.read().await.unwrap();
            let slow = query(SLEEP).execute(&mut *connection).await.unwrap_err();
            let next = query("select 1").execute(&mut *connection).await;
            (DbError::from(slow), next.map(drop))
        };
        let (written, (read, next)) = tokio::join!(writing, reading);
        assert!(
            matches!(written, Err(WriteError::Db(DbError::Busy))),
            "{written:?}"
        );
        assert!(matches!(read, DbError::Busy), "{read:?}");
        next.unwrap();
        member(&base.db, "a").await;
        assert_eq!(members(&base.db).await, 1);
    }
}

/// No file can be created there, not even by root.
#[tokio::test]
async fn error_of_a_read_only_disk_names_path_and_remedy() {
    let url = DbUrl::Sqlite("/proc/self/market.db".into());
    let refused = open_again(&url).await.unwrap_err().to_string();
    for part in ["/proc/self/market.db", "a disk that takes writes"] {
        assert!(refused.contains(part), "{part} is missing in: {refused}");
    }
}

async fn every_migration_is_applied_in_its_order(on: On) {
    let base = open(on).await;
    let mut connection = base.db.read().await.unwrap();
    let rows = query("select version, description from _sqlx_migrations order by version");
    let rows = rows.fetch_all(&mut *connection).await.unwrap();
    let name = |row: &sqlx::any::AnyRow| {
        let (version, name): (i64, String) = (row.try_get(0).unwrap(), row.try_get(1).unwrap());
        format!("{version:04}_{}", name.replace(' ', "_"))
    };
    let applied: Vec<_> = rows.iter().map(name).collect();
    assert_eq!(
        applied,
        [
            "0001_members",
            "0002_products",
            "0003_kit",
            "0004_money",
            "0005_uploads",
            "0006_chat_rooms",
            "0007_login_outcomes",
            "0008_list_changes",
            "0009_purchases",
            "0010_scrap_indexes",
            "0011_room_names",
            "0012_relay",
            "0013_payments",
            "0014_audit",
            "0015_reviews",
            "0016_hotspots",
        ]
    );
}

/// A database as it was before the migration of hotspots, with spots that have moved.
async fn before_hotspots(url: &DbUrl) {
    let db = open_again(url).await.unwrap();
    let seller = member(&db, "a").await;
    db.close().await;
    drop(db);
    let mut before = session(url).await;
    let mut change = async |text: &str| {
        before
            .execute(sqlx::AssertSqlSafe(text.to_owned()))
            .await
            .unwrap();
    };
    for column in ["exact_latitude", "exact_longitude", "exact_address"] {
        change(&format!("alter table spot drop column {column}")).await;
    }
    change("delete from _sqlx_migrations where version >= 16").await;
    for (id, kind) in [(1, "WIFI"), (2, "HOTSPOT")] {
        change(&format!(
            "insert into product (id, member_id, kind, state, price, created_at, updated_at) \
             values ({id}, {seller}, '{kind}', 'ACTIVE', 1, 1, 1)"
        ))
        .await;
        change(&format!(
            "insert into spot (product_id, title, content, latitude, longitude, address, opens_at, \
             closes_at, open_minute, close_minute, capacity) \
             values ({id}, 't', '', 35.1234567, -129.7654321, 'here', 0, 0, 0, 0, 1)"
        ))
        .await;
        change(&format!(
            "update spot set latitude = 37.5123456, longitude = 127.0345678 where product_id = {id}"
        ))
        .await;
    }
    change("delete from list_change").await;
    before.close().await.unwrap();
}

async fn positions_of_hotspots_from_before_are_rounded(on: On) {
    let folder = tempfile::tempdir().unwrap();
    let url = support::fresh_url(on, &folder).await;
    before_hotspots(&url).await;
    drop(open_again(&url).await.unwrap());
    let mut connection = session(&url).await;
    let spots = "select product_id, latitude, longitude, address, exact_latitude, exact_longitude, \
        exact_address from spot order by product_id";
    let rows = query(spots).fetch_all(&mut connection).await.unwrap();
    let read = |row: &sqlx::any::AnyRow| {
        let at: (i64, f64, f64, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
        let exact: (Option<f64>, Option<f64>, Option<String>) =
            (row.get(4), row.get(5), row.get(6));
        (at, exact)
    };
    let here = "here".to_owned();
    let expected = [
        (
            (1, 37.512_345_6, 127.034_567_8, here.clone()),
            (None, None, None),
        ),
        (
            (2, 37.512, 127.035, String::new()),
            (Some(37.512_345_6), Some(127.034_567_8), Some(here)),
        ),
    ];
    assert_eq!(rows.iter().map(read).collect::<Vec<_>>(), expected);
    let history = "select product_id, latitude, longitude from sort_key_history \
        where latitude is not null order by product_id, id";
    let rows = query(history).fetch_all(&mut connection).await.unwrap();
    let rows: Vec<(i64, f64, f64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let expected = [
        (1, 35.123_456_7, -129.765_432_1),
        (2, 35.123, -129.765),
        (2, 37.512, 127.035),
    ];
    assert_eq!(rows, expected);
    // The index of positions and the cached lists have followed.
    if matches!(on, On::Sqlite) {
        let index = "select count(*) from spot_place where product_id = 2 \
            and latitude_min between 37.5119 and 37.5121";
        let row = query(index).fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 1);
    }
    let noted = "select count(*) from list_change where space = 'HOTSPOT'";
    let row = query(noted).fetch_one(&mut connection).await.unwrap();
    assert!(row.get::<i64, _>(0) > 0);
}
