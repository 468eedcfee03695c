//! The two forms that the site has: `dapanda` alone, and two nodes of each server with PostgreSQL, Redis
//! and CQL behind the balancer, with stand-ins of logins, payments and payouts beside them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use chat_server::app::{self as chat, Node};
use fakes::login::{CLIENT_ID, CLIENT_SECRET, FakeLogin, Person};
use fakes::payout::FakePayout;
use fakes::toss::FakeToss;
use market_api::app::{self as market, Market};
use shared::clock::SystemClock;
use shared::config::parse;
use shared::drain::Drain;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use super::browser::PATIENCE;
use super::record::Recorder;
use crate::{Log, Server};

/// The front end: an origin of its own. Nothing of it is loaded here.
pub(crate) const FRONT: &str = "http://localhost:3000";

/// A running site.
pub(crate) struct Site {
    /// Where browsers find it.
    pub(crate) api: String,
    /// Cookies are for HTTPS, and for `localhost`.
    pub(crate) has_secure_cookies: bool,
    pub(crate) recorder: Arc<Recorder>,
    /// The chat nodes that have served a page.
    pub(crate) nodes: Mutex<BTreeSet<String>>,
    _parts: Parts,
}

enum Parts {
    Alone {
        _server: Server,
        _log: Log,
        _folder: TempDir,
    },
    Two {
        drain: Drain,
        _balancer: Child,
        _folder: TempDir,
    },
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Self::Two { drain, .. } = self {
            drain.hard().cancel();
        }
    }
}

/// `dapanda` for a front end of one's own.
pub(crate) async fn alone() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let (front, origins) = (
        format!("--front-url={FRONT}"),
        format!("--allowed-origins={FRONT}"),
    );
    let flags = [
        front.as_str(),
        &origins,
        "--address-rate=0",
        "--member-rate=0",
    ];
    // Nobody reads its log, for which it does not wait.
    let (server, log) = Server::start_with(folder.path(), &flags).await;
    let api = format!("http://localhost:{}", server.port);
    let parts = Parts::Alone {
        _server: server,
        _log: log,
        _folder: folder,
    };
    Site::of(api, false, parts)
}

impl Site {
    fn of(api: String, has_secure_cookies: bool, parts: Parts) -> Self {
        Self {
            recorder: Arc::new(Recorder::of(&api)),
            api,
            has_secure_cookies,
            nodes: Mutex::default(),
            _parts: parts,
        }
    }
}

/// Where a node serves clients, and where operators.
struct NodePorts {
    public: TcpListener,
    admin: TcpListener,
}

impl NodePorts {
    async fn bind() -> Self {
        Self {
            public: bind().await,
            admin: bind().await,
        }
    }

    /// As the balancer takes it.
    fn flag(&self) -> String {
        let [public, admin] = [&self.public, &self.admin].map(|one| one.local_addr().unwrap());
        format!("{public}/{admin}")
    }
}

/// Nodes of each server.
const NODES: usize = 2;

/// Two nodes of `chat-server` and of `market-api` behind HAProxy with the project's rules.
pub(crate) async fn two_servers() -> Site {
    let (drain, folder) = (Drain::new(), tempfile::tempdir().unwrap());
    let (held, port) = hold_port();
    let (internal_held, internal) = hold_port();
    let api = format!("http://localhost:{port}");
    let [provider, toss, payouts] = [bind().await, bind().await, bind().await];
    let urls = [&provider, &toss, &payouts].map(local_url);
    let (mut markets, mut chats) = (Vec::new(), Vec::new());
    for _ in 0..NODES {
        markets.push(NodePorts::bind().await);
        chats.push(NodePorts::bind().await);
    }
    let mut balancer = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../haproxy/run"));
    balancer.args(["--listen", &format!("127.0.0.1:{port}"), "--show-node"]);
    balancer.args(["--internal", &format!("127.0.0.1:{internal}")]);
    for (name, nodes) in [("--market", &markets), ("--chat", &chats)] {
        for node in nodes {
            balancer.args([name, &node.flag()]);
        }
    }

    stand_ins(&drain, &api, [provider, toss, payouts], &urls);
    let mut args = market_args(&folder, &api, &urls);
    args.push(format!("--chat-url=http://localhost:{internal}"));
    args.push(format!("--db={}", fresh_database().await));
    let keys = markets[0].public.local_addr().unwrap();
    let keys = format!("http://{keys}/.well-known/jwks.json");
    start_markets(&drain, args, markets).await;
    start_chats(&drain, chat_args(&keys), chats).await;

    balancer.stderr(Stdio::null()).kill_on_drop(true);
    let balancer = balancer.spawn().unwrap();
    answers(&format!("{api}/api/chat-room")).await;
    answers(&format!("{api}/api/members/info")).await;
    drop((held, internal_held));
    let parts = Parts::Two {
        drain,
        _balancer: balancer,
        _folder: folder,
    };
    Site::of(api, true, parts)
}

