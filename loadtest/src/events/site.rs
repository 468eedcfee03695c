//! Site of a run: a database and a keyspace of its own, two market nodes, chat nodes, Redis and the
//! balancer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use market_api::db::DbUrl;
use shared::claims::TokenScope;
use shared::config::Secret;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
use tokio::process::Command;

use super::{Events, EventsError};
use crate::fault::FaultError;
use crate::fault::cluster::{Bus, Cluster, Parts};
use crate::fault::process::{Process, Readiness, Signal, free_address, on_free_ports, output};
use crate::fault::redis::Redis;
use crate::market::client::Client;
use crate::market::ground::Ground;
use crate::prepare::{Key, PrepareError};

/// Chat nodes.
pub(crate) const CHAT_NODES: usize = 3;

/// Market nodes.
const MARKET_NODES: usize = 2;

/// How long a market node may take until it is ready, its migrations included.
const READY_MAX: Duration = Duration::from_secs(60);

/// Time-out of a post of events: the lease of the relay lasts ten seconds longer.
const RELAY_ANSWER: &str = "2s";

/// How long a node may take to show its metrics: a frozen one does not.
const METRICS_MAX: Duration = Duration::from_secs(1);

/// The site.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) markets: Vec<MarketNode>,
    pub(crate) ground: Ground,
    server: String,
    database: String,
    http: reqwest::Client,
}

/// A market node.
#[derive(Debug)]
pub(crate) struct MarketNode {
    number: usize,
    binary: PathBuf,
    public: SocketAddr,
    admin: SocketAddr,
    common: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    http: reqwest::Client,
}

impl MarketNode {
    /// Starts a node on free ports, with these flags.
    pub(crate) async fn first(
        number: usize,
        binary: &Path,
        folder: &Path,
        common: &[String],
    ) -> Result<Self, FaultError> {
        on_free_ports(async || {
            let mut market = Self {
                number,
                binary: binary.to_owned(),
                public: free_address()?,
                admin: free_address()?,
                common: common.to_vec(),
                log: folder.join(format!("market-{number}.log")),
                process: None,
                http: reqwest::Client::new(),
            };
            market.launch().await?;
            Ok(market)
        })
        .await
    }

    /// Its public listener.
    pub(crate) const fn public(&self) -> SocketAddr {
        self.public
    }

    async fn launch(&mut self) -> Result<(), FaultError> {
        let mut command = Command::new(&self.binary);
        command.args(["--listen", &self.public.to_string()]);
        command.args(["--admin-listen", &self.admin.to_string()]);
        command.args(&self.common);
        self.process = Some(Process::start("market-api", command, self.log.clone())?);
        let readiness = Readiness {
            what: format!("market node {} is ready", self.number),
            admin: self.admin,
            max: READY_MAX,
        };
        readiness.wait(&self.http, self.process.as_mut()).await
    }

    /// Starts it again on its addresses.
    pub(crate) async fn start(&mut self) -> Result<(), FaultError> {
        self.launch().await
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<(), FaultError> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), FaultError> {
        match &self.process {
            Some(process) => process.signal(signal).await,
            None => Ok(()),
        }
    }

    /// Whether it holds the relay's lease, as it says itself.
    async fn relays(&self) -> bool {
        let url = format!("http://{}/metrics", self.admin);
        let answer = self.http.get(url).timeout(METRICS_MAX).send().await;
        let Ok(answer) = answer else { return false };
        let text = answer.text().await.unwrap_or_default();
        text.lines().any(|line| line == "market_relay_lease_held 1")
    }
}

