//! `loadtest offline`: how long clients are without a connection while all nodes are restarted one
//! after the other. The clients are real ones: stompjs in a Node program.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::cases::Needs;
use super::crowd::rooms_of;
use super::error::FaultError;
use super::process::write;
use super::report::print;
use super::run::{Ground, first_room};
use super::{Fault, until_interrupted};

/// How long the clients may take to connect, or to report.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// `loadtest offline`
#[derive(Clone, Debug, Args)]
pub(crate) struct Offline {
    #[command(flatten)]
    fault: Fault,

    /// Which clients; all of them without it
    #[arg(long, value_enum)]
    mode: Vec<Mode>,

    /// The program with the clients
    #[arg(
        long,
        default_value = "loadtest/offline/offline.mjs",
        value_name = "FILE"
    )]
    clients: PathBuf,

    /// A folder with a package.json and stompjs and ws installed
    #[arg(long, default_value = "chat-server/client", value_name = "DIR")]
    packages: PathBuf,
}

/// Which clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// stompjs as its documentation shows it
    Plain,
    /// Our client module on top of it
    Module,
}

/// Input of the program with the clients.
#[derive(Debug, Serialize)]
struct Told {
    url: String,
    mode: Mode,
    packages: PathBuf,
    client: PathBuf,
    members: Vec<ToldMember>,
}

#[derive(Debug, Serialize)]
struct ToldMember {
    token: String,
    room: u32,
}

impl Offline {
    /// Restarts all nodes under each kind of client and prints their time offline.
    ///
    /// # Errors
    /// The measurement could not be completed.
    pub(crate) async fn run(self) -> Result<(), FaultError> {
        until_interrupted(Box::pin(self.run_modes())).await
    }

    async fn run_modes(&self) -> Result<(), FaultError> {
        let modes = match self.mode.as_slice() {
            [] => &[Mode::Plain, Mode::Module],
            modes => modes,
        };
        let ground = Ground::new(&self.fault)?;
        for (number, mode) in (0..).zip(modes) {
            print(&self.measure(&ground, *mode, number).await?)?;
        }
        Ok(())
    }

    async fn measure(
        &self,
        ground: &Ground<'_>,
        mode: Mode,
        number: u32,
    ) -> Result<String, FaultError> {
        let folder = ground.fresh_folder(&format!("offline-{mode:?}"))?;
        let mut cluster = ground.cluster(Needs::Nodes, &folder).await?;
        ground.make_rooms(&cluster, number).await?;
        let members = (1..)
            .zip(ground.tokens(number)?)
            .map(|(member, token)| ToldMember {
                token,
                room: first_room(number) + rooms_of(member, self.fault.rooms)[0],
            });
        let told = Told {
            url: format!("ws://{}/conn", cluster.balancer.address),
            mode,
            packages: self.packages.clone(),
            client: self.packages.join("chat-client.js"),
            members: members.collect(),
        };
        let file = folder.join("clients.json");
        write(&file, &serde_json::to_string(&told).expect("plain data"))?;
        let (mut child, mut lines) = self.start_clients(&file)?;
        expect_line(&mut lines).await?;
        for node in 0..cluster.nodes.len() {
            cluster.roll_node(node).await?;
        }
        if let Some(mut stdin) = child.stdin.take() {
            // A program that has ended has reported why.
            stdin.write_all(b"end\n").await.ok();
        }
        expect_line(&mut lines).await
    }

    fn start_clients(
        &self,
        file: &std::path::Path,
    ) -> Result<(Child, Lines<BufReader<ChildStdout>>), FaultError> {
        let wrong = |error| FaultError::Program("node".to_owned(), error);
        let mut command = Command::new("node");
        command.arg(&self.clients).arg(file).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(wrong)?;
        let stdout = child.stdout.take().expect("it is piped");
        Ok((child, BufReader::new(stdout).lines()))
    }
}

async fn expect_line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String, FaultError> {
    let line = timeout(ANSWER_MAX, lines.next_line()).await;
    let line = line.map_err(|_elapsed| FaultError::InVain {
        what: "the clients say how it was".to_owned(),
        waited: ANSWER_MAX,
    })?;
    match line {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err(FaultError::Unfit("the clients ended early")),
        Err(error) => Err(FaultError::Program("node".to_owned(), error)),
    }
}
