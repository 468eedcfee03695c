//! Redis servers of a test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::certificates::Signed;

/// No step of a test takes this long; what does has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The name of a server's configuration, if it has one.
const CONFIG: &str = "redis.conf";

/// A server on a free port of this computer, killed when this is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: TempDir,
    args: Vec<String>,
    /// Who signed its certificate, if it speaks TLS and nothing else.
    authority: Option<PathBuf>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    _log: JoinSet<()>,
}

/// A port without a listener, below those that the system gives to connections. Another process may
/// take it before its user does; that fails loudly.
pub(crate) fn free_port() -> u16 {
    let candidates = (0..1_000).map(|_| rand::rng().random_range(20_000..32_000));
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.into_iter().find(free).expect("a free port")
}

impl Server {
    /// One that keeps nothing.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(args: &[&str]) -> Self {
        Self::start_signed(args, None).await
    }

    /// One that speaks TLS only, with its clients and with its like, if there is a certificate.
    pub(crate) async fn start_signed(args: &[&str], signed: Option<&Signed>) -> Self {
        let mut server = Self::prepare(args, signed);
        server.resume().await;
        server
    }

    /// A Sentinel with these lines of configuration, to which it adds what it finds.
    pub(crate) async fn start_sentinel(lines: &str, signed: Option<&Signed>) -> Self {
        let mut server = Self::prepare(&["--sentinel"], signed);
        std::fs::write(server.folder.path().join(CONFIG), lines).unwrap();
        server.resume().await;
        server
    }

    /// One that is not started yet.
    pub(crate) fn prepare(args: &[&str], signed: Option<&Signed>) -> Self {
        let port = free_port();
        let number = port.to_string();
        let of_port = match signed {
            None => vec!["--port", &number],
            Some(_) => vec!["--port", "0", "--tls-port", &number],
        };
        let of_tls = signed.map(|signed| {
            let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
            [
                ("--tls-cert-file", path(&signed.certificate)),
                ("--tls-key-file", path(&signed.key)),
                ("--tls-ca-cert-file", path(&signed.authority)),
                ("--tls-auth-clients", "no".to_owned()),
                ("--tls-replication", "yes".to_owned()),
                ("--tls-cluster", "yes".to_owned()),
            ]
        });
        let of_tls = of_tls.into_iter().flatten();
        let of_tls = of_tls.flat_map(|(name, value)| [name.to_owned(), value]);
        let given = of_port.iter().chain(args).map(|arg| (*arg).to_owned());
        Self {
            port,
            folder: tempfile::tempdir().unwrap(),
            args: given.chain(of_tls).collect(),
            authority: signed.map(|signed| signed.authority.clone()),
            running: None,
        }
    }

    /// Starts it, for the first time or again; the port stays.
    pub(crate) async fn resume(&mut self) {
        let config = self.folder.path().join(CONFIG);
        let mut child = Command::new("redis-server")
            .args(config.exists().then_some(&config))
            .args(["--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                // A Sentinel never says that it is ready; its number is the last it says before.
                if line.contains("Ready to accept connections") || line.contains("Sentinel ID is") {
                    return;
                }
            }
            panic!("redis-server ended");
        };
        timeout(PATIENCE, ready)
            .await
            .expect("a server that starts");
        let mut log = JoinSet::new();
        // Read to the end, or it would stop for want of room.
        log.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.running = Some(Running { child, _log: log });
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().await.unwrap();
    }

    /// It stands still, with all connections open.
    pub(crate) async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub(crate) async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self
            .running
            .as_ref()
            .unwrap()
            .child
            .id()
            .unwrap()
            .to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.family(), self.port)
    }

    /// How the schemes of its addresses begin.
    pub(crate) fn family(&self) -> &'static str {
        self.authority.as_ref().map_or("redis", |_| "rediss")
    }

    /// The tool that talks to it.
    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if let Some(authority) = &self.authority {
            command.arg("--tls").arg("--cacert").arg(authority);
        }
        command.kill_on_drop(true);
        command
    }

    /// What it answers to a command.
    pub(crate) async fn command(&self, args: &[&str]) -> String {
        self.command_with(args, b"").await
    }

    /// The same with these bytes as the last argument, if there are any.
    pub(crate) async fn command_with(&self, args: &[&str], last: &[u8]) -> String {
        let mut command = self.client();
        if !last.is_empty() {
            command.arg("-x");
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-cli is installed");
        let mut input = child.stdin.take().unwrap();
        input.write_all(last).await.unwrap();
        drop(input);
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.expect("an answer").unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
