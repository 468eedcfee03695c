//! The built program as a process of its own, with its log.

use std::process::Stdio;
use std::time::Duration;

use market_api::db::DbUrl;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::site::args;
use crate::support::{On, fresh_url};

/// Bound of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running market. It is killed on drop.
pub(crate) struct Program {
    server: Child,
    /// Base URL for clients.
    pub(crate) base: String,
    /// Base URL for operators.
    pub(crate) admin: String,
    log: JoinSet<String>,
    /// The folder of its files.
    pub(crate) folder: TempDir,
}

impl Program {
    /// Starts a market on an empty database; browsers reach it under `public_url`, and its providers are at
    /// `providers`.
    pub(crate) async fn start(on: On, public_url: &str, providers: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = fresh_url(on, &folder).await;
        let run = r#"exec "$0" "$@""#;
        Self::start_by(run, (folder, url), (public_url, providers), more).await
    }

    /// As [`Self::start`], on an existing folder, by this shell command.
    pub(crate) async fn start_by(
        run: &str,
        (folder, url): (TempDir, DbUrl),
        (public_url, providers): (&str, &str),
        more: &[&str],
    ) -> Self {
        let any = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
        let more = [any.as_slice(), more].concat();
        // Beyond the file size limit a write must fail instead of killing the process: see `limit_files`.
        let mut command = Command::new("sh");
        command.args(["-c", &format!(r#"trap "" XFSZ; {run}"#)]);
        command.arg(env!("CARGO_BIN_EXE_market-api"));
        command.args(&args(&url, &folder, public_url, providers, &more)[1..]);
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut server = command.spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let listening = async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended: {said}"));
                said.push_str(&line);
                said.push('\n');
                let found = line.split_once("clients at ");
                if let Some((base, admin)) = found.and_then(|(_, at)| at.split_once(", admin at "))
                {
                    return (base.to_owned(), admin.trim().to_owned());
                }
            }
        };
        let (base, admin) = timeout(PATIENCE, listening).await.expect("it starts");
        // The pipe must be drained, or the server would block on its log.
        let mut log = JoinSet::new();
        log.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        Self {
            server,
            base,
            admin,
            log,
            folder,
        }
    }

    /// The number of its open files and sockets.
    pub(crate) fn open_files(&self) -> usize {
        let id = self.server.id().unwrap();
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }

    /// Limits the size of its files, which simulates a full disk.
    pub(crate) async fn limit_files(&self, limit: &str) {
        let id = self.server.id().unwrap().to_string();
        let limit = format!("--fsize={limit}:");
        let mut limited = Command::new("prlimit");
        limited.args([&limit, "--pid", &id]);
        assert!(limited.status().await.unwrap().success());
    }

    /// Kills it; returns its folder.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.server.kill().await.unwrap();
        self.folder
    }

    /// Sends it the signal of this name.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.server.id().unwrap().to_string();
        let told = Command::new("kill").args(["-s", name, &id]).status();
        assert!(told.await.unwrap().success());
    }

    /// The exit code, once it ends by itself.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.server.wait()).await;
        ended.expect("it stops").unwrap().code()
    }

    /// Stops it; returns its log.
    pub(crate) async fn stop(mut self) -> String {
        self.signal("TERM").await;
        assert_eq!(self.exit_code().await, Some(0));
        let said = timeout(PATIENCE, self.log.join_next()).await;
        said.expect("its log ends").unwrap().unwrap()
    }
}
