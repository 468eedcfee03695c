//! The program on a disk that is full for a while.

#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::program::{Running, limited, server, start_program};
use crate::support::client::Client;
use crate::support::{PATIENCE, TestNode};

async fn get(address: SocketAddr, path: &str, token: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .get(format!("http://{address}{path}"))
        .bearer_auth(token);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits until the node is ready, or is not; what it says then.
async fn readiness(running: &Running, status: u16) -> Value {
    let looking = async {
        loop {
            let (found, said) = get(running.admin, "/readyz", "").await;
            if found == status {
                return said;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it says so")
}

async fn texts(running: &Running, token: &str) -> Vec<String> {
    let (status, page) = get(running.address, "/api/chat-room/1/history", token).await;
    assert_eq!(status, 200);
    let rows = page["data"]["data"].as_array().unwrap().iter().rev();
    rows.map(|row| row["message"].as_str().unwrap().to_owned())
        .collect()
}

async fn say(client: &mut Client, text: &str) {
    client.say(1, text, text).await;
    client
        .until(|frame| frame.header("receipt-id") == Some(text))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_seen_in_readiness_and_needs_no_restart() {
    let node = TestNode::start(&[]).await;
    node.room(1, &[1, 2]).await;
    let token = node.token(1);
    let folder = node.stop().await;
    let running = start_program(limited("-c 0", &server(folder.path(), &[]))).await;
    assert_eq!(
        readiness(&running, 200).await["reasons"],
        serde_json::json!([])
    );
    let mut client = Client::login(running.address, &token).await;
    say(&mut client, "before").await;

    running.limit_files("1").await;
    client.say(1, "meanwhile", "meanwhile").await;
    let said = readiness(&running, 503).await;
    let reason = said["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with("store: no writes since one failed"),
        "{said}"
    );
    assert_eq!(
        texts(&running, &token).await,
        ["before"],
        "reads are served on"
    );

    running.limit_files("unlimited").await;
    readiness(&running, 200).await;
    let mut client = Client::login(running.address, &token).await;
    say(&mut client, "after").await;
    // What had no receipt may be there, or not.
    let mut texts = texts(&running, &token).await;
    texts.retain(|text| text != "meanwhile");
    assert_eq!(texts, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_does_not_keep_an_intact_store_from_being_served() {
    let node = TestNode::start(&[]).await;
    node.room(1, &[1, 2]).await;
    let token = node.token(1);
    let mut client = Client::login(node.address, &token).await;
    say(&mut client, "before").await;
    drop(client);
    let folder = node.stop().await;
    let running = start_program(limited("-S -f 0", &server(folder.path(), &[]))).await;
    assert_eq!(texts(&running, &token).await, ["before"]);
    let mut client = Client::login(running.address, &token).await;
    client.say(1, "meanwhile", "meanwhile").await;
    readiness(&running, 503).await;
    running.limit_files("unlimited").await;
    readiness(&running, 200).await;
}
