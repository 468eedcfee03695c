//! The program as operators have it: started, asked, told to stop.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking; what reads on is a task of its own"
)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

/// Nothing here takes a second, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A started `market-api` on SQLite; it ends with this value.
struct Program {
    child: Child,
    clients: String,
    admin: String,
}

impl Program {
    async fn start(folder: &Path, more: &[&str]) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_market-api"));
        command
            .args(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
            .arg(format!("--db=sqlite:{}", path("market.db")))
            .arg(format!("--images=file:{}", path("images")))
            .arg(format!("--signing-keys={}", path("keys")))
            .args(["--kakao-id=x", "--kakao-secret=x"])
            .args(more);
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (clients, admin) = timeout(PATIENCE, addresses(child.stderr.take().unwrap()))
            .await
            .expect("it did not start");
        Self {
            child,
            clients,
            admin,
        }
    }

    async fn get(&self, base: &str, path: &str) -> Response {
        client().get(format!("{base}{path}")).send().await.unwrap()
    }

    async fn readiness(&self) -> (StatusCode, Value) {
        let answer = self.get(&self.admin, "/readyz").await;
        (answer.status(), answer.json().await.unwrap())
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let told = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(told.unwrap().success());
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it goes on").unwrap().code()
    }
}

/// Where it says that it listens. What it says later is read on, or a full pipe would stop it.
async fn addresses(said: impl AsyncRead + Unpin + Send + 'static) -> (String, String) {
    let mut lines = BufReader::new(said).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("it ended");
        let found = line.split_once("clients at ");
        let Some((clients, admin)) = found.and_then(|(_, rest)| rest.split_once(", admin at "))
        else {
            continue;
        };
        let found = (clients.to_owned(), admin.trim().to_owned());
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return found;
    }
}

fn client() -> Client {
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    client.build().unwrap()
}

/// Waits until something holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut look = interval(Duration::from_millis(10));
    let looking = async {
        while !holds().await {
            look.tick().await;
        }
    };
    let held = timeout(PATIENCE, looking).await;
    held.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_is_told_to_balancers_first_and_ends_what_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path(), &["--lame-duck=1h"]).await;
    let ready = json!({"ready": true, "draining": false, "database": "ok"});
    assert_eq!(program.readiness().await, (StatusCode::OK, ready));

    program.signal("TERM").await;
    let leaving = json!({"ready": false, "draining": true, "database": "ok"});
    eventually("not ready", async || {
        program.readiness().await == (StatusCode::SERVICE_UNAVAILABLE, leaving.clone())
    })
    .await;
    // Balancers need a while to notice, and send clients until then.
    let keys = program
        .get(&program.clients, "/.well-known/jwks.json")
        .await;
    assert_eq!(keys.status(), StatusCode::OK);

    // A login begins, and waits for the database, which somebody else keeps for a moment.
    sqlx::any::install_default_drivers();
    let file = format!("sqlite://{}", folder.path().join("market.db").display());
    let mut other = AnyConnection::connect(&file).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let begun = format!("{}/oauth2/authorization/kakao", program.clients);
    let begun = tokio::spawn(async move { client().get(begun).send().await.unwrap() });
    eventually("the login is under way", async || {
        let page = program.get(&program.admin, "/metrics").await;
        let page = page.text().await.unwrap();
        page.contains("market_http_requests_started_total 2")
    })
    .await;

    program.signal("TERM").await;
    let address = program.clients.strip_prefix("http://").unwrap().to_owned();
    eventually("nobody new is taken", async || {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    other.execute("rollback").await.unwrap();
    assert_eq!(begun.await.unwrap().status(), StatusCode::FOUND);
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lame_duck_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path(), &["--lame-duck=10ms"]).await;
    program.signal("INT").await;
    assert_eq!(program.exit_code().await, Some(0));
}
