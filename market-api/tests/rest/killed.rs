//! `kill -9` of the server, and of PostgreSQL, while clients buy: each purchase happens once or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use market_api::app::Market;
use market_api::config::Config;
use market_api::db::{Abort, Db, DbUrl};
use market_api::ledger;
use market_api::metrics::Metrics;
use rand::RngExt as _;
use reqwest::Client;
use serde_json::{Value, json};
use shared::clock::{Clock as _, LocalDateTime, SystemClock};
use shared::config::{Secret, parse};
use shared::drain::Drain;
use shared::ids::MemberId;
use sqlx::{AssertSqlSafe, Row as _, query};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::on_both;
use crate::program::{PATIENCE, Program};
use crate::site::{args, bind};
use crate::support::{On, crowd, eventually, fresh_url};

on_both!(purchases_survive_a_killed_server);

const NOWHERE: &str = "http://127.0.0.1:1";

/// Kills in CI. `TEST_KILLS=50` for more.
const KILLS: usize = 4;

const CLIENTS: usize = 8;

/// Sellers have the ids 1 to this, and an offer of 2.0 GB in parts each, of the same id. Buyers follow.
const SELLERS: i64 = 300;

/// The id of a Wi-Fi spot of the first seller, open all day.
const SPOT: i64 = 1_000;

/// Purchases of one buyer: some are of two parts, and a member buys 20 parts in a month.
const PURCHASES_EACH: usize = 12;

/// Buyers of one client for each kill.
const BUYERS_PER_KILL: i64 = 4;

/// Bound of the pause between the first purchase of a round and its kill.
const PAUSE_MAX_MS: u64 = 300;

