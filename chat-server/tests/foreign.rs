//! Clients that others wrote, against a running server: `@stomp/stompjs` under Node, and `stomp-py`.
//!
//! What each does and expects stands in `tests/foreign`. `infra/test` installs them; without them
//! these tests fail.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use support::{PATIENCE, TestNode};
use tokio::process::Command;
use tokio::time::timeout;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign")
}

fn installed(path: PathBuf) -> PathBuf {
    let what = path.display();
    assert!(
        path.exists(),
        "{what} is missing: `infra/test clients` installs it"
    );
    path
}

/// A node with a room of members 1 and 2, and one that takes any body.
async fn node(settings: &[&str]) -> TestNode {
    let node = TestNode::start(settings).await;
    node.room(1, &[1, 2]).await;
    node.opaque_room(2, &[1, 2]).await;
    node
}

async fn check(mut client: Command) {
    let running = client.kill_on_drop(true).output();
    let Output {
        status,
        stdout,
        stderr,
    } = timeout(PATIENCE * 3, running)
        .await
        .expect("the client ends")
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{status}\n{said}\n{complained}");
    assert!(said.trim_end().ends_with("is as it must be"), "{said}");
}

async fn check_stompjs(scenario: &str, settings: &[&str]) {
    let node = node(settings).await;
    let folder = folder().join("node");
    installed(folder.join("node_modules/@stomp/stompjs"));
    let mut client = Command::new("node");
    client
        .arg(folder.join("main.mjs"))
        .arg(scenario)
        .arg(format!("ws://{}/conn", node.address))
        .args([node.token(1), node.token(2)]);
    check(client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_chats_and_leaves_with_a_receipt() {
    check_stompjs("chat", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_speaks_every_version() {
    check_stompjs("versions", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_acknowledges_and_refuses() {
    check_stompjs("acks", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_commits_and_aborts() {
    check_stompjs("transactions", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_gets_any_bytes_back() {
    check_stompjs("binary", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_is_told_that_a_mebibyte_is_too_large() {
    check_stompjs("tooLarge", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_sends_a_mebibyte_where_the_limit_is_raised() {
    check_stompjs("large", &["--frame-bytes-max", "4MiB"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_beats_every_second_both_ways() {
    check_stompjs("heartBeats", &["--heart-beat", "1000,1000"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_resumes_after_what_it_saw() {
    check_stompjs("resume", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_works_as_the_first_front_end_uses_it() {
    check_stompjs("frontEnd", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_chats_acknowledges_commits_and_leaves() {
    let node = node(&[]).await;
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/foreign-python");
    let mut client = Command::new(installed(venv.join("bin/python")));
    client
        .arg(folder().join("python/main.py"))
        .arg(node.address.ip().to_string())
        .arg(node.address.port().to_string())
        .arg(node.token(1));
    check(client).await;
}
