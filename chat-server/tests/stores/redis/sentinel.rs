//! The bus and the presence registry behind a Sentinel that makes another server the primary.

use std::path::Path;

use chat_server::bus::{Bus as _, BusState};
use chat_server::presence::PresenceState;
use tokio::time::timeout;

use crate::certificates::{Signed, signed};
use crate::contract::make::{fresh_topic, member, seq};
use crate::presence_contract::Redis;
use crate::redis::node::{Node, PREFIX, QUICK};
use crate::redis::presence::{self, until_state};
use crate::redis::server::{PATIENCE, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_primary_is_followed() {
    check(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_primary_is_followed_over_tls() {
    check(Some(&signed())).await;
}

async fn check(signed: Option<&Signed>) {
    let mut primary = Server::start_signed(&[], signed).await;
    let of_primary = primary.port.to_string();
    let args = ["--replicaof", "127.0.0.1", &of_primary];
    let replica = Server::start_signed(&args, signed).await;
    let lines = format!(
        "sentinel monitor main 127.0.0.1 {of_primary} 1\n\
         sentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 2000\n"
    );
    let sentinel = Server::start_sentinel(&lines, signed).await;
    let found = async {
        let of_replica = format!("127.0.0.1:{}", replica.port);
        let ask = ["sentinel", "replicas", "main"];
        while !sentinel.command(&ask).await.contains(&of_replica) {}
    };
    timeout(PATIENCE, found).await.expect("a known replica");
    let url = format!(
        "{}-sentinel://127.0.0.1:{}/main",
        sentinel.family(),
        sentinel.port
    );
    let authority = signed.map(|signed| signed.authority.as_path());
    let here = Node::join_trusting(&url, authority, QUICK).await;
    let mut there = Node::join_trusting(&url, authority, QUICK).await;
    assert_eq!(there.bus.state(), BusState::Up);
    let topic = fresh_topic();
    there.follow(topic).await;
    here.publish(topic, 1);
    there.until_head(topic, seq(1)).await;
    let registry = Redis {
        url,
        prefix: PREFIX.to_owned(),
        authority: authority.map(Path::to_owned),
        tuning: presence::QUICK,
    };
    let (present, _) = registry.join().await;
    present.presence.connected(member(7));
    present.until(&[member(7)], &[true]).await;
    primary.kill().await;
    until_state(&present, PresenceState::Away).await;
    there.until(BusState::Away).await;
    there.until_lost().await;
    there.until_heard(&here, topic, 2).await;
    until_state(&present, PresenceState::Up).await;
    let online = timeout(PATIENCE, present.until(&[member(7)], &[true])).await;
    online.expect("registered at the new primary");
    let role = replica.command(&["role"]).await;
    assert!(role.starts_with("master"), "{role}");
}
