//! The bus over TLS: with the right authority, and with another.

use chat_server::bus::{Bus as _, BusState};

use crate::certificates::signed;
use crate::make::fresh_topic;
use crate::node::{Node, QUICK};
use crate::server::Server;

#[tokio::test]
async fn nodes_hear_each_other_over_tls() {
    let ours = signed();
    let server = Server::start_encrypted(&ours).await;
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let here = Node::join_trusting(&url, &ours.authority, QUICK).await;
    let mut there = Node::join_trusting(&url, &ours.authority, QUICK).await;
    assert_eq!(there.bus.state(), BusState::Up);
    let topic = fresh_topic();
    there.follow(topic).await;
    there.until_heard(&here, topic, 1).await;
}

#[tokio::test]
async fn server_that_another_authority_signed_is_not_talked_to() {
    let (ours, others) = (signed(), signed());
    let server = Server::start_encrypted(&others).await;
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let known = Node::join_trusting(&url, &others.authority, QUICK).await;
    assert_eq!(known.bus.state(), BusState::Up);
    // It has waited for as long as a connection may take.
    let unknown = Node::join_trusting(&url, &ours.authority, QUICK).await;
    assert_eq!(unknown.bus.state(), BusState::Away);
    // Nor is one that does not encrypt.
    let plain = Server::start().await;
    let url = format!("rediss://127.0.0.1:{}", plain.port);
    let unknown = Node::join_trusting(&url, &ours.authority, QUICK).await;
    assert_eq!(unknown.bus.state(), BusState::Away);
}
