//! The built program as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// The program, listening. It is killed when this is dropped.
pub(crate) struct Running {
    server: Child,
    pub(crate) address: SocketAddr,
    _log: JoinSet<()>,
}

/// How a program is brought to its end.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
}

/// The program with these arguments, not started yet.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    program.args(args).kill_on_drop(true);
    program
}

/// Runs the program to its end, which is to come soon.
pub(crate) async fn run(mut program: Command) -> Output {
    timeout(PATIENCE, program.output())
        .await
        .expect("it ends")
        .unwrap()
}

/// The program on a folder that a test node has set up, not started yet.
pub(crate) fn server(folder: &Path, more: &[&str]) -> Command {
    let mut server = program(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    server
        .args(["--sends-per-second", "0", "--store"])
        .arg(format!("file:{}", folder.join("chat").display()))
        .arg("--jwks")
        .arg(format!("file:{}", folder.join("jwks.json").display()))
        .args(more);
    server
}

/// Starts the program on a folder that a test node has set up.
pub(crate) async fn start(folder: &Path, more: &[&str]) -> Running {
    let mut server = server(folder, more).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let listening = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it listens");
            let address = line.split("clients at http://").nth(1);
            if let Some(address) = address.and_then(|rest| rest.split(',').next()) {
                return address.parse().unwrap();
            }
        }
    };
    let address = timeout(PATIENCE, listening).await.expect("it starts");
    // The pipe must be emptied, or a chatty server would stop at it; the log is of no interest.
    let mut log = JoinSet::new();
    log.spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
    Running {
        server,
        address,
        _log: log,
    }
}

impl Running {
    /// Ends the program and waits until it is gone.
    pub(crate) async fn end(&mut self, end: End) {
        match end {
            End::Kill => self.server.kill().await.unwrap(),
            End::Terminate => {
                let pid = self.server.id().unwrap().to_string();
                let told = Command::new("kill").args(["-s", "TERM", &pid]).status();
                assert!(told.await.unwrap().success());
                let ended = timeout(PATIENCE, self.server.wait()).await;
                assert_eq!(ended.expect("it stops").unwrap().code(), Some(0));
            }
        }
    }
}