#[expect(
    clippy::disallowed_methods,
    reason = "the number of kills is in the environment"
)]
fn kills() -> usize {
    std::env::var("TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Fills the market; returns the buyers' tokens.
async fn fill(url: &DbUrl, folder: &TempDir, buyers: i64) -> Vec<String> {
    let drain = Drain::new();
    let config: Config = parse(args(url, folder, NOWHERE, NOWHERE, &[])).unwrap();
    let market = Market::build(&config, Arc::new(SystemClock), &drain);
    let market = market.await.unwrap();
    let now = market.db().now();
    let month = LocalDateTime::from_unix(now).month().get();
    let expires_at = now.get() + 400 * 86_400_000;
    let mut texts = crowd(1, SELLERS + buyers, 10_000);
    texts.push(format!(
        "insert into product (id, member_id, kind, state, price, unit_price, split, units_listed, \
         units_left, units_sold, units_returned, month, expires_at, created_at, updated_at) \
         select id, id, 'MOBILE_DATA', 'ACTIVE', 100, 5, 1, 20, 20, 0, 0, {month}, {expires_at}, 1, 1 \
         from member where id <= {SELLERS}"
    ));
    texts.push(format!(
        "insert into member_month (member_id, month, providing) \
         select id, {month}, 100 from member where id <= {SELLERS}"
    ));
    texts.push(format!(
        "insert into product (id, member_id, kind, state, price, created_at, updated_at) \
         values ({SPOT}, 1, 'WIFI', 'ACTIVE', 50, 1, 1)"
    ));
    texts.push(format!(
        "insert into spot (product_id, title, content, latitude, longitude, address, opens_at, \
         closes_at, open_minute, close_minute, capacity) \
         values ({SPOT}, 't', '', 37.5, 127.0, '', 0, 0, 0, 0, 1000)"
    ));
    for text in texts {
        let done = market.db().write(text, |text, tx| {
            Box::pin(async move {
                query(AssertSqlSafe(text.clone()))
                    .execute(tx.connection())
                    .await?;
                Ok::<_, Abort<()>>(())
            })
        });
        done.await.unwrap();
    }
    let mut tokens = Vec::new();
    for id in SELLERS + 1..=SELLERS + buyers {
        let member = MemberId::try_from(id).unwrap();
        let issued = market.log_in(member).await.unwrap();
        tokens.push(issued.access.expose().clone());
    }
    market.db().close().await;
    drain.stop();
    drain.hard().cancel();
    tokens
}

/// The path and the form of a random purchase: a part of an offer, parts of two, or time on the spot. Each `nth` has
/// times of its own, because the same times again are the buyer's first purchase.
fn purchase(nth: usize) -> (&'static str, Value) {
    let mut rng = rand::rng();
    let mut offer = || rng.random_range(1..=SELLERS / 2);
    let (one, other) = (offer(), SELLERS / 2 + offer());
    match rng.random_range(0..4) {
        0 => {
            let part = |offer: i64| json!({ "productId": offer, "mobileDataId": offer, "purchaseAmount": 0.1 });
            let form = json!({
                "totalAmount": 0.2, "totalPrice": 10, "combinations": [part(other), part(one)],
            });
            ("/api/trades/mobile-data/scrap", form)
        }
        1 => {
            let first = 60 + 95 * u64::try_from(nth).unwrap();
            let minutes = rng.random_range(first..first + 95);
            let at = |minutes: u64| {
                let now = SystemClock.unix_millis();
                LocalDateTime::from_unix(now.saturating_add(Duration::from_secs(60 * minutes)))
            };
            let form = json!({
                "productId": SPOT, "wifiId": SPOT, "startTime": at(minutes),
                "endTime": at(minutes + 10),
            });
            ("/api/trades/wifi", form)
        }
        _ => {
            let form = json!({ "productId": one, "mobileDataId": one, "dataAmount": 0.1 });
            ("/api/trades/mobile-data/default", form)
        }
    }
}

/// What clients share with the test that kills.
#[derive(Clone)]
struct Load {
    /// Where the server is; empty at the end.
    base: watch::Receiver<String>,
    bought: Arc<AtomicUsize>,
    /// Requests without a response, or with one that leaves open what happened.
    unknown: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Load {
    /// Buys one thing after the other; returns the trades that the server acknowledged.
    async fn buy(self, nth: usize, tokens: Vec<String>) -> Vec<u64> {
        let mut trades = Vec::new();
        for (buyer, token) in tokens.iter().enumerate() {
            for nth_bought in 0..PURCHASES_EACH {
                if self.base.borrow().is_empty() {
                    return trades;
                }
                let key = format!("{nth}-{buyer}-{nth_bought}");
                if let Some(trade) = self.decided(token, &key, purchase(nth_bought)).await {
                    trades.push(trade);
                    self.bought.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        panic!("more buyers are needed")
    }

    /// Sends a purchase until it is acknowledged or refused, always with the same key.
    async fn decided(&self, token: &str, key: &str, (path, form): (&str, Value)) -> Option<u64> {
        let last = self.base.borrow().clone();
        for _ in 0..3_000 {
            let base = self.base.borrow().clone();
            // At the end the last server is still there.
            let base = if base.is_empty() { last.clone() } else { base };
            match send(&format!("{base}{path}"), token, key, &form).await {
                Some((200, body)) => return Some(body["data"]["tradeId"].as_u64().unwrap()),
                // Sold out.
                Some((400 | 409, body)) if body["code"] == 4_003 => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                Some((409, body)) if body["code"] == 5_010 => {}
                Some((503, _)) | None => {}
                Some(other) => panic!("{other:?}"),
            }
            self.unknown.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
        }
        panic!("no decision on {key}")
    }
}

/// Sends a request once; `None` without a complete response.
async fn send(url: &str, token: &str, key: &str, form: &Value) -> Option<(u16, Value)> {
    let client = Client::builder().no_proxy().tls_certs_only([]);
    let request = client.timeout(PATIENCE).build().unwrap();
    let request = request
        .post(url)
        .bearer_auth(token)
        .header("idempotency-key", key)
        .json(form);
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

/// Clients that buy until the test ends.
struct Clients {
    load: Load,
    base: watch::Sender<String>,
    running: JoinSet<Vec<u64>>,
}

impl Clients {
    fn start(tokens: &[String], base: &str) -> Self {
        let (sender, base) = watch::channel(base.to_owned());
        let load = Load {
            base,
            bought: Arc::default(),
            unknown: Arc::default(),
            refused: Arc::default(),
        };
        let mut running = JoinSet::new();
        for (nth, tokens) in tokens.chunks(tokens.len() / CLIENTS).enumerate() {
            running.spawn(load.clone().buy(nth, tokens.to_vec()));
        }
        Self {
            load,
            base: sender,
            running,
        }
    }

    /// Waits until purchases succeed, and then for a random time.
    async fn buying(&self) {
        let before = self.load.bought.load(Ordering::Relaxed);
        eventually("clients buy", async || {
            self.load.bought.load(Ordering::Relaxed) > before
        })
        .await;
        let pause = rand::rng().random_range(0..PAUSE_MAX_MS);
        sleep(Duration::from_millis(pause)).await;
    }

    /// Ends the load. Every acknowledged trade is in the database and no other one: what was unknown has been
    /// decided with the same key.
    #[expect(clippy::print_stdout, reason = "shown when asked for")]
    async fn finish(self, url: &DbUrl) {
        self.base.send_replace(String::new());
        let ended = timeout(PATIENCE, self.running.join_all()).await;
        let trades: Vec<u64> = ended.expect("clients end").concat();
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        println!(
            "{} purchases, {} refusals, {} requests sent again",
            trades.len(),
            count(&self.load.refused),
            count(&self.load.unknown)
        );
        assert!(count(&self.load.unknown) > 0, "a kill interrupted nothing");
        let acknowledged: BTreeSet<u64> = trades.iter().copied().collect();
        assert_eq!(
            acknowledged.len(),
            trades.len(),
            "one trade was acknowledged to two keys"
        );

        let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
        let db = Db::open(url, Arc::new(SystemClock), metrics, &drain);
        let db = db.await.unwrap();
        let mut connection = db.read().await.unwrap();
        let rows = query("select id from trade where kind like 'PURCHASE_%'");
        let rows = rows.fetch_all(&mut *connection).await.unwrap();
        let stored = rows.iter().map(|row| row.try_get::<i64, _>(0).unwrap());
        let stored: BTreeSet<u64> = stored.map(|id| id.try_into().unwrap()).collect();
        assert_eq!(stored, acknowledged);
        drop(connection);
        assert_eq!(ledger::verify(&db).await.unwrap(), []);
        db.close().await;
        drain.hard().cancel();
    }
}

fn buyers(kills: usize) -> i64 {
    let clients = i64::try_from(CLIENTS).unwrap();
    clients * (5 + BUYERS_PER_KILL * i64::try_from(kills).unwrap())
}

async fn purchases_survive_a_killed_server(on: On) {
    const RUN: &str = r#"exec "$0" "$@""#;
    let kills = kills();
    let folder = tempfile::tempdir().unwrap();
    let url = fresh_url(on, &folder).await;
    let tokens = fill(&url, &folder, buyers(kills)).await;
    let mut program = Program::start_by(RUN, (folder, url.clone()), (NOWHERE, NOWHERE), &[]).await;
    let clients = Clients::start(&tokens, &program.base);
    for _ in 0..kills {
        clients.buying().await;
        let folder = program.kill().await;
        program = Program::start_by(RUN, (folder, url.clone()), (NOWHERE, NOWHERE), &[]).await;
        clients.base.send_replace(program.base.clone());
    }
    clients.buying().await;
    clients.finish(&url).await;
}

/// A PostgreSQL of the test's own. Its folder is removed on drop.
struct Postgres {
    server: Child,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// A shell that has read how the services for tests run PostgreSQL.
    fn shell(run: &str, folder: &TempDir, port: u16) -> Command {
        let here = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../infra/services.d/postgres.sh"
        );
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &format!(". '{here}'; {run}")]);
        shell.env("data", folder.path().join("data"));
        shell.env("port", port.to_string()).kill_on_drop(true);
        shell.stdout(std::process::Stdio::null());
        shell.stderr(std::process::Stdio::null());
        shell
    }

    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let port = bind().await.local_addr().unwrap().port();
        let prepared = Self::shell("prepare", &folder, port).status().await;
        assert!(prepared.unwrap().success(), "initdb");
        let server = Self::shell("serve", &folder, port).spawn().unwrap();
        let postgres = Self {
            server,
            folder,
            port,
        };
        postgres.ready().await;
        postgres
    }

    fn url(&self) -> DbUrl {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        DbUrl::Postgres(Secret::new(url))
    }

    async fn ready(&self) {
        let DbUrl::Postgres(url) = self.url() else {
            panic!("another database")
        };
        sqlx::any::install_default_drivers();
        eventually("PostgreSQL accepts connections", async || {
            use sqlx::Connection as _;

            match sqlx::AnyConnection::connect(url.expose()).await {
                Ok(connection) => connection.close().await.is_ok(),
                Err(_starting) => false,
            }
        })
        .await;
    }

    /// Kills the postmaster and all its sessions at once, as a crash of the machine does, and starts it again.
    /// Stopped first, it forks none in between; and while one is still ending, a new postmaster refuses to start, since
    /// their shared memory is in use.
    async fn kill_and_start(&mut self) {
        let postmaster = self.server.id().unwrap().to_string();
        let all = r#"kill -s STOP "$0"
            children=$(ps -o pid= --ppid "$0"); kill -s KILL "$0" $children
            for child in $children; do for _ in $(seq 300); do
                case $(ps -o state= -p "$child") in "" | Z*) break ;; esac
                sleep 0.1
            done; done"#;
        let killed = Command::new("sh").args(["-c", all, &postmaster]).status();
        assert!(killed.await.unwrap().success());
        self.server.wait().await.unwrap();
        self.server = Self::shell("serve", &self.folder, self.port)
            .spawn()
            .unwrap();
        self.ready().await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its data may be in a folder that root made for another user: see `prepare`.
        let data = self.folder.path().join("data");
        if let Ok(elsewhere) = std::fs::read_link(&data) {
            self.server.start_kill().ok();
            std::fs::remove_dir_all(elsewhere).ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_survive_a_killed_postgres() {
    const POSTGRES_KILLS: usize = 5;
    let mut postgres = Postgres::start().await;
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres.url());
    let tokens = fill(&url, &folder, buyers(POSTGRES_KILLS)).await;
    let run = r#"exec "$0" "$@""#;
    let program = Program::start_by(run, (folder, url.clone()), (NOWHERE, NOWHERE), &[]).await;
    let clients = Clients::start(&tokens, &program.base);
    for _ in 0..POSTGRES_KILLS {
        clients.buying().await;
        postgres.kill_and_start().await;
    }
    clients.buying().await;
    clients.finish(&url).await;
}
