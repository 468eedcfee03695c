//! The built program as a process of its own, and all that it says.

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

/// No step of a test takes this long; what does has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A market, listening. It is killed when this is dropped.
pub(crate) struct Program {
    server: Child,
    /// Where it is for clients.
    pub(crate) base: String,
    /// Where it is for operators.
    pub(crate) admin: String,
    log: JoinSet<String>,
    /// Has all it keeps.
    pub(crate) folder: TempDir,
}

impl Program {
    /// A market on an empty database that browsers reach under `public_url` and whose providers
    /// are at `providers`.
    pub(crate) async fn start(on: On, public_url: &str, providers: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = fresh_url(on, &folder).await;
        let run = r#"exec "$0" "$@""#;
        Self::start_by(run, (folder, url), (public_url, providers), more).await
    }

    /// As [`Self::start`], on what there is, by these words of the shell.
    pub(crate) async fn start_by(
        run: &str,
        (folder, url): (TempDir, DbUrl),
        (public_url, providers): (&str, &str),
        more: &[&str],
    ) -> Self {
        let any = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
        let more = [any.as_slice(), more].concat();
        // A file that may not grow is to be an error, not the end: see `limit_files`.
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
        // The pipe must be emptied, or a chatty server would stop at it.
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

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        let id = self.server.id().unwrap();
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }

    /// How long its files may be from now on, which stands for a full disk.
    pub(crate) async fn limit_files(&self, limit: &str) {
        let id = self.server.id().unwrap().to_string();
        let limit = format!("--fsize={limit}:");
        let mut limited = Command::new("prlimit");
        limited.args([&limit, "--pid", &id]);
        assert!(limited.status().await.unwrap().success());
    }

    /// Kills it; what it keeps.
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

    /// What it ends with by itself.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.server.wait()).await;
        ended.expect("it stops").unwrap().code()
    }

    /// Stops it; all that it has said.
    pub(crate) async fn stop(mut self) -> String {
        self.signal("TERM").await;
        assert_eq!(self.exit_code().await, Some(0));
        let said = timeout(PATIENCE, self.log.join_next()).await;
        said.expect("its log ends").unwrap().unwrap()
    }
}
