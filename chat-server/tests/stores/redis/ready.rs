//! A whole node whose Redis is away.

use chat_server::bus::BusState;
use serde_json::Value;

use crate::redis::server::{PATIENCE, Server};
use crate::support::client::Client;
use crate::support::{TestNode, eventually};

/// The node is ready, and says this of its bus.
async fn check(node: &TestNode, bus: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/readyz", node.admin_address);
    let answer = client.get(url).timeout(PATIENCE).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let answer = (status, body["ready"].as_bool(), body["bus"].as_str());
    assert_eq!(answer, (200, Some(true), Some(bus)), "{body}");
}

async fn comes_to(node: &TestNode, state: BusState) {
    let hub = &node.node.services.hub;
    eventually("the bus changes", || hub.bus_state() == state).await;
}

/// All nodes share Redis: if it made them unready, the balancer would have no node left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_away_shows_and_makes_no_node_unready() {
    let mut server = Server::start().await;
    let node = TestNode::start(&["--bus", &server.url()]).await;
    node.room(1, &[1, 2]).await;
    check(&node, "ok").await;
    let mut client = Client::login(node.address, &node.token(1)).await;
    client.subscribe("s", "/sub/1", &[]).await;
    server.kill().await;
    comes_to(&node, BusState::Away).await;
    check(&node, "away").await;
    // It serves those it has, and lets others in.
    let mut other = Client::login(node.address, &node.token(2)).await;
    other.subscribe("s", "/sub/1", &[]).await;
    client.say(1, "still here", "r").await;
    for client in [&mut client, &mut other] {
        client
            .until(|frame| frame.header("subscription") == Some("s"))
            .await;
    }
    server.resume().await;
    comes_to(&node, BusState::Up).await;
    check(&node, "ok").await;
    drop((client, other));
    node.stop().await;
}
