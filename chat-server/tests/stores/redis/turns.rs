//! Turns of nodes in writing to a log.

use std::time::Duration;

use chat_server::bus::{Bus as _, BusState};
use tokio::time::timeout;

use crate::contract::make::fresh_topic;
use crate::redis::node::{Node, PATIENT, QUICK};
use crate::redis::server::{PATIENCE, Server};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn one_node_has_the_turn_until_it_ends_it_or_it_expires() {
    let server = Server::start().await;
    let (a, b) = (
        Node::join(&server.url(), PATIENT).await,
        Node::join(&server.url(), PATIENT).await,
    );
    let (topic, other) = (fresh_topic(), fresh_topic());
    assert!(a.bus.take_turn(topic, LONG).await);
    assert!(!b.bus.take_turn(topic, LONG).await);
    assert!(b.bus.take_turn(other, LONG).await, "each log has its own");
    b.bus.end_turn(topic).await;
    assert!(!b.bus.take_turn(topic, LONG).await, "it was not its turn");
    a.bus.end_turn(topic).await;
    assert!(b.bus.take_turn(topic, Duration::from_millis(20)).await);
    let expired = async { while !a.bus.take_turn(topic, LONG).await {} };
    timeout(PATIENCE, expired).await.unwrap();
}

#[tokio::test]
async fn every_node_has_the_turn_while_the_bus_is_away() {
    let mut server = Server::start().await;
    let (a, b) = (
        Node::join(&server.url(), QUICK).await,
        Node::join(&server.url(), QUICK).await,
    );
    let topic = fresh_topic();
    assert!(a.bus.take_turn(topic, LONG).await);
    server.kill().await;
    b.until(BusState::Away).await;
    assert!(b.bus.take_turn(topic, LONG).await);
}
