//! The presence registry when nodes or its Redis fail.

use std::time::Duration;

use chat_server::presence::redis::PresenceTuning;
use chat_server::presence::{PresenceChange, PresenceState};
use serde_json::Value;
use shared::ids::MemberId;
use tokio::time::timeout;

use crate::contract::make::member;
use crate::contract::presence::Node;
use crate::presence_contract::Redis;
use crate::redis::server::{PATIENCE, Server};
use crate::support::TestNode;
use crate::support::client::Client;

/// Quick to notice, and renewed often; entries live long enough for a busy machine.
pub(crate) const QUICK: PresenceTuning = PresenceTuning {
    connect_max: Duration::from_secs(1),
    command_max: Duration::from_secs(1),
    probe_every: Duration::from_millis(50),
    retry_max: Duration::from_millis(200),
    renew_every: Duration::from_millis(100),
    ttl: Duration::from_secs(60),
    grace: Duration::from_millis(50),
};

/// A member of a node that died is gone after this.
const SHORT: PresenceTuning = PresenceTuning {
    ttl: Duration::from_secs(3),
    ..QUICK
};

fn registry(server: &Server, tuning: PresenceTuning) -> Redis {
    Redis {
        url: server.url(),
        prefix: "test".to_owned(),
        authority: None,
        tuning,
    }
}

pub(crate) async fn until_state(node: &Node, state: PresenceState) {
    let reached = async {
        while node.presence.state() != state {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = timeout(PATIENCE, reached).await;
    reached.unwrap_or_else(|_| panic!("never {state:?}"));
}

fn members() -> [MemberId; 2] {
    [member(7), member(8)]
}

/// Other builds and operators know them: they stay.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_redis_never_change_and_expire() {
    let server = Server::start().await;
    let (node, _) = registry(&server, QUICK).join().await;
    node.presence.connected(member(7));
    node.until(&[member(7)], &[true]).await;
    assert!(node.presence.claim("k", PATIENCE).await.unwrap());
    let keys = server.command(&["keys", "*"]).await;
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["test:claim:k", "test:presence:{member:7}"]);
    for key in keys {
        let ttl: i64 = server.command(&["pttl", key]).await.parse().unwrap();
        assert!((1..=60_000).contains(&ttl), "{key}: {ttl}");
    }
    node.presence.disconnected(member(7));
    node.until(&[member(7)], &[false]).await;
    let gone = async {
        while !server
            .command(&["keys", "test:presence:*"])
            .await
            .is_empty()
        {}
    };
    timeout(PATIENCE, gone).await.expect("no key is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_node_that_died_expire_and_others_do_not() {
    let server = Server::start().await;
    let registry = registry(&server, SHORT);
    let ((dying, _), (living, _)) = (registry.join().await, registry.join().await);
    dying.presence.connected(member(7));
    living.presence.connected(member(8));
    living.until(&members(), &[true, true]).await;
    // Dropped: it removes nothing, as after a SIGKILL.
    drop(dying);
    living.until(&members(), &[false, true]).await;
    // The next one is not taken for online because of the dead node.
    let (mut next, _) = registry.join().await;
    next.presence.connected(member(7));
    assert_eq!(next.next().await, PresenceChange::Online(member(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_node_leaves_nobody_behind() {
    let server = Server::start().await;
    let registry = registry(&server, QUICK);
    let ((a, _), (b, _)) = (registry.join().await, registry.join().await);
    a.presence.connected(member(7));
    b.until(&[member(7)], &[true]).await;
    a.presence.close(PATIENCE).await;
    assert_eq!(b.presence.online(&[member(7)]).await.unwrap(), [false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_is_filled_again_without_announcements() {
    let server = Server::start().await;
    let registry = registry(&server, QUICK);
    let ((mut a, _), (b, _)) = (registry.join().await, registry.join().await);
    a.presence.connected(member(7));
    assert_eq!(a.next().await, PresenceChange::Online(member(7)));
    for _ in 0..3 {
        assert_eq!(server.command(&["flushall"]).await, "OK");
        b.until(&members(), &[true, false]).await;
    }
    a.presence.connected(member(8));
    assert_eq!(a.next().await, PresenceChange::Online(member(8)));
    a.presence.disconnected(member(7));
    assert_eq!(a.next().await, PresenceChange::Offline(member(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_nothing_is_known_and_afterwards_everything_again() {
    let mut server = Server::start().await;
    // Renewals do not help: what is registered again is so because of the connection.
    let tuning = PresenceTuning {
        renew_every: PATIENCE,
        ..QUICK
    };
    let (mut node, metrics) = registry(&server, tuning).join().await;
    node.presence.connected(member(7));
    assert_eq!(node.next().await, PresenceChange::Online(member(7)));
    server.kill().await;
    until_state(&node, PresenceState::Away).await;
    assert!(node.presence.online(&members()).await.is_err());
    assert!(node.presence.claim("k", PATIENCE).await.is_err());
    node.presence.connected(member(8));
    server.resume().await;
    until_state(&node, PresenceState::Up).await;
    node.until(&members(), &[true, true]).await;
    assert_eq!(node.next().await, PresenceChange::Online(member(8)));
    assert!(node.presence.claim("k", PATIENCE).await.unwrap());
    assert!(metrics.presence.disconnects.get() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_noticed_and_heals() {
    let server = Server::start().await;
    let (node, _) = registry(&server, QUICK).join().await;
    node.presence.connected(member(7));
    node.until(&members(), &[true, false]).await;
    server.freeze().await;
    until_state(&node, PresenceState::Away).await;
    assert!(node.presence.online(&members()).await.is_err());
    node.presence.disconnected(member(7));
    node.presence.connected(member(8));
    server.thaw().await;
    until_state(&node, PresenceState::Up).await;
    node.until(&members(), &[false, true]).await;
}

/// Whether each member of room 1 is online, as a node answers to member 1.
async fn online(node: &TestNode) -> Vec<Option<bool>> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/api/chat-room/1/members", node.address);
    let request = client.get(url).bearer_auth(node.token(1));
    let answer = request.timeout(PATIENCE).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let rows = body["data"].as_array().unwrap().iter();
    rows.map(|row| row["online"].as_bool()).collect()
}

async fn until_online(node: &TestNode, expected: [Option<bool>; 2]) {
    let shown = async { while online(node).await != expected {} };
    let shown = timeout(PATIENCE, shown).await;
    shown.unwrap_or_else(|_| panic!("in vain: {expected:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_show_each_others_members_and_chat_goes_on_without_redis() {
    let mut server = Server::start().await;
    let url = server.url();
    let settings = ["--bus", url.as_str()];
    let (a, b) = (
        TestNode::start(&settings).await,
        TestNode::start(&settings).await,
    );
    for node in [&a, &b] {
        node.room(1, &[1, 2]).await;
    }
    let mut first = Client::login(a.address, &a.token(1)).await;
    let second = Client::login(b.address, &b.token(2)).await;
    until_online(&a, [Some(true), Some(true)]).await;
    drop(second);
    until_online(&a, [Some(true), Some(false)]).await;

    server.kill().await;
    until_online(&a, [None, None]).await;
    first.say(1, "without presence", "r").await;
    first
        .until(|frame| frame.header("receipt-id") == Some("r"))
        .await;
    let third = Client::login(b.address, &b.token(2)).await;
    server.resume().await;
    until_online(&a, [Some(true), Some(true)]).await;
    drop((first, third));
    until_online(&a, [Some(false), Some(false)]).await;
    a.stop().await;
    b.stop().await;
}
