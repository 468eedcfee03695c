//! CQL replicas of a run. `infra/services` starts them; its script `infra/replica` kills and
//! freezes single ones.

use std::net::SocketAddr;
use std::path::PathBuf;

use futures_util::future::try_join_all;
use tokio::process::Command;

use super::error::FaultError;
use super::process::{output, run};

/// A fault of one replica, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Freeze,
    /// SIGCONT.
    Thaw,
    /// Start again after a kill, and wait until it serves.
    Start,
}

/// The CQL replicas.
#[derive(Clone, Debug)]
pub(crate) struct Replicas {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Called with `kill|stop|cont|start` and the replica's number from 1 on.
    pub(crate) script: PathBuf,
}

impl Replicas {
    /// Applies it to one replica, counted from 0.
    pub(crate) async fn hurt(&self, replica: usize, deed: Deed) -> Result<(), FaultError> {
        let word = match deed {
            Deed::Kill => "kill",
            Deed::Freeze => "stop",
            Deed::Thaw => "cont",
            Deed::Start => "start",
        };
        let number = (replica + 1).to_string();
        run(
            "the script of replicas",
            Command::new(&self.script).args([word, &number]),
        )
        .await
    }

    /// Prepares to freeze all of them; the future does it within a millisecond or two.
    pub(crate) async fn freeze_at_once(
        &self,
    ) -> Result<impl Future<Output = Result<(), FaultError>> + use<>, FaultError> {
        let mut kill = Command::new("kill");
        kill.args(["-s", "STOP"]);
        for number in 1..=self.addresses.len() {
            let mut script = Command::new(&self.script);
            script.args(["pid", &number.to_string()]);
            let pid = output("the script of replicas", &mut script).await?;
            kill.arg(pid.trim());
        }
        Ok(async move { run("kill", &mut kill).await })
    }

    pub(crate) async fn thaw_all(&self) -> Result<(), FaultError> {
        self.hurt_all(Deed::Thaw).await
    }

    /// Applies it to all of them, to the seed first, which the others need to find each other.
    pub(crate) async fn hurt_all(&self, deed: Deed) -> Result<(), FaultError> {
        self.hurt(0, deed).await?;
        let others = (1..self.addresses.len()).map(|replica| self.hurt(replica, deed));
        try_join_all(others).await.map(drop)
    }
}
