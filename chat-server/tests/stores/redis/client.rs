//! What the client library does not do by itself, a test for each. Every one fails when what is
//! done about it is taken out.

use std::sync::Arc;
use std::time::Duration;

use chat_server::bus::redis::RedisTuning;
use chat_server::bus::{Bus as _, BusEvent, BusState};

use tokio::time::timeout;

use crate::contract::make::{fresh_topic, seq};
use crate::redis::node::{Node, PATIENT, QUICK};
use crate::redis::server::{PATIENCE, Server};

/// The client library's channel holds 32 messages by default; a single thread makes sure that many
/// are read before one is taken.
#[tokio::test]
async fn burst_arrives_whole() {
    const COUNT: u64 = 10_000;
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    (1..=COUNT).for_each(|at| here.publish(topic, at));
    for at in 1..=COUNT {
        match there.next().await {
            BusEvent::Entries(_, entries) => assert_eq!(entries[0].seq, seq(at)),
            other => panic!("expected entry {at}, got {other:?}"),
        }
    }
    assert_eq!(there.metrics.bus_lagged.get(), 0);
}

/// A lagging receiver gets an error that could be mistaken for the end of the channel.
#[tokio::test]
async fn what_was_too_much_shows_as_lost_and_hearing_goes_on() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let narrow = RedisTuning {
        backlog_max: 16,
        ..PATIENT
    };
    let mut there = Node::join(&server.url(), narrow).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    (1..=5_000).for_each(|at| here.publish(topic, at));
    there.until_lost().await;
    assert!(there.metrics.bus_lagged.get() > 0);
    here.publish(topic, 5_001);
    there.until_head(topic, seq(5_001)).await;
}

/// It returns from SUBSCRIBE when that is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribed_means_confirmed() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topic = fresh_topic();
    server.freeze().await;
    let bus = Arc::clone(&there.bus);
    let mut subscribed = bus.subscribe(topic);
    // What does not wait for Redis takes a thousandth of this.
    let early = timeout(Duration::from_millis(300), &mut subscribed).await;
    assert!(early.is_err(), "Redis stands still and yet: {early:?}");
    server.thaw().await;
    timeout(PATIENCE, subscribed).await.unwrap().unwrap();
    here.publish(topic, 1);
    there.until_head(topic, seq(1)).await;
}

/// It never notices that a server stands still to which it only listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_redis_is_noticed_and_heals_with_lost() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), QUICK).await;
    let mut there = Node::join(&server.url(), QUICK).await;
    let (topic, later) = (fresh_topic(), fresh_topic());
    there.follow(topic).await;
    server.freeze().await;
    there.until(BusState::Away).await;
    here.until(BusState::Away).await;
    there.bus.subscribe(later).await.unwrap_err();
    here.bus.heads(&[topic]).await.unwrap_err();
    here.publish(topic, 1);
    server.thaw().await;
    there.until(BusState::Up).await;
    // Entries published before this are in the store; the bus may or may not have delivered them.
    there.until_lost().await;
    for topic in [topic, later] {
        there.until_heard(&here, topic, 2).await;
    }
}

/// It waits for the answer to a command for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_end_while_redis_stands_still() {
    let server = Server::start().await;
    let unprobed = RedisTuning {
        probe_every: PATIENCE * 2,
        probe_max: PATIENCE * 2,
        ..QUICK
    };
    let here = Node::join(&server.url(), unprobed).await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    server.freeze().await;
    let asked = timeout(PATIENCE, here.bus.heads(&[topic])).await;
    asked.expect("an answer").unwrap_err();
    here.publish(topic, 1);
    here.until(BusState::Away).await;
    server.thaw().await;
    there.until_head(topic, seq(1)).await;
}

/// The client library resubscribes only if configured to, and never delivers what was published
/// meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connection_is_replaced_and_shows_as_lost() {
    let server = Server::start().await;
    // No probe is needed to notice it.
    let here = Node::join(&server.url(), PATIENT).await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topics: Vec<_> = (0..1_500).map(|_| fresh_topic()).collect();
    for topic in &topics {
        there.follow(*topic).await;
    }
    for round in 1..=3 {
        let killed = server.command(&["client", "kill", "type", "pubsub"]).await;
        assert_ne!(killed, "0");
        there.until_lost().await;
        for topic in [topics[0], topics[700], topics[1_499]] {
            there.until_heard(&here, topic, round * 1_000).await;
        }
    }
}

/// Leaving and following again while Redis is slow to answer leaves one of both, not a mixture.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left_and_followed_again_is_heard() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topic = fresh_topic();
    for round in 1..=200 {
        there.follow(topic).await;
        here.publish(topic, round);
        there.until_head(topic, seq(round)).await;
        there.bus.unsubscribe(topic).await;
    }
    here.publish(topic, 201);
    there.follow(topic).await;
    here.publish(topic, 202);
    there.until_head(topic, seq(202)).await;
}
