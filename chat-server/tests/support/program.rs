//! The built program as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// The program, listening. It is killed when this is dropped.
pub(crate) struct Running {
    server: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: watch::Receiver<String>,
    _reading: JoinSet<()>,
}

/// How a program is brought to its end.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and all that follows it.
    Terminate,
    /// SIGTERM twice: connections are closed at once, without a drain.
    TerminateTwice,
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

/// The program under a limit of the shell, such as `-n 256`, which it cannot raise again.
pub(crate) fn limited(limit: &str, program: &Command) -> Command {
    let program = program.as_std();
    let script = format!(r#"trap "" XFSZ; ulimit {limit} && exec "$0" "$@""#);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program.get_program());
    shell.args(program.get_args()).kill_on_drop(true);
    shell
}

/// Starts the program on a folder that a test node has set up.
pub(crate) async fn start(folder: &Path, more: &[&str]) -> Running {
    start_program(server(folder, more)).await
}

/// Starts a program that serves.
pub(crate) async fn start_program(mut program: Command) -> Running {
    let mut server = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let listening = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it listens");
            let addresses = line.split("clients at http://").nth(1);
            let addresses = addresses.and_then(|rest| rest.split_once(", admin at http://"));
            if let Some((clients, admin)) = addresses {
                return (clients.parse().unwrap(), admin.trim().parse().unwrap());
            }
        }
    };
    let (address, admin) = timeout(PATIENCE, listening).await.expect("it starts");
    // The pipe must be emptied, or a chatty server would stop at it.
    let (said, log) = watch::channel(String::new());
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            said.send_modify(|log| log.push_str(&line));
        }
    });
    Running {
        server,
        address,
        admin,
        log,
        _reading: reading,
    }
}

impl Running {
    /// Ends the program and waits until it is gone.
    pub(crate) async fn end(&mut self, end: End) {
        match end {
            End::Kill => self.server.kill().await.unwrap(),
            End::Terminate => {
                self.signal("TERM").await;
                self.ended_well().await;
            }
            End::TerminateTwice => {
                // The first must have been taken: two of one kind that wait are one.
                self.signal("TERM").await;
                self.logged("SIGTERM received").await;
                self.signal("TERM").await;
                self.ended_well().await;
            }
        }
    }

    /// How long its files may be from now on: a number of bytes, or `unlimited`.
    #[cfg(target_os = "linux")]
    pub(crate) async fn limit_files(&self, limit: &str) {
        let pid = self.server.id().unwrap().to_string();
        let limit = format!("--fsize={limit}:");
        let limited = Command::new("prlimit")
            .args([&limit, "--pid", &pid])
            .status();
        assert!(limited.await.unwrap().success());
    }

    async fn signal(&self, name: &str) {
        let pid = self.server.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.await.unwrap().success());
    }

    async fn ended_well(&mut self) {
        let ended = timeout(PATIENCE, self.server.wait()).await;
        assert_eq!(ended.expect("it stops").unwrap().code(), Some(0));
    }

    /// Waits until the program has logged a line with this in it.
    async fn logged(&mut self, part: &str) {
        let seen = self.log.wait_for(|log| log.contains(part));
        let seen = timeout(PATIENCE, seen).await;
        drop(seen.expect("it says so").unwrap());
    }
}
