//! Several nodes of one site in one process: a command to one node takes effect on all, also when
//! its event is lost.

mod alarms;
mod members;
mod moving;
mod permits;
mod presence;
mod profiles;
mod reports;
mod rooms;
mod separations;
mod sessions;

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::support::{PATIENCE, TestNode};

/// How long a node may go by what it knows.
const MINUTE: Duration = Duration::from_secs(60);

/// What the admin port answers.
async fn admin(node: &TestNode, method: Method, path: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{path}", node.admin_address);
    let request = client.request(method, url).timeout(PATIENCE);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Status and code of a member's GET.
async fn get(node: &TestNode, member: i64, path: &str) -> (u16, u64) {
    let (status, body) = answer(node, member, path).await;
    (status, body["code"].as_u64().unwrap())
}

/// Status and body of a member's GET.
async fn answer(node: &TestNode, member: i64, path: &str) -> (u16, Value) {
    let bearer = format!("Bearer {}", node.token(member));
    answer_by(node, &("authorization", bearer), path).await
}

/// Status and code of a GET with this header.
async fn get_by(node: &TestNode, header: &(&'static str, String), path: &str) -> (u16, u64) {
    let (status, body) = answer_by(node, header, path).await;
    (status, body["code"].as_u64().unwrap())
}

async fn answer_by(node: &TestNode, header: &(&'static str, String), path: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{}{path}", node.address));
    let request = request.header(header.0, &header.1).timeout(PATIENCE);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (status, body)
}

/// All periodic checks of members that there are in a minute.
async fn look_for_a_minute(node: &TestNode) {
    for number in 0..12 {
        node.node.node_control.check_slice(number).await;
    }
}
