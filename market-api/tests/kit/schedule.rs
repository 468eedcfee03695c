//! Scheduled jobs: each runs once, on one instance, also after a crash.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use market_api::db::{Abort, Db, DbError, WriteError};
use market_api::metrics::Metrics;
use market_api::schedule::{
    Due, Handler, HandlerError, Lost, Outcome, Schedule, Worker, put, remove,
};
use shared::clock::{Clock as _, UnixMillis};
use sqlx::{Row as _, query};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::on_both;
use crate::support::{Base, On, eventually, noon, open};

on_both! {
    due_job_runs_once,
    several_instances_share_the_work,
    job_of_a_dead_instance_runs_on_another,
    failed_job_is_retried_later,
    job_may_be_rescheduled,
    cancelled_job_does_not_run,
    earliest_due_time_wins,
    jobs_without_a_handler_stay,
    job_whose_lease_is_lost_is_not_finished,
    slow_name_does_not_hold_up_another,
    jobs_of_a_name_run_concurrently_up_to_its_bound,
    any_number_of_names_is_served,
    impossible_count_of_attempts_is_a_defect,
}

type Seen = Arc<Mutex<Vec<String>>>;

fn later(seconds: u64) -> UnixMillis {
    noon().saturating_add(Duration::from_secs(seconds))
}

async fn plan(db: &Db, name: &'static str, key: &str, at: UnixMillis) {
    let planned = db.write((name, key.to_owned(), at), |(name, key, at), tx| {
        Box::pin(async move {
            put(tx, name, key, *at, "body").await?;
            Ok::<_, Abort<()>>(())
        })
    });
    planned.await.unwrap();
}

async fn rows(db: &Db) -> i64 {
    let mut connection = db.read().await.unwrap();
    let row = query("select count(*) from schedule").fetch_one(&mut *connection);
    row.await.unwrap().try_get(0).unwrap()
}

fn worker(name: &'static str, at_once: usize, handler: Handler) -> Worker {
    Worker {
        name,
        at_once,
        handler,
    }
}

/// An instance whose handler records each run and returns this outcome.
fn instance(
    base: &Base,
    seen: &Seen,
    outcome: impl Fn(&Due) -> Result<Outcome, HandlerError> + Send + Sync + 'static,
) -> Schedule {
    let seen = Arc::clone(seen);
    let outcome = Arc::new(outcome);
    let handler: Handler = Box::new(move |due| {
        let (seen, outcome) = (Arc::clone(&seen), Arc::clone(&outcome));
        Box::pin(async move {
            assert_eq!(due.body, "body");
            let outcome = outcome(&due);
            seen.lock().unwrap().push(due.key);
            outcome
        })
    });
    let metrics = Arc::new(Metrics::new());
    Schedule::new(base.db.clone(), metrics, vec![worker("test", 16, handler)])
}

fn done(_: &Due) -> Result<Outcome, HandlerError> {
    Ok(Outcome::Done)
}

async fn due_job_runs_once(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    let schedule = instance(&base, &seen, done);
    plan(&base.db, "test", "soon", later(10)).await;
    plan(&base.db, "test", "now", later(0)).await;
    assert_eq!(schedule.work().await.unwrap(), 1);
    assert_eq!(schedule.work().await.unwrap(), 0);
    base.clock.advance(Duration::from_secs(10));
    assert_eq!(schedule.work().await.unwrap(), 1);
    assert_eq!(*seen.lock().unwrap(), ["now", "soon"]);
    assert_eq!(rows(&base.db).await, 0);
}

async fn several_instances_share_the_work(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    for n in 0..100 {
        plan(&base.db, "test", &format!("{n:03}"), later(0)).await;
    }
    let mut all = JoinSet::new();
    for _ in 0..5 {
        let schedule = instance(&base, &seen, done);
        all.spawn(async move { while schedule.work().await.unwrap() > 0 {} });
    }
    all.join_all().await;
    let mut did = seen.lock().unwrap().clone();
    did.sort();
    let expected: Vec<_> = (0..100).map(|n| format!("{n:03}")).collect();
    assert_eq!(did, expected, "each once");
    assert_eq!(rows(&base.db).await, 0);
}

