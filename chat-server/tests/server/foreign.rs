//! Clients in other languages, against a running server: `@stomp/stompjs` under Node and `stomp-py`,
//! which others wrote, and our own `client` on top of stompjs.
//!
//! What each does and expects stands in `tests/foreign`, and in `client/test`. `infra/test` installs them; without them
//! these tests fail.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::support::{PATIENCE, Site, TestNode};
use shared::claims::MemberToken;
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

/// Runs a client, not for ever. That all went as it must it says itself, at the end.
async fn check(mut client: Command, scenario: &str) {
    let running = client.kill_on_drop(true).output();
    let ended = timeout(PATIENCE * 3, running).await;
    let Output {
        status,
        stdout,
        stderr,
    } = ended.expect("the client ends").unwrap();
    let said = String::from_utf8_lossy(&stdout);
    let complained = String::from_utf8_lossy(&stderr);
    let good = status.success() && said == format!("{scenario} is as it must be\n");
    assert!(good, "{scenario}: {status}\n{said}\n{complained}");
}

async fn check_stompjs(scenario: &str, settings: &[&str]) {
    check_stompjs_on(&node(settings).await, scenario, &[]).await;
}

/// The same on this node; `more` are further environment variables of the scenario.
async fn check_stompjs_on(node: &TestNode, scenario: &str, more: &[(&str, String)]) {
    let folder = folder().join("node");
    installed(folder.join("node_modules/@stomp/stompjs"));
    let mut client = Command::new("node");
    client
        .arg(folder.join("main.mjs"))
        .arg(scenario)
        .arg(format!("ws://{}/conn", node.address))
        .args([node.token(1), node.token(2)])
        .envs(more.iter().map(|(name, value)| (name, value)));
    check(client, scenario).await;
}

/// Runs one file of our own client's tests by Node's test runner, on a node of its own.
async fn check_client(file: &str, settings: &[&str]) {
    check_client_on(&node(settings).await, file, &[]).await;
}

/// The same on this node; `more` are further environment variables of the test file.
async fn check_client_on(node: &TestNode, file: &str, more: &[(&str, String)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("client");
    installed(folder.join("node_modules/@stomp/stompjs"));
    // It ends 8 s from now; before that Node has to start and log in.
    let nearly_an_hour = Duration::from_secs(3_600 - 8);
    let ending = node.token_made(1, MemberToken::Access, nearly_an_hour);
    let mut runner = Command::new("node");
    runner
        // A test that failed leaves its connections; they must not keep Node from saying so.
        .args(["--test", "--test-force-exit", "--test-reporter", "tap"])
        .arg(folder.join("test").join(file))
        .env("CHAT_URL", format!("ws://{}/conn", node.address))
        .env("CHAT_TOKEN", node.token(1))
        .env("CHAT_OTHER_TOKEN", node.token(2))
        .env("CHAT_ENDING_TOKEN", ending)
        .envs(more.iter().map(|(name, value)| (name, value)));
    let running = runner.kill_on_drop(true).output();
    let ended = timeout(PATIENCE * 3, running).await;
    let Output { status, stdout, .. } = ended.expect("the tests end").unwrap();
    let said = String::from_utf8_lossy(&stdout);
    let good = status.success() && said.contains("\n# fail 0\n") && !said.contains("\n# pass 0\n");
    assert!(good, "{file}: {status}\n{said}");
}

async fn check_stomp_py(scenario: &str, settings: &[&str]) {
    let node = node(settings).await;
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/foreign-python");
    let mut client = Command::new(installed(venv.join("bin/python")));
    client
        .arg("-B") // no compiled files beside the sources
        .arg(folder().join("python/main.py"))
        .arg(scenario)
        .args([node.address.ip().to_string(), node.address.port().to_string()])
        .args([node.token(1), node.token(2)]);
    check(client, scenario).await;
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
async fn stompjs_acknowledges_all_at_once() {
    check_stompjs("acksOfAll", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stompjs_acknowledges_each_and_refuses() {
    check_stompjs("acksOfEach", &[]).await;
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

/// Nodes that send their clients away as quickly as they may.
const QUICK: [&str; 6] = [
    "--lame-duck",
    "0s",
    "--notice-min",
    "200ms",
    "--notice-max",
    "200ms",
];

/// What stops this node.
fn stop_url(node: &TestNode) -> String {
    format!("http://{}/admin/drain", node.admin_address)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_front_end_hears_its_rooms_after_a_rolling_restart() {
    let site = Site::new();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(site.node(&QUICK).await);
    }
    nodes[0].room(1, &[1, 2]).await;
    nodes[0].opaque_room(2, &[1, 2]).await;
    let url = |node: &TestNode| format!("ws://{}/conn", node.address);
    let urls: Vec<_> = nodes.iter().map(url).collect();
    let stops: Vec<_> = nodes.iter().take(2).map(stop_url).collect();
    let more = [
        ("CHAT_URLS", urls.join(",")),
        ("CHAT_STOPS", stops.join(",")),
    ];
    check_stompjs_on(&nodes[0], "rollingRestart", &more).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_waits_longer_and_longer() {
    check_client("backoff.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_misses_and_doubles_nothing_over_broken_connections() {
    check_client("resume.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_is_told_of_a_subscription_too_many() {
    check_client("bounds.test.js", &["--subscriptions-max", "3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_sends_again_in_the_original_order() {
    check_client("retry.test.js", &["--sends-per-second", "5"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_moves_before_it_leaves() {
    check_client("moving.test.js", &["--rebalance-age", "1s"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_is_sure_of_the_next_connection_before_it_leaves_the_last() {
    check_client("overlap.test.js", &[]).await;
}

/// Two nodes, with the client on the first one; it gets a migration notice and moves to the second
/// one.
async fn check_client_on_two(settings: &[&str], more: impl FnOnce(&TestNode) -> (&str, String)) {
    let site = Site::new();
    let (first, second) = (site.node(settings).await, site.node(&[]).await);
    first.room(1, &[1, 2]).await;
    let next = ("CHAT_NEXT_URL", format!("ws://{}/conn", second.address));
    let more = [next, more(&first)];
    check_client_on(&first, "nodes.test.js", &more).await;
    for node in [first, second] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_moves_from_an_old_connection_to_another_node() {
    check_client_on_two(&["--rebalance-age", "1s"], |_| {
        ("CHAT_STOP_URL", String::new())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_moves_from_a_node_that_stops_to_another() {
    check_client_on_two(&QUICK, |node| ("CHAT_STOP_URL", stop_url(node))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_knows_when_not_to_come_back() {
    check_client("ends.test.js", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_chats_and_leaves_with_a_receipt() {
    check_stomp_py("chat", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_speaks_every_version() {
    check_stomp_py("versions", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_acknowledges_all_at_once() {
    check_stomp_py("acks_of_all", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_acknowledges_each_and_refuses() {
    check_stomp_py("acks_of_each", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_commits_and_aborts() {
    check_stomp_py("transactions", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_gets_any_bytes_back() {
    check_stomp_py("binary", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_is_told_that_a_mebibyte_is_too_large() {
    check_stomp_py("too_large", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_sends_a_mebibyte_where_the_limit_is_raised() {
    check_stomp_py("large", &["--frame-bytes-max", "4MiB"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_beats_every_second_both_ways() {
    check_stomp_py("heart_beats", &["--heart-beat", "1000,1000"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_resumes_after_what_it_saw() {
    check_stomp_py("resume", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_is_known_by_its_cookie() {
    check_stomp_py("cookie", &[]).await;
}
