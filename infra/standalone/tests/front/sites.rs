//! The two forms that the site has: `dapanda` alone, and the two servers with PostgreSQL, Redis and CQL
//! behind the balancer.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chat_server::app::{self as chat, Node};
use fakes::login::{CLIENT_ID, CLIENT_SECRET, FakeLogin, Person};
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
use crate::{Log, Server};

/// The front end: an origin of its own. Nothing of it is loaded here.
pub(crate) const FRONT: &str = "http://localhost:3000";

/// A running site.
pub(crate) struct Site {
    /// Where browsers find it.
    pub(crate) api: String,
    /// Whoever logs in is new here.
    pub(crate) is_new: bool,
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
    Site {
        api,
        is_new: false,
        _parts: Parts::Alone {
            _server: server,
            _log: log,
            _folder: folder,
        },
    }
}

/// `chat-server` and `market-api` behind HAProxy with the project's rules.
pub(crate) async fn two_servers() -> Site {
    let (drain, folder) = (Drain::new(), tempfile::tempdir().unwrap());
    let (held, port) = hold_port();
    let api = format!("http://localhost:{port}");
    let [public, admin, provider] = [bind().await, bind().await, bind().await];
    let [market_address, market_admin_address] =
        [&public, &admin].map(|one| one.local_addr().unwrap());
    let provider_url = local_url(&provider);
    let [chat_public, chat_admin] = [bind().await, bind().await];
    let (chat_address, chat_admin_address) = (
        chat_public.local_addr().unwrap(),
        chat_admin.local_addr().unwrap(),
    );

    let mut args = market_args(&folder, &api, &provider_url, &local_url(&chat_admin));
    args.push(format!("--db={}", fresh_database().await));
    let config = parse(args);
    let clock = Arc::new(SystemClock);
    let built = Market::build(&config.unwrap(), clock.clone(), &drain).await;
    let market = built.unwrap();
    let login = Arc::new(FakeLogin::new(people(), &api, &provider_url, clock.clone()));
    for (listener, router) in [
        (public, market.public_router()),
        (admin, market.admin_router()),
        (provider, login.router()),
    ] {
        let within = drain.clone();
        drop(drain.spawn("market", async move {
            market::serve(listener, router, &within, HEAD_TIME).await
        }));
    }
    market.set_started();

    let keys = format!("http://{market_address}/.well-known/jwks.json");
    let config = parse(chat_args(&keys)).unwrap();
    let node = Node::build(&config, clock, drain.clone()).await.unwrap();
    node.set_started();
    let routers: [(TcpListener, Router); 2] = [
        (chat_public, node.public_router()),
        (chat_admin, node.admin_router()),
    ];
    for (listener, router) in routers {
        let within = drain.clone();
        drop(drain.spawn("chat", async move {
            chat::serve(listener, router, &within, HEAD_TIME).await
        }));
    }

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../haproxy/run");
    let mut balancer = Command::new(script);
    balancer.args(["--listen", &format!("127.0.0.1:{port}")]);
    balancer.args([
        "--market",
        &format!("{market_address}/{market_admin_address}"),
    ]);
    balancer.args(["--chat", &format!("{chat_address}/{chat_admin_address}")]);
    balancer.stderr(Stdio::null()).kill_on_drop(true);
    let balancer = balancer.spawn().unwrap();
    answers(&format!("{api}/api/chat-room")).await;
    answers(&format!("{api}/api/members/info")).await;
    drop(held);
    Site {
        api,
        is_new: true,
        _parts: Parts::Two {
            drain,
            _balancer: balancer,
            _folder: folder,
        },
    }
}

const HEAD_TIME: Duration = Duration::from_secs(10);

fn market_args(folder: &TempDir, api: &str, provider: &str, chat_admin: &str) -> Vec<String> {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut args = vec![
        "market-api".to_owned(),
        format!("--cache={}", service("TEST_REDIS_URL")),
        format!("--signing-keys={}", path("keys")),
        format!("--images=file:{}", path("images")),
        format!("--public-url={api}"),
        format!("--front-url={FRONT}"),
        format!("--allowed-origins={FRONT}"),
        format!("--chat-url={chat_admin}"),
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