async fn job_of_a_dead_instance_runs_on_another(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    plan(&base.db, "test", "k", later(0)).await;
    // The instance dies while the job runs: the future is dropped.
    let handler: Handler = Box::new(|_| Box::pin(std::future::pending()));
    let dying = Schedule::new(
        base.db.clone(),
        Arc::new(Metrics::new()),
        vec![worker("test", 1, handler)],
    );
    let cut = tokio::time::timeout(Duration::from_millis(300), dying.work()).await;
    assert!(cut.is_err());
    let other = instance(&base, &seen, done);
    assert_eq!(other.work().await.unwrap(), 0, "its lease holds");
    base.clock.advance(Duration::from_secs(62));
    assert_eq!(other.work().await.unwrap(), 1);
    assert_eq!(*seen.lock().unwrap(), ["k"]);
    assert_eq!(rows(&base.db).await, 0);
}

async fn failed_job_is_retried_later(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let schedule = instance(&base, &seen, move |due| {
        let before = counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(due.attempts, u32::try_from(before).unwrap() + 1);
        if before < 2 {
            return Err(HandlerError("away".to_owned()));
        }
        Ok(Outcome::Done)
    });
    plan(&base.db, "test", "k", later(0)).await;
    for seconds in [5, 10] {
        assert_eq!(schedule.work().await.unwrap(), 1);
        assert_eq!(schedule.work().await.unwrap(), 0);
        base.clock.advance(Duration::from_secs(seconds));
    }
    assert_eq!(schedule.work().await.unwrap(), 1);
    assert_eq!(rows(&base.db).await, 0);
}

async fn job_may_be_rescheduled(on: On) {
    let base = open(on).await;
    let (seen, clock) = (Seen::default(), Arc::clone(&base.clock));
    let schedule = instance(&base, &seen, move |due| {
        assert_eq!(due.attempts, 1, "an end, not a failure");
        let next = clock.unix_millis().saturating_add(Duration::from_secs(60));
        Ok(Outcome::Again(next))
    });
    plan(&base.db, "test", "hourly", later(0)).await;
    for _ in 0..3 {
        assert_eq!(schedule.work().await.unwrap(), 1);
        assert_eq!(schedule.work().await.unwrap(), 0);
        base.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
}

async fn cancelled_job_does_not_run(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    plan(&base.db, "test", "k", later(0)).await;
    let removed = base.db.write((), |(), tx| {
        Box::pin(async move {
            remove(tx, "test", "k").await?;
            Ok::<_, Abort<()>>(())
        })
    });
    removed.await.unwrap();
    assert_eq!(instance(&base, &seen, done).work().await.unwrap(), 0);
}

async fn earliest_due_time_wins(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    for seconds in [20, 10, 30] {
        plan(&base.db, "test", "k", later(seconds)).await;
    }
    base.clock.advance(Duration::from_secs(10));
    let schedule = instance(&base, &seen, done);
    assert_eq!(schedule.work().await.unwrap(), 1);
    assert_eq!(rows(&base.db).await, 0);
}

async fn jobs_without_a_handler_stay(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    // More jobs than one poll leases.
    for n in 0..40 {
        plan(&base.db, "of a newer version", &n.to_string(), later(0)).await;
    }
    plan(&base.db, "test", "k", later(1)).await;
    base.clock.advance(Duration::from_secs(1));
    assert_eq!(instance(&base, &seen, done).work().await.unwrap(), 1);
    assert_eq!(*seen.lock().unwrap(), ["k"]);
    assert_eq!(rows(&base.db).await, 40);
}

/// A handler beyond its lease: another instance holds the row, so its writes must be rolled back.
async fn job_whose_lease_is_lost_is_not_finished(on: On) {
    let base = open(on).await;
    plan(&base.db, "test", "k", later(0)).await;
    let taken: Arc<Mutex<Vec<Due>>> = Arc::default();
    let keep = Arc::clone(&taken);
    let handler: Handler = Box::new(move |due| {
        keep.lock().unwrap().push(due);
        Box::pin(std::future::pending())
    });
    let slow = Schedule::new(
        base.db.clone(),
        Arc::new(Metrics::new()),
        vec![worker("test", 1, handler)],
    );
    for _ in 0..2 {
        let cut = tokio::time::timeout(Duration::from_millis(300), slow.work()).await;
        assert!(cut.is_err());
        base.clock.advance(Duration::from_secs(62));
    }
    let [first, second]: [Due; 2] = taken.lock().unwrap().clone().try_into().unwrap();
    let finish = |due: Due| {
        base.db.write(due, |due, tx| {
            Box::pin(async move {
                query("insert into audit (actor_id, action, target, created_at) values (1, 'x', 'x', 1)")
                    .execute(tx.connection())
                    .await?;
                due.finish_in(tx).await
            })
        })
    };
    assert!(matches!(
        finish(first).await,
        Err(WriteError::Refused(Lost))
    ));
    finish(second).await.unwrap();
    let mut connection = base.db.read().await.unwrap();
    let row = query("select count(*) from audit").fetch_one(&mut *connection);
    let effects: i64 = row.await.unwrap().try_get(0).unwrap();
    assert_eq!(effects, 1);
}

/// One handler waits until other jobs have run.
async fn slow_name_does_not_hold_up_another(on: On) {
    let base = open(on).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let waits = Arc::clone(&gate);
    let slow: Handler = Box::new(move |_| {
        let gate = Arc::clone(&waits);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(Outcome::Done)
        })
    });
    let notes = Arc::clone(&seen);
    let quick: Handler = Box::new(move |due| {
        notes.lock().unwrap().push(due.key);
        Box::pin(async { Ok(Outcome::Done) })
    });
    let workers = vec![worker("slow", 1, slow), worker("quick", 1, quick)];
    let schedule = Schedule::new(base.db.clone(), Arc::new(Metrics::new()), workers);
    plan(&base.db, "slow", "a", later(0)).await;
    plan(&base.db, "slow", "b", later(0)).await;
    Arc::new(schedule).start(&base.drain);
    for key in ["1", "2", "3"] {
        plan(&base.db, "quick", key, later(0)).await;
        eventually("the other name's work is done", async || {
            seen.lock().unwrap().iter().any(|done| done == key)
        })
        .await;
    }
    eventually("only the slow rows are left", async || {
        rows(&base.db).await == 2
    })
    .await;
    gate.add_permits(2);
    eventually("nothing is left", async || rows(&base.db).await == 0).await;
}

