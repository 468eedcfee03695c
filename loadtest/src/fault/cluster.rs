//! Cluster of a case: chat nodes, the balancer in front of them, their Redis and the store's
//! replicas.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::interval;

use super::balancer::{Backends, Balancer, Seen};
use super::error::FaultError;
use super::process::{
    Process, Readiness, Signal, free_address, on_free_ports, output, read_resident_kib,
};
use super::redis::{Failover, Redis};
use super::replicas::Replicas;

/// How long a chat node may take until it is ready: it creates its tables first, and a store that
/// was just killed is slow.
const READY_MAX: Duration = Duration::from_secs(90);

/// How long a node's orderly stop may take with the settings of these runs.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Settings of a node besides its addresses. Flags that a build lacks are left out, so that an
/// older build can run beside a newer one. `--lame-duck` is longer than the balancer takes to
/// detect it.
const SETTINGS: [(&str, &str); 5] = [
    ("--sends-per-second", "0"),
    ("--bus-prefix", "fault"),
    ("--lame-duck", "1500ms"),
    ("--notice-margin", "2s"),
    ("--closes-max", "5s"),
];

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<ChatNode>,
    pub(crate) balancer: Balancer,
    pub(crate) bus: Bus,
    /// None with the embedded store.
    pub(crate) replicas: Option<Replicas>,
    pub(crate) memory: Memory,
}

/// The bus between nodes.
#[derive(Debug)]
pub(crate) enum Bus {
    Local,
    Redis(Box<Redis>),
    Failover(Box<Failover>),
}

/// A chat node.
#[derive(Debug)]
pub(crate) struct ChatNode {
    number: usize,
    pub(crate) binary: PathBuf,
    public: SocketAddr,
    pub(crate) admin: SocketAddr,
    common: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    memory: Memory,
    http: reqwest::Client,
}

/// Highest memory use measured of each node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    shared: Arc<Mutex<Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    pids: BTreeMap<usize, u32>,
    max_kib: BTreeMap<usize, u64>,
}

/// Parameters of a cluster.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) binaries: &'a [PathBuf],
    pub(crate) nodes: usize,
    pub(crate) infra: &'a Path,
    /// For logs and dumps; `jwks.json` is in the folder above.
    pub(crate) folder: &'a Path,
    pub(crate) bus: Bus,
    pub(crate) store: String,
    pub(crate) jwks: PathBuf,
    pub(crate) replicas: Option<Replicas>,
    pub(crate) more: &'a [String],
    /// Market nodes behind the same balancer, by their public and admin addresses.
    pub(crate) markets: &'a [(SocketAddr, SocketAddr)],
    /// Where these reach the chat nodes.
    pub(crate) internal: Option<SocketAddr>,
}

impl Cluster {
    pub(crate) async fn start(parts: Parts<'_>) -> Result<Self, FaultError> {
        let bus_url = match &parts.bus {
            Bus::Local => "local".to_owned(),
            Bus::Redis(redis) => redis.url(),
            Bus::Failover(failover) => failover.url(),
        };
        let mut common = vec!["--bus".to_owned(), bus_url];
        common.extend(["--store".to_owned(), parts.store]);
        common.push("--jwks".to_owned());
        common.push(format!("file:{}", parts.jwks.display()));
        common.extend_from_slice(parts.more);
        let memory = Memory::default();
        let mut nodes = Vec::new();
        for number in 0..parts.nodes {
            nodes.push(ChatNode {
                number,
                binary: parts.binaries[0].clone(),
                public: free_address()?,
                admin: free_address()?,
                common: common.clone(),
                log: parts.folder.join(format!("node-{number}.log")),
                process: None,
                memory: memory.clone(),
                http: reqwest::Client::new(),
            });
        }
        for node in &mut nodes {
            node.launch().await?;
        }
        for node in &mut nodes {
            node.until_ready_somewhere().await?;
        }
        let addresses: Vec<_> = nodes.iter().map(|node| (node.public, node.admin)).collect();
        let balancer = on_free_ports(async || {
            let backends = Backends {
                chat: &addresses,
                market: parts.markets,
                internal: parts.internal,
            };
            let mut balancer = Balancer::start(parts.infra, backends, parts.folder)?;
            for node in 0..addresses.len() {
                balancer.until(node, Seen::Up).await?;
            }
            Ok(balancer)
        });
        Ok(Self {
            balancer: balancer.await?,
            nodes,
            bus: parts.bus,
            replicas: parts.replicas,
            memory,
        })
    }