impl Site {
    pub(crate) async fn start(events: &Events, run: &str) -> Result<Self, EventsError> {
        let folder = events.folder.join(run);
        let keys = folder.join("keys");
        let made = std::fs::create_dir_all(&keys);
        made.map_err(|error| FaultError::File(keys.clone(), error))?;
        Key {
            folder: keys.clone(),
        }
        .run()
        .map_err(FaultError::from)?;
        let server = events.postgres.trim_end_matches('/').to_owned();
        let database = format!("events_{run}");
        execute(&server, format!("create database {database}")).await?;
        let (base, _) = server.rsplit_once('/').unwrap_or((&server, ""));
        let url = format!("{base}/{database}");
        let scope = TokenScope {
            issuer: "dapanda".to_owned(),
            audience: "dapanda".to_owned(),
        };
        let db = DbUrl::Postgres(Secret::new(url.clone()));
        let ground = Ground::open(&db, &keys, scope, run.to_owned()).await?;
        let redis = Redis::start(&folder, "redis").await?;
        let internal = free_address()?;
        let common = [
            format!("--db={url}"),
            format!("--signing-keys={}", keys.display()),
            format!("--images=file:{}", folder.join("images").display()),
            format!("--cache={}", redis.url()),
            format!("--chat-url=http://{internal}"),
            format!("--relay-answer-time={RELAY_ANSWER}"),
            "--address-rate=0".to_owned(),
            "--member-rate=0".to_owned(),
        ];
        let markets = start_markets(events, &folder, &common).await?;
        let chat = Chat {
            folder: &folder,
            redis,
            markets: &markets,
            internal,
        };
        Ok(Self {
            cluster: chat.start(events, &database).await?,
            markets,
            ground,
            server,
            database,
            http: reqwest::Client::new(),
        })
    }

    /// A client that reaches both market nodes through the balancer.
    pub(crate) fn client(&self) -> Result<Client, EventsError> {
        let address = self.cluster.balancer.address;
        Ok(Client::new(&format!("http://{address}"))?)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The market node that relays; `None` while no node says so.
    pub(crate) async fn relaying(&self) -> Option<usize> {
        for (number, market) in self.markets.iter().enumerate() {
            if market.relays().await {
                return Some(number);
            }
        }
        None
    }

    /// Ends all processes, and removes the database.
    pub(crate) async fn close(mut self) -> Result<(), EventsError> {
        for market in &mut self.markets {
            market.kill().await?;
        }
        self.ground.close().await;
        let drop_it = format!("drop database {} with (force)", self.database);
        execute(&self.server, drop_it).await
    }
}

/// The chat side of a site.
struct Chat<'a> {
    folder: &'a Path,
    redis: Redis,
    markets: &'a [MarketNode],
    internal: SocketAddr,
}

impl Chat<'_> {
    async fn start(self, events: &Events, keyspace: &str) -> Result<Cluster, FaultError> {
        let hosts: Vec<_> = events.cql.iter().map(ToString::to_string).collect();
        let copies = ["--scylla-replication".to_owned(), "1".to_owned()];
        let one = hosts.len() < CHAT_NODES;
        let addresses: Vec<_> = self
            .markets
            .iter()
            .map(|one| (one.public, one.admin))
            .collect();
        Cluster::start(Parts {
            binaries: std::slice::from_ref(&events.chat_server),
            nodes: CHAT_NODES,
            infra: &events.infra,
            folder: self.folder,
            bus: Bus::Redis(Box::new(self.redis)),
            store: format!("scylla://{}/{keyspace}", hosts.join(",")),
            jwks: self.folder.join("keys/jwks.json"),
            replicas: None,
            more: if one { &copies } else { &[] },
            markets: &addresses,
            internal: Some(self.internal),
        })
        .await
    }
}

async fn start_markets(
    events: &Events,
    folder: &Path,
    common: &[String],
) -> Result<Vec<MarketNode>, FaultError> {
    // A build without the relay is tried, too: it then shows that nothing arrives.
    let help = output("market-api", Command::new(&events.market_api).arg("--help")).await?;
    let takes = |word: &&String| help.contains(word.split('=').next().unwrap_or_default());
    let common: Vec<String> = common.iter().filter(takes).cloned().collect();
    let mut markets = Vec::new();
    for number in 0..MARKET_NODES {
        markets.push(MarketNode::first(number, &events.market_api, folder, &common).await?);
    }
    Ok(markets)
}

async fn execute(server: &str, text: String) -> Result<(), EventsError> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(text)).await?;
    Ok(connection.close().await?)
}

impl From<PrepareError> for EventsError {
    fn from(error: PrepareError) -> Self {
        Self::Fault(error.into())
    }
}