async fn jobs_of_a_name_run_concurrently_up_to_its_bound(on: On) {
    let base = open(on).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, maximum) = (Arc::clone(&running), Arc::clone(&most));
    // Two jobs wait for each other, so neither can end alone.
    let pair = Arc::new(Barrier::new(2));
    let handler: Handler = Box::new(move |_| {
        let (running, most) = (Arc::clone(&counts), Arc::clone(&maximum));
        let pair = Arc::clone(&pair);
        Box::pin(async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            pair.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Outcome::Done)
        })
    });
    for n in 0..6 {
        plan(&base.db, "test", &n.to_string(), later(0)).await;
    }
    let workers = vec![worker("test", 2, handler)];
    let schedule = Schedule::new(base.db.clone(), Arc::new(Metrics::new()), workers);
    for _ in 0..3 {
        assert_eq!(schedule.work().await.unwrap(), 2);
    }
    assert_eq!(schedule.work().await.unwrap(), 0);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(rows(&base.db).await, 0);
}

async fn any_number_of_names_is_served(on: On) {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let base = open(on).await;
    let workers = NAMES.map(|name| {
        let handler: Handler = Box::new(|_| Box::pin(async { Ok(Outcome::Done) }));
        worker(name, 1, handler)
    });
    for name in NAMES {
        plan(&base.db, name, "", later(0)).await;
    }
    let metrics = Arc::new(Metrics::new());
    let schedule = Schedule::new(base.db.clone(), metrics, workers.into());
    assert_eq!(schedule.work().await.unwrap(), NAMES.len());
    assert_eq!(rows(&base.db).await, 0);
}

/// A number that no program of ours writes is reported, not read as another one.
async fn impossible_count_of_attempts_is_a_defect(on: On) {
    let base = open(on).await;
    let seen = Seen::default();
    plan(&base.db, "test", "k", later(0)).await;
    let broken = base.db.write((), |(), tx| {
        Box::pin(async move {
            query("update schedule set attempts = -5")
                .execute(tx.connection())
                .await?;
            Ok::<_, Abort<()>>(())
        })
    });
    broken.await.unwrap();
    let worked = instance(&base, &seen, done).work().await;
    assert!(matches!(worked, Err(DbError::Defect(_))), "{worked:?}");
    assert!(seen.lock().unwrap().is_empty());
}
