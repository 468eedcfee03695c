//! The program on a full disk, at its start and later.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use market_api::db::DbUrl;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::program::{PATIENCE, Program};
use crate::support::{On, eventually, fresh_url};

const NOWHERE: &str = "http://127.0.0.1:1";

async fn get(base: &str, path: &str) -> Response {
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let request = client.build().unwrap().get(format!("{base}{path}"));
    request.send().await.unwrap()
}

/// A request that writes.
async fn begin_login(program: &Program) -> StatusCode {
    get(&program.base, "/oauth2/authorization/kakao")
        .await
        .status()
}

async fn readiness(program: &Program) -> (StatusCode, Value) {
    let answer = get(&program.admin, "/readyz").await;
    (answer.status(), answer.json().await.unwrap())
}

async fn is_ready(program: &Program) -> bool {
    readiness(program).await.0 == StatusCode::OK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_seen_in_readiness_and_needs_no_restart() {
    let program = Program::start(On::Sqlite, NOWHERE, NOWHERE, &[]).await;
    assert_eq!(begin_login(&program).await, StatusCode::FOUND);
    assert_eq!(readiness(&program).await.1["reasons"], json!([]));

    program.limit_files("1").await;
    assert_eq!(begin_login(&program).await, StatusCode::SERVICE_UNAVAILABLE);
    let (status, said) = readiness(&program).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let reason = said["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with("database: no writes since one failed"),
        "{said}"
    );
    assert_eq!(said["database"], "ok", "reads are served on");

    program.limit_files("unlimited").await;
    eventually("ready again", async || is_ready(&program).await).await;
    assert_eq!(begin_login(&program).await, StatusCode::FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_on_a_full_disk_writes_nothing() {
    let program = Program::start(On::Sqlite, NOWHERE, NOWHERE, &[]).await;
    let folder = program.kill().await;
    // A killed process leaves a write-ahead log, which SQLite appends to.
    let file = folder.path().join("market.db");
    let log = std::fs::metadata(file.with_extension("db-wal")).unwrap();
    assert!(log.len() > 32 << 10, "{log:?}");

    // The index of SQLite's write-ahead log takes 32 KiB: without it the file cannot be opened.
    let run = r#"exec prlimit --fsize=32768: "$0" "$@""#;
    let kept = (folder, DbUrl::Sqlite(file));
    let program = Program::start_by(run, kept, (NOWHERE, NOWHERE), &[]).await;
    assert_eq!(readiness(&program).await.1["database"], "ok");
    assert_eq!(begin_login(&program).await, StatusCode::SERVICE_UNAVAILABLE);

    program.limit_files("unlimited").await;
    eventually("ready again", async || is_ready(&program).await).await;
    assert_eq!(begin_login(&program).await, StatusCode::FOUND);
}

/// All files below a folder: inode, mode, length, and the times of their last changes.
fn below(folder: &Path) -> BTreeMap<PathBuf, [i64; 7]> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            folders.extend(path.is_dir().then(|| path.clone()));
            found.insert(path.clone(), about(&path));
        }
    }
    found.insert(folder.to_owned(), about(folder));
    found
}

fn about(path: &Path) -> [i64; 7] {
    let about = std::fs::symlink_metadata(path).unwrap();
    [
        about.ino().cast_signed(),
        about.mode().into(),
        about.len().cast_signed(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
    ]
}

/// So its folders may be on a disk that is mounted read-only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_on_postgres_with_its_keys_there_writes_no_file() {
    let run = r#"exec "$0" "$@""#;
    let folder = tempfile::tempdir().unwrap();
    let url = fresh_url(On::Postgres, &folder).await;
    let first = (folder, url.clone());
    let program = Program::start_by(run, first, (NOWHERE, NOWHERE), &[]).await;
    let folder = program.kill().await;
    let before = below(folder.path());
    assert!(before.keys().any(|path| path.ends_with("first.pem")));

    let program = Program::start_by(run, (folder, url), (NOWHERE, NOWHERE), &[]).await;
    let keys = get(&program.base, "/.well-known/jwks.json").await;
    assert_eq!(keys.status(), StatusCode::OK);
    assert_eq!(begin_login(&program).await, StatusCode::FOUND);
    assert!(is_ready(&program).await);
    let folder = program.kill().await;
    assert_eq!(below(folder.path()), before);
}
