//! The balancer of a run: HAProxy with the rules of `infra/haproxy`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use shared::clock::{Clock as _, SystemClock};
use tokio::process::Command;
use tokio::time::sleep;

use super::error::FaultError;
use super::process::{Process, free_port};

/// How long HAProxy may take to detect a node's state: two checks 300 ms apart, and the node's own
/// start.
const SEES_MAX: Duration = Duration::from_secs(20);

/// A running HAProxy.
#[derive(Debug)]
pub(crate) struct Balancer {
    process: Process,
    pub(crate) address: SocketAddr,
    status: SocketAddr,
    http: reqwest::Client,
}

/// The servers that HAProxy routes to, each by its public and its admin address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backends<'a> {
    pub(crate) chat: &'a [(SocketAddr, SocketAddr)],
    pub(crate) market: &'a [(SocketAddr, SocketAddr)],
    /// Where the market reaches the admin ports of chat nodes; nowhere without it.
    pub(crate) internal: Option<SocketAddr>,
}

/// Name of a node in HAProxy's configuration.
pub(crate) fn node_name(node: usize) -> String {
    format!("chat{node}")
}

/// State of a node as HAProxy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Up,
    Down,
}

impl Balancer {
    /// Starts HAProxy.
    pub(crate) fn start(
        infra: &Path,
        backends: Backends<'_>,
        folder: &Path,
    ) -> Result<Self, FaultError> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let status = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(infra.join("haproxy/run"));
        command.args([
            "--listen",
            &address.to_string(),
            "--status",
            &status.to_string(),
        ]);
        command.arg("--show-node");
        for (public, admin) in backends.chat {
            command.args(["--chat", &format!("{public}/{admin}")]);
        }
        for (public, admin) in backends.market {
            command.args(["--market", &format!("{public}/{admin}")]);
        }
        if let Some(internal) = backends.internal {
            command.args(["--internal", &internal.to_string()]);
        }
        Ok(Self {
            process: Process::start("balancer", command, folder.join("balancer.log"))?,
            address,
            status,
            http: reqwest::Client::new(),
        })
    }

    /// Waits until HAProxy sees a node in this state.
    pub(crate) async fn until(&mut self, node: usize, seen: Seen) -> Result<(), FaultError> {
        let began = SystemClock.now();
        loop {
            self.process.check_runs()?;
            if self.look(node).await == Some(seen) {
                return Ok(());
            }
            if SystemClock.now().saturating_duration_since(began) > SEES_MAX {
                return Err(FaultError::InVain {
                    what: format!("the balancer sees chat node {node} {seen:?}"),
                    waited: SEES_MAX,
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn look(&self, node: usize) -> Option<Seen> {
        let answer = self.http.get(format!("http://{}/;csv", self.status)).send();
        let text = answer.await.ok()?.text().await.ok()?;
        seen_in(&text, node)
    }
}

/// HAProxy's own table: column 18, `status`, begins with UP or DOWN.
fn seen_in(csv: &str, node: usize) -> Option<Seen> {
    let line = csv
        .lines()
        .find_map(|line| line.strip_prefix(&format!("chat,{},", node_name(node))))?;
    // Two columns are in the prefix.
    match line.split(',').nth(15)?.split(' ').next()? {
        "UP" => Some(Seen::Up),
        "DOWN" => Some(Seen::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_node_is_read_from_its_line() {
        let columns = "0,0,5,7,,9,1,2,,0,,0,0,0,0,";
        let csv =
            format!("# pxname,svname\nchat,chat0,{columns}UP,1\nchat,chat1,{columns}DOWN,1\n");
        assert_eq!(seen_in(&csv, 0), Some(Seen::Up));
        assert_eq!(seen_in(&csv, 1), Some(Seen::Down));
        assert_eq!(seen_in(&csv, 2), None);
    }
}
