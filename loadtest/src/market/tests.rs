//! Runs against a market in this process, on both databases.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use market_api::app::{self, Market};
use market_api::config::{Config, parse_db};
use market_api::db::{Abort, Db};
use market_api::metrics::Metrics;
use serde_json::Value;
use shared::clock::SystemClock;
use shared::config::parse;
use shared::drain::Drain;
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;

use super::{MarketError, MarketRun};

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    run: MarketRun,
}

#[derive(Clone, Copy, Debug)]
enum On {
    Postgres,
    Sqlite,
}

/// A running market.
struct Site {
    server: String,
    db: String,
    folder: TempDir,
    drain: Drain,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

/// A database of the test's own.
#[expect(
    clippy::disallowed_methods,
    reason = "a service's address is in the environment"
)]
async fn fresh_db(on: On, folder: &TempDir) -> String {
    match on {
        On::Sqlite => format!("sqlite:{}", folder.path().join("market.db").display()),
        On::Postgres => {
            let server = std::env::var("TEST_POSTGRES_URL")
                .expect("PostgreSQL for tests: infra/services up postgres, then its env file");
            let name = format!("load_{:016x}", rand::random::<u64>());
            sqlx::any::install_default_drivers();
            let mut connection = sqlx::AnyConnection::connect(&server).await.unwrap();
            let create = sqlx::AssertSqlSafe(format!("create database {name}"));
            connection.execute(create).await.unwrap();
            connection.close().await.unwrap();
            let (base, _) = server.rsplit_once('/').unwrap();
            format!("{base}/{name}")
        }
    }
}

impl Site {
    async fn start(on: On, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = fresh_db(on, &folder).await;
        let (keys, images) = (folder.path().join("keys"), folder.path().join("images"));
        let flags = [
            format!("--db={db}"),
            format!("--signing-keys={}", keys.display()),
            format!("--images=file:{}", images.display()),
        ];
        let flags = flags.iter().map(String::as_str);
        let words = std::iter::once("market-api").chain(flags);
        let config: Config = parse(words.chain(more.iter().copied())).unwrap();
        let drain = Drain::new();
        let market = Market::build(&config, Arc::new(SystemClock), &drain)
            .await
            .unwrap();
        let listener = app::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (within, router) = (drain.clone(), market.public_router());
        let serving = config.limits.serving(&config.allowed_origins);
        drop(drain.spawn("site", async move {
            app::serve(listener, router, &within, serving).await
        }));
        Self {
            server,
            db,
            folder,
            drain,
        }
    }

    fn json(&self) -> PathBuf {
        self.folder.path().join("results.json")
    }

    /// A small run; its outcome and its JSON.
    async fn run(&self, more: &[&str]) -> (Result<(), MarketError>, Value) {
        let flags = [
            format!("--server={}", self.server),
            format!("--db={}", self.db),
            format!(
                "--signing-keys={}",
                self.folder.path().join("keys").display()
            ),
            format!("--json={}", self.json().display()),
        ];
        let small =
            "--buyers=12 --rounds=2 --offers=25 --pairs=3 --purchases=12 --readers=4 --reads=3";
        let words = std::iter::once("loadtest").chain(flags.iter().map(String::as_str));
        let words = words.chain(small.split(' ')).chain(more.iter().copied());
        let done = CommandLine::try_parse_from(words).unwrap().run.run().await;
        let text = std::fs::read_to_string(self.json()).unwrap();
        (done, serde_json::from_str(&text).unwrap())
    }
}

const UNLIMITED: [&str; 2] = ["--address-rate=0", "--member-rate=0"];

async fn every_scenario_is_as_expected(on: On) {
    let site = Site::start(on, &UNLIMITED).await;
    let pid = format!("--server-pid={}", std::process::id());
    let (done, json) = site.run(&[&pid]).await;
    assert!(done.is_ok(), "{done:?}: {json}");
    assert_eq!(json["ok"], true);
    let counts = |nth: usize| json["scenarios"][nth]["codes"].to_string();
    assert_eq!(counts(0), r#"{"0":2,"4003":22}"#);
    let rest = (counts(1), counts(2), counts(3), counts(4), counts(5));
    let done = |count: u32| format!(r#"{{"0":{count}}}"#);
    assert_eq!(rest, (done(25), done(12), done(25), done(12), done(12)));
    assert!(json["scenarios"][5]["cpuMs"].is_number(), "{json}");
    let times = &json["scenarios"][1]["milliseconds"];
    assert!(times["p50"].as_f64() <= times["max"].as_f64(), "{times}");
    // Again on the same database.
    let (done, json) = site.run(&["--scenario=hot"]).await;
    assert!(done.is_ok(), "{done:?}: {json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_is_as_expected_on_sqlite() {
    every_scenario_is_as_expected(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_is_as_expected_on_postgres() {
    every_scenario_is_as_expected(On::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unexpected_answers_fail_the_run() {
    // Bursts of five requests: enough for the preparation, too few for twelve buyers.
    let site = Site::start(On::Sqlite, &["--address-rate=1", "--member-rate=0"]).await;
    let (done, json) = site.run(&["--scenario=hot"]).await;
    assert!(matches!(done, Err(MarketError::Findings(_))), "{done:?}");
    assert_eq!(json["ok"], false);
    let findings = json["scenarios"][0]["findings"].to_string();
    assert!(findings.contains("--address-rate 0"), "{findings}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn violated_ledger_fails_the_run() {
    let site = Site::start(On::Sqlite, &UNLIMITED).await;
    let (url, drain) = (parse_db(&site.db).unwrap(), Drain::new());
    let metrics = Arc::new(Metrics::new());
    let db = Db::open(&url, Arc::new(SystemClock), metrics, &drain);
    let db = db.await.unwrap();
    let spoil = db.write((), |(), tx| {
        Box::pin(async move {
            let text = "insert into member (provider, provider_id, name, role, created_at, updated_at) \
                        values ('KAKAO', 'x', 'x', 'ROLE_MEMBER', 1, 1)";
            tx.connection().execute(text).await?;
            Ok::<_, Abort<Infallible>>(())
        })
    });
    spoil.await.unwrap();
    let (done, json) = site.run(&["--scenario=seller"]).await;
    assert!(matches!(done, Err(MarketError::Findings(1))), "{done:?}");
    let violations = json["violations"].to_string();
    assert!(violations.contains("member-has-a-wallet"), "{violations}");
}
