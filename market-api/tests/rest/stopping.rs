//! Stopping the program, as seen by load balancers, clients and operators.

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::program::{PATIENCE, Program};
use crate::support::{On, eventually};

/// A market without login providers, on SQLite.
async fn start(lame_duck: &str) -> Program {
    let nowhere = "http://127.0.0.1:1";
    Program::start(On::Sqlite, nowhere, nowhere, &[lame_duck]).await
}

async fn get(base: &str, path: &str) -> Response {
    client().get(format!("{base}{path}")).send().await.unwrap()
}

async fn readiness(program: &Program) -> (StatusCode, Value) {
    let answer = get(&program.admin, "/readyz").await;
    (answer.status(), answer.json().await.unwrap())
}

fn client() -> Client {
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    client.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_fails_readiness_first_and_finishes_requests() {
    let mut program = start("--lame-duck=1h").await;
    let ready = json!({
        "ready": true, "draining": false, "reasons": [], "database": "ok", "relay": "ok",
        "gateway": "ok",
    });
    assert_eq!(readiness(&program).await, (StatusCode::OK, ready));

    program.signal("TERM").await;
    let leaving = json!({
        "ready": false, "draining": true, "reasons": ["it is stopping"], "database": "ok",
        "relay": "ok", "gateway": "ok",
    });
    eventually("not ready", async || {
        readiness(&program).await == (StatusCode::SERVICE_UNAVAILABLE, leaving.clone())
    })
    .await;
    // Load balancers need time to notice, and send requests until then.
    let keys = get(&program.base, "/.well-known/jwks.json").await;
    assert_eq!(keys.status(), StatusCode::OK);

    // A login begins and waits for the database, whose lock another connection holds for a moment.
    sqlx::any::install_default_drivers();
    let file = format!(
        "sqlite://{}",
        program.folder.path().join("market.db").display()
    );
    let mut other = AnyConnection::connect(&file).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let begun = format!("{}/oauth2/authorization/kakao", program.base);
    let mut asking = JoinSet::new();
    asking.spawn(async move { client().get(begun).send().await.unwrap() });
    eventually("the login is under way", async || {
        let page = get(&program.admin, "/metrics").await;
        let page = page.text().await.unwrap();
        page.contains("market_http_requests_started_total 2")
    })
    .await;

    program.signal("TERM").await;
    let address = program.base.strip_prefix("http://").unwrap().to_owned();
    eventually("nobody new is taken", async || {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    other.execute("rollback").await.unwrap();
    let begun = asking.join_next().await.unwrap().unwrap();
    assert_eq!(begun.status(), StatusCode::FOUND);
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lame_duck_ends_by_itself() {
    let mut program = start("--lame-duck=10ms").await;
    program.signal("INT").await;
    assert_eq!(program.exit_code().await, Some(0));
}