/// Providers of logins, of payments and of payouts; `urls` are where they are.
fn stand_ins(drain: &Drain, api: &str, listeners: [TcpListener; 3], urls: &[String; 3]) {
    let clock = || Arc::new(SystemClock);
    let login = Arc::new(FakeLogin::new(people(), api, &urls[0], clock()));
    let toss = FakeToss::new(TOSS_SECRET, clock()).at(&urls[1]);
    let toss = Arc::new(toss.allow_origins(&[FRONT]));
    let payouts = Arc::new(FakePayout::new(PAYOUT_KEY, clock()));
    let routers = [login.router(), toss.router(), payouts.router()];
    for (listener, router) in listeners.into_iter().zip(routers) {
        let within = drain.clone();
        drop(drain.spawn("stand-in", async move {
            market::serve(listener, router, &within, HEAD_TIME).await
        }));
    }
}

async fn start_markets(drain: &Drain, args: Vec<String>, nodes: Vec<NodePorts>) {
    for NodePorts { public, admin } in nodes {
        let config = parse(args.clone()).unwrap();
        let market = Market::build(&config, Arc::new(SystemClock), drain).await;
        let market = market.unwrap();
        for (listener, router) in [
            (public, market.public_router()),
            (admin, market.admin_router()),
        ] {
            let within = drain.clone();
            drop(drain.spawn("market", async move {
                market::serve(listener, router, &within, HEAD_TIME).await
            }));
        }
        market.set_started();
    }
}

async fn start_chats(drain: &Drain, args: Vec<String>, nodes: Vec<NodePorts>) {
    for NodePorts { public, admin } in nodes {
        let config = parse(args.clone()).unwrap();
        let node = Node::build(&config, Arc::new(SystemClock), drain.clone()).await;
        let node = node.unwrap();
        node.set_started();
        let routers: [(TcpListener, Router); 2] =
            [(public, node.public_router()), (admin, node.admin_router())];
        for (listener, router) in routers {
            let within = drain.clone();
            drop(drain.spawn("chat", async move {
                chat::serve(listener, router, &within, HEAD_TIME).await
            }));
        }
    }
}

const TOSS_SECRET: &str = "test_sk_contract";
const PAYOUT_KEY: &str = "payout-key-contract";

const HEAD_TIME: Duration = Duration::from_secs(10);

fn market_args(folder: &TempDir, api: &str, urls: &[String; 3]) -> Vec<String> {
    let [provider, toss, payouts] = urls;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut args = vec![
        "market-api".to_owned(),
        format!("--cache={}", service("TEST_REDIS_URL")),
        format!("--signing-keys={}", path("keys")),
        format!("--images=file:{}", path("images")),
        format!("--public-url={api}"),
        format!("--front-url={FRONT}"),
        format!("--allowed-origins={FRONT}"),
        format!("--toss-url={toss}"),
        format!("--toss-secret-key={TOSS_SECRET}"),
        format!("--pay-page-url={toss}/pay"),
        format!("--payout-url={payouts}"),
        format!("--payout-key={PAYOUT_KEY}"),
        "--address-rate=0".to_owned(),
        "--member-rate=0".to_owned(),
    ];
    for name in ["kakao", "google"] {
        args.push(format!("--{name}-id={CLIENT_ID}"));
        args.push(format!("--{name}-secret={CLIENT_SECRET}"));
        args.push(format!("--{name}-url={provider}/{name}"));
    }
    args
}

fn chat_args(keys: &str) -> Vec<String> {
    let keyspace = format!("front_{:016x}", rand::random::<u64>());
    let servers = service("TEST_CQL");
    let copies = servers.split(',').count();
    vec![
        "chat-server".to_owned(),
        format!("--store=scylla://{servers}/{keyspace}"),
        format!("--scylla-replication={copies}"),
        format!("--bus={}", service("TEST_REDIS_URL")),
        format!("--bus-prefix={keyspace}"),
        format!("--jwks={keys}"),
        format!("--allowed-origins={FRONT}"),
        "--sends-per-second=0".to_owned(),
    ]
}

/// Demo people without an account yet.
fn people() -> Vec<Person> {
    let person = |id: u64| Person {
        id,
        name: format!("사람 {id}"),
        email: None,
    };
    (1..=8).map(person).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a service's address is in the environment"
)]
fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name}: infra/services up, then its env file"))
}

/// The address of a database of this test alone.
async fn fresh_database() -> String {
    let server = service("TEST_POSTGRES_URL");
    let name = format!("front_{:016x}", rand::random::<u64>());
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&server).await.unwrap();
    let create = AssertSqlSafe(format!("create database {name}"));
    connection.execute(create).await.unwrap();
    connection.close().await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn local_url(listener: &TcpListener) -> String {
    format!("http://localhost:{}", listener.local_addr().unwrap().port())
}

/// A port that stays ours until the balancer has it: sockets that both say so share one.
fn hold_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// Waits until a request without a login gets a 401: then the servers behind the balancer are up.
async fn answers(url: &str) {
    let http = crate::client();
    let url = url.replacen("localhost", "127.0.0.1", 1);
    let mut again = interval(Duration::from_millis(50));
    let told = async {
        loop {
            let answer = http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status() == 401) {
                return;
            }
            again.tick().await;
        }
    };
    let told = timeout(PATIENCE, told).await;
    assert!(told.is_ok(), "{url} does not serve");
}
