//! The bus over TLS: with the right authority, and with another. Behind a Sentinel: see `sentinel`.

use chat_server::bus::{Bus as _, BusState};

use crate::certificates::signed;
use crate::contract::make::fresh_topic;
use crate::redis::cluster::Cluster;
use crate::redis::node::{Node, QUICK};
use crate::redis::server::Server;

#[tokio::test]
async fn nodes_hear_each_other_over_tls() {
    let ours = signed();
    let server = Server::start_signed(&[], Some(&ours)).await;
    let authority = Some(ours.authority.as_path());
    let here = Node::join_trusting(&server.url(), authority, QUICK).await;
    let mut there = Node::join_trusting(&server.url(), authority, QUICK).await;
    assert_eq!(there.bus.state(), BusState::Up);
    let topic = fresh_topic();
    there.follow(topic).await;
    there.until_heard(&here, topic, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_hear_each_other_over_tls_on_a_cluster() {
    let ours = signed();
    let cluster = Cluster::start_signed(Some(&ours)).await;
    let authority = Some(ours.authority.as_path());
    let here = Node::join_trusting(&cluster.url(), authority, QUICK).await;
    let mut there = Node::join_trusting(&cluster.url(), authority, QUICK).await;
    assert_eq!(there.bus.state(), BusState::Up);
    for place in 0..3 {
        let [topic] = cluster.topics_of(place).await;
        there.follow(topic).await;
        there.until_heard(&here, topic, 1).await;
    }
}

#[tokio::test]
async fn server_that_another_authority_signed_is_not_talked_to() {
    let (ours, others) = (signed(), signed());
    let server = Server::start_signed(&[], Some(&others)).await;
    let known = Node::join_trusting(&server.url(), Some(&others.authority), QUICK).await;
    assert_eq!(known.bus.state(), BusState::Up);
    // It has waited for as long as a connection may take.
    let unknown = Node::join_trusting(&server.url(), Some(&ours.authority), QUICK).await;
    assert_eq!(unknown.bus.state(), BusState::Away);
    // Nor is one that does not encrypt.
    let plain = Server::start().await;
    let url = format!("rediss://127.0.0.1:{}", plain.port);
    let unknown = Node::join_trusting(&url, Some(&ours.authority), QUICK).await;
    assert_eq!(unknown.bus.state(), BusState::Away);
}
