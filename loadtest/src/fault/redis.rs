//! Redis of a run: child processes that can be killed, frozen, emptied, set back to a dump and
//! failed over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::clock::{Clock as _, SystemClock};
use tokio::process::Command;
use tokio::time::sleep;

use super::error::FaultError;
use super::process::{Process, Signal, free_port, on_free_ports, output, write};

/// How long a Redis may take until it answers.
const READY_MAX: Duration = Duration::from_secs(10);

/// Name of the primary at the sentinel.
const SERVICE: &str = "fault";

/// One server.
#[derive(Debug)]
pub(crate) struct Redis {
    folder: PathBuf,
    port: u16,
    process: Option<Process>,
}

/// A primary, its replica, and the sentinel that makes the replica the primary.
#[derive(Debug)]
pub(crate) struct Failover {
    primary: Redis,
    replica: Redis,
    sentinel: Process,
    sentinel_port: u16,
}

impl Redis {
    pub(crate) async fn start(folder: &Path, name: &str) -> Result<Self, FaultError> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| FaultError::File(folder.clone(), error))?;
        on_free_ports(async || {
            let mut redis = Self {
                folder: folder.clone(),
                port: free_port()?,
                process: None,
            };
            redis.restart().await?;
            Ok(redis)
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it on the existing dump, if there is one.
    pub(crate) async fn restart(&mut self) -> Result<(), FaultError> {
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        server
            .args(["--port", &self.port.to_string(), "--dir"])
            .arg(&self.folder);
        server.args(["--repl-diskless-sync-delay", "0"]);
        let process = Process::start("redis", server, self.folder.join("log"))?;
        ready(self.process.insert(process), self.port).await
    }

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

    /// Sends a command through `redis-cli`.
    pub(crate) async fn say(&self, words: &[&str]) -> Result<String, FaultError> {
        say(self.port, words).await
    }
}

impl Failover {
    pub(crate) async fn start(folder: &Path) -> Result<Self, FaultError> {
        let primary = Redis::start(folder, "redis-primary").await?;
        let replica = Redis::start(folder, "redis-replica").await?;
        let primary_port = primary.port.to_string();
        replica
            .say(&["REPLICAOF", "127.0.0.1", &primary_port])
            .await?;
        let start = async || start_sentinel(folder, &primary_port).await;
        let (sentinel, sentinel_port) = on_free_ports(start).await?;
        let failover = Self {
            primary,
            replica,
            sentinel,
            sentinel_port,
        };
        // A sentinel learns of replicas from the primary, first 1 s after its start and then every
        // 10 s.
        failover
            .until(
                "the sentinel knows the replica",
                &["SENTINEL", "REPLICAS", SERVICE],
                |said| said.contains("slave") && !said.contains("s_down"),
            )
            .await?;
        Ok(failover)
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "redis-sentinel://127.0.0.1:{}/{SERVICE}",
            self.sentinel_port
        )
    }

    /// The replica becomes the primary, and the old primary stays, as a replica: connected clients
    /// do not notice by a lost connection that they use the wrong server.
    pub(crate) async fn demote(&mut self) -> Result<(), FaultError> {
        say(self.sentinel_port, &["SENTINEL", "FAILOVER", SERVICE]).await?;
        let replica = self.replica.port.to_string();
        let who = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        self.until("the replica is the primary", &who, |said| {
            said.contains(&replica)
        })
        .await?;
        self.sentinel.check_runs()?;
        let old = self.primary.port;
        until(old, "the old primary follows", &["ROLE"], |said| {
            said.starts_with("slave")
        })
        .await
    }

    async fn until(
        &self,
        what: &str,
        words: &[&str],
        holds: impl Fn(&str) -> bool,
    ) -> Result<(), FaultError> {
        until(self.sentinel_port, what, words, holds).await
    }
}

async fn start_sentinel(folder: &Path, primary_port: &str) -> Result<(Process, u16), FaultError> {
    let sentinel_port = free_port()?;
    let config = folder.join("sentinel.conf");
    let text = format!(
        "port {sentinel_port}\nbind 127.0.0.1\ndir {}\n\
         sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 1\n\
         sentinel down-after-milliseconds {SERVICE} 1000\n\
         sentinel failover-timeout {SERVICE} 5000\n",
        folder.display()
    );
    write(&config, &text)?;
    let mut sentinel = Command::new("redis-server");
    sentinel.arg(&config).arg("--sentinel");
    let mut sentinel = Process::start("sentinel", sentinel, folder.join("sentinel.log"))?;
    ready(&mut sentinel, sentinel_port).await?;
    Ok((sentinel, sentinel_port))
}

/// Waits until it answers, and not another process on the port.
async fn ready(process: &mut Process, port: u16) -> Result<(), FaultError> {
    let pid = format!("process_id:{}\r", process.pid().unwrap_or_default());
    let began = SystemClock.now();
    loop {
        process.check_runs()?;
        let said = say(port, &["INFO", "server"]).await;
        if said.is_ok_and(|said| said.contains(&pid)) {
            return Ok(());
        }
        if SystemClock.now().saturating_duration_since(began) > READY_MAX {
            return Err(FaultError::InVain {
                what: "Redis answers".to_owned(),
                waited: READY_MAX,
            });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Repeats a command until the answer is the expected one.
async fn until(
    port: u16,
    what: &str,
    words: &[&str],
    holds: impl Fn(&str) -> bool,
) -> Result<(), FaultError> {
    let (began, max) = (SystemClock.now(), READY_MAX * 3);
    loop {
        if say(port, words).await.is_ok_and(|said| holds(&said)) {
            return Ok(());
        }
        if SystemClock.now().saturating_duration_since(began) > max {
            return Err(FaultError::InVain {
                what: what.to_owned(),
                waited: max,
            });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn say(port: u16, words: &[&str]) -> Result<String, FaultError> {
    let mut client = Command::new("redis-cli");
    client
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(words);
    output("redis-cli", &mut client).await
}
