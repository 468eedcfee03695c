//! The relay of several instances, and operators beside them.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use market_api::db::DbUrl;
use market_api::relay::RelayState;
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

use super::{Instance, count, happen, in_order, relayed_all};
use crate::chat::{Chat, Mode};
use crate::on_both;
use crate::support::{Base, On, eventually, open};

on_both!(operator_lists_and_resends_dead_events);

/// Longer than the lease.
const LATER: Duration = Duration::from_secs(31);

/// Runs `market-api outbox …` on the database.
async fn operate(base: &Base, args: &[&str]) -> (Option<i32>, String, Output) {
    let url = match &base.url {
        DbUrl::Postgres(url) => url.expose().clone(),
        DbUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
    };
    let mut program = Command::new(env!("CARGO_BIN_EXE_market-api"));
    program.arg("outbox").args(args).args(["--db", &url]);
    program.stdin(Stdio::null()).kill_on_drop(true);
    let output = program.output().await.unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), text, output)
}

async fn operator_lists_and_resends_dead_events(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Refuse("bad"));
    for aggregate in ["bad", "good", "bad", "bad"] {
        happen(&base.db, aggregate).await;
    }
    let instance = Instance::start(&base, &chat).await;
    relayed_all(&base).await;
    instance.stop().await;

    let (code, text, _) = operate(&base, &["list-dead"]).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((code, lines.len(), lines[3]), (Some(0), 4, "3 dead events"));
    let (id, line) = lines[1].split_once(' ').unwrap();
    let start = "member.blocked bad 2 happened 2026-11-15T12:00:00.000 refused 2026-11-15T12:00:";
    assert!(
        line.starts_with(start) && line.ends_with(": bad taste"),
        "{line}"
    );

    let (code, text, output) = operate(&base, &["resend", id, "unknown"]).await;
    assert_eq!((code, &*text), (Some(1), ""), "{output:?}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        why.contains("no dead event has the id unknown; nothing was changed"),
        "{why}"
    );
    assert_eq!(count(&base.db, "dead_at is not null").await, 3);
    for wrong in [
        &["resend"][..],
        &["resend", id, "--all"],
        &["resend", "a b"],
    ] {
        let (code, _, output) = operate(&base, wrong).await;
        assert_eq!(code, Some(64), "{output:?}");
    }

    let (code, text, _) = operate(&base, &["resend", id, id]).await;
    assert_eq!((code, &*text), (Some(0), "1 events are sent again\n"));
    chat.set(Mode::Store);
    let _instance = Instance::start(&base, &chat).await;
    relayed_all(&base).await;
    assert_eq!(chat.stored()["bad"], [2]);
    let (code, text, _) = operate(&base, &["resend", "--all"]).await;
    assert_eq!((code, &*text), (Some(0), "2 events are sent again\n"));
    relayed_all(&base).await;
    assert_eq!(chat.stored()["bad"], [2, 1, 3]);
    let (_, text, _) = operate(&base, &["list-dead"]).await;
    assert_eq!(text, "0 dead events\n");
}

/// An instance in a runtime of its own, which ends without a stop: as by `kill -9`.
async fn doomed(base: &Base, chat: &Chat) -> (Instance, Runtime) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (url, clock) = (base.url.clone(), Arc::clone(&base.clock));
    let started = runtime.spawn(Instance::start_by(url, clock, chat.base.clone()));
    (started.await.unwrap(), runtime)
}

/// Ends the runtime with its tasks: what happens afterwards is not relayed by them.
async fn kill(runtime: Runtime) {
    let ended = spawn_blocking(move || runtime.shutdown_timeout(LATER));
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_relays_and_another_takes_over_after_its_lease() {
    let (base, chat) = (open(On::Postgres).await, Chat::start().await);
    let (one, runtime) = doomed(&base, &chat).await;
    happen(&base.db, "a").await;
    eventually("the first relays", async || one.relayed() == 1).await;
    let other = Instance::start(&base, &chat).await;
    happen(&other.db, "a").await;
    eventually("the first relays", async || one.relayed() == 2).await;
    assert_eq!(other.metrics.relay.lease_held.get(), 0);
    kill(runtime).await;
    happen(&other.db, "a").await;
    eventually("the other stands by", async || {
        other.status.get() == RelayState::Standby
    })
    .await;
    assert_eq!(count(&base.db, "true").await, 1);
    base.clock.advance(LATER);
    eventually("the other takes over", async || other.relayed() == 1).await;
    assert_eq!(chat.stored(), in_order(&[("a", 3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_of_another_instance_wakes_the_relay() {
    let (base, chat) = (open(On::Postgres).await, Chat::start().await);
    let one = Instance::start(&base, &chat).await;
    happen(&one.db, "a").await;
    eventually("the first relays", async || one.relayed() == 1).await;
    let other = Instance::start(&base, &chat).await;
    // Several: the first one may listen only after the first few.
    eventually("the first is notified", async || {
        happen(&other.db, "a").await;
        one.wakes("notification") > 0
    })
    .await;
    assert_eq!(other.relayed(), 0);
}

/// SQLite has one process, so the holder of the lease cannot be alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_on_sqlite_relays_without_waiting_for_the_lease() {
    let (base, chat) = (open(On::Sqlite).await, Chat::start().await);
    let (one, runtime) = doomed(&base, &chat).await;
    happen(&base.db, "a").await;
    eventually("the first relays", async || one.relayed() == 1).await;
    kill(runtime).await;
    happen(&base.db, "a").await;
    let other = Instance::start(&base, &chat).await;
    eventually("the other relays", async || other.relayed() == 1).await;
    assert_eq!(chat.stored(), in_order(&[("a", 2)]));
}