    /// Starts a node again and waits until clients come to it.
    pub(crate) async fn start_node(&mut self, node: usize) -> Result<(), FaultError> {
        self.nodes[node].launch().await?;
        self.nodes[node].until_ready().await?;
        self.balancer.until(node, Seen::Up).await
    }

    /// Stops a node in order and starts it again.
    pub(crate) async fn roll_node(&mut self, node: usize) -> Result<(), FaultError> {
        self.nodes[node].terminate().await?;
        self.start_node(node).await
    }

    /// # Errors
    /// This run has no Redis of its own.
    pub(crate) fn redis(&mut self) -> Result<&mut Redis, FaultError> {
        match &mut self.bus {
            Bus::Redis(redis) => Ok(redis),
            Bus::Local | Bus::Failover(_) => Err(FaultError::Unfit("the case needs one Redis")),
        }
    }

    /// # Errors
    /// This run has no replicas.
    pub(crate) fn replicas(&self) -> Result<&Replicas, FaultError> {
        self.replicas
            .as_ref()
            .ok_or(FaultError::Unfit("the case needs replicas of the store"))
    }
}

impl ChatNode {
    async fn launch(&mut self) -> Result<(), FaultError> {
        let help = output("chat-server", Command::new(&self.binary).arg("--help")).await?;
        let mut command = Command::new(&self.binary);
        command.args(["--listen", &self.public.to_string()]);
        command.args(["--admin-listen", &self.admin.to_string()]);
        command.args(&self.common);
        for (flag, value) in SETTINGS {
            let given = self.common.iter().any(|word| word == flag);
            if !given && help.contains(flag) {
                command.args([flag, value]);
            }
        }
        let process = Process::start("chat-server", command, self.log.clone())?;
        self.memory.watch(self.number, process.pid());
        self.process = Some(process);
        Ok(())
    }

    /// Restarts it on other ports if it ends: no client uses these yet.
    async fn until_ready_somewhere(&mut self) -> Result<(), FaultError> {
        match self.until_ready().await {
            Err(FaultError::Ended { .. }) => {}
            done => return done,
        }
        on_free_ports(async || {
            (self.public, self.admin) = (free_address()?, free_address()?);
            self.launch().await?;
            self.until_ready().await
        })
        .await
    }

    async fn until_ready(&mut self) -> Result<(), FaultError> {
        let readiness = Readiness {
            what: format!("chat node {} is ready", self.number),
            admin: self.admin,
            max: READY_MAX,
        };
        readiness.wait(&self.http, self.process.as_mut()).await
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<(), FaultError> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM, and waits for its end, which must be a success.
    pub(crate) async fn terminate(&mut self) -> Result<(), FaultError> {
        match self.process.take() {
            Some(process) => process.terminate(STOP_MAX).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), FaultError> {
        match &self.process {
            Some(process) => process.signal(signal).await,
            None => Ok(()),
        }
    }
}

impl Memory {
    fn watch(&self, node: usize, pid: Option<u32>) {
        let mut watched = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match pid {
            Some(pid) => watched.pids.insert(node, pid),
            None => watched.pids.remove(&node),
        };
    }

    /// Measures twice a second while it is polled.
    pub(crate) async fn look(self) {
        let mut ticks = interval(Duration::from_millis(500));
        loop {
            ticks.tick().await;
            let mut watched = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let Watched { pids, max_kib } = &mut *watched;
            for (node, pid) in pids {
                let held = read_resident_kib(*pid).unwrap_or_default();
                let max = max_kib.entry(*node).or_default();
                *max = held.max(*max);
            }
        }
    }

    /// Highest memory use of each node, in MiB.
    pub(crate) fn max_mib(&self) -> Vec<u64> {
        let watched = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        watched.max_kib.values().map(|kib| kib >> 10).collect()
    }
}
