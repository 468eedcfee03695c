//! The bus while Redis is away, and messages of other builds.

use chat_server::bus::{Bus as _, BusEvent, BusState};
use shared::ids::RoomId;

use crate::contract::make::{fresh_topic, room, seq};
use crate::redis::node::{Node, PATIENT, PREFIX, QUICK};
use crate::redis::server::{PATIENCE, Server};
use chat_server::log::Topic;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_starts_without_redis_and_joins_when_it_comes() {
    let mut server = Server::prepare(&[], None);
    let here = Node::join(&server.url(), QUICK).await;
    let mut there = Node::join(&server.url(), QUICK).await;
    assert_eq!(there.bus.state(), BusState::Away);
    let topic = fresh_topic();
    there.bus.subscribe(topic).await.unwrap_err();
    here.publish(topic, 3);
    server.resume().await;
    // Entries published before this are in the store; the bus may or may not have delivered them.
    there.until_lost().await;
    there.until_heard(&here, topic, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_while_away_gets_through_as_a_head() {
    let mut server = Server::start().await;
    let here = Node::join(&server.url(), QUICK).await;
    let mut there = Node::join(&server.url(), QUICK).await;
    let (topic, other) = (fresh_topic(), fresh_topic());
    there.follow(topic).await;
    there.follow(other).await;
    server.kill().await;
    here.until(BusState::Away).await;
    there.until(BusState::Away).await;
    (1..=7).for_each(|at| here.publish(topic, at));
    here.publish(other, 5);
    server.resume().await;
    // `there` may reconnect late and get only a `Lost`, so `here` publishes once more.
    there.until_lost().await;
    here.until(BusState::Up).await;
    there.until_heard(&here, topic, 8).await;
    assert!(here.metrics.bus_owed.get() >= 2);
    let noted = here
        .bus
        .heads(&[topic, other, fresh_topic()])
        .await
        .unwrap();
    assert!(noted[0] >= Some(seq(8)), "{noted:?}");
    assert_eq!(noted[1..], [Some(seq(5)), None]);
    let times_away = there.metrics.bus_disconnects.get();
    assert!(times_away >= 1);
    assert_eq!(there.metrics.bus_connects.get(), times_away + 1);
}

/// As after a fail-over that left the connection open: the old primary accepts no writes any more,
/// and subscribers of the new primary get nothing that is published to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_is_one_no_more_is_left() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let nowhere = crate::redis::server::free_port().to_string();
    server.command(&["replicaof", "127.0.0.1", &nowhere]).await;
    here.publish(fresh_topic(), 1);
    here.until(BusState::Away).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_of_a_newer_build_still_tells_the_head() {
    let server = Server::start().await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topic = Topic::Room(room(42));
    there.follow(topic).await;
    let channel = format!("{PREFIX}:{{room:42}}");
    let newer = [&[9][..], &[7; 8], &[5, 0, 0, 0], &[77], b"whatever"].concat();
    server.command_with(&["publish", &channel], &newer).await;
    match there.next().await {
        BusEvent::Head(heard, head) => assert_eq!((heard, head), (topic, seq(5))),
        other => panic!("expected a head, got {other:?}"),
    }
    // Not about the log, so its loss needs no `Lost`.
    let beside = [&[9][..], &[7; 8], &[0; 4], &[78], b"whatever"].concat();
    server.command_with(&["publish", &channel], &beside).await;
    let control = format!("{PREFIX}:control");
    server.command_with(&["publish", &control], &beside).await;
    // No message of ours at all.
    server.command_with(&["publish", &channel], b"hello").await;
    assert!(matches!(there.next().await, BusEvent::Lost));
    assert_eq!(there.metrics.bus_unreadable.get(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_too_large_for_a_message_arrive_as_a_head() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let mut there = Node::join(&server.url(), PATIENT).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    let mut large = crate::contract::make::entry(seq(9), 9);
    large.draft.body = vec![b'x'; 300 << 10].into();
    here.bus.publish(topic, [large.into()].into());
    match there.next().await {
        BusEvent::Head(heard, head) => assert_eq!((heard, head), (topic, seq(9))),
        other => panic!("expected a head, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_noted_is_kept_for_a_day_and_foreign_values_are_unknown() {
    let server = Server::start().await;
    let here = Node::join(&server.url(), PATIENT).await;
    let topic = Topic::Room(RoomId::try_from(42_u64).unwrap());
    here.bus.note_head(topic, seq(6));
    here.bus.close(PATIENCE).await;
    let key = format!("{PREFIX}:head:{{room:42}}");
    assert_eq!(server.command(&["get", &key]).await, "6");
    let left: i64 = server.command(&["ttl", &key]).await.parse().unwrap();
    assert!((86_000..=86_400).contains(&left), "{left}");
    server.command(&["set", &key, "not a number"]).await;
    let other = Node::join(&server.url(), PATIENT).await;
    assert_eq!(other.bus.heads(&[topic]).await.unwrap(), [None]);
}

/// Also when Redis stands still: closing takes no longer than it may, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_bus_lets_go_of_its_receiver() {
    let server = Server::start().await;
    let mut quick = Node::join(&server.url(), QUICK).await;
    let mut frozen = Node::join(&server.url(), PATIENT).await;
    quick.bus.close(PATIENCE).await;
    // Two of `frozen` and the one that asks.
    let left = async { while server.command(&["client", "list"]).await.lines().count() > 3 {} };
    tokio::time::timeout(PATIENCE, left)
        .await
        .expect("closed connections");
    server.freeze().await;
    frozen.publish(fresh_topic(), 1);
    let closing = frozen.bus.close(std::time::Duration::from_millis(100));
    tokio::time::timeout(PATIENCE, closing)
        .await
        .expect("an end");
    for node in [&mut quick, &mut frozen] {
        assert_eq!(node.bus.state(), BusState::Away);
        node.bus.subscribe(fresh_topic()).await.unwrap_err();
        assert!(node.events.try_recv().is_err());
    }
}

/// A wrong password is no reason to stay out of the market; it shows in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_is_used() {
    let server = Server::start_with(&["--requirepass", "hunter2"]).await;
    let address = format!("127.0.0.1:{}", server.port);
    let without = Node::join(&server.url(), QUICK).await;
    assert_eq!(without.bus.state(), BusState::Away);
    let with = Node::join(&format!("redis://:hunter2@{address}/3"), QUICK).await;
    assert_eq!(with.bus.state(), BusState::Up);
    assert!(!format!("{:?}", with.bus).contains("hunter2"));
}
