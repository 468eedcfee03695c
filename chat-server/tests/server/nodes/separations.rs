//! Members of whom one has blocked the other: on all nodes, and how few reads that costs.

use std::sync::Arc;

use chat_server::app::Stores;
use chat_server::bus::local::LocalBus;
use chat_server::members::Separation;
use chat_server::presence::local::LocalPresence;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{RECORDS_MAX, SyncMode};
use shared::clock::Clock;
use shared::ids::MemberId;
use stomp::{Command, Frame};

use crate::nodes::MINUTE;
use crate::nodes::members::is_turned_away;
use crate::support::client::{Client, json};
use crate::support::clock::MovableClock;
use crate::support::faulty_store::{FaultyStore, Operation};
use crate::support::{PATIENCE, Site, TestNode};

fn member(id: u64) -> MemberId {
    id.try_into().unwrap()
}

async fn block(node: &TestNode, [blocker, blocked]: [u64; 2], exists: bool) {
    let separated = node.node.services.members.separate(Separation {
        blocker: member(blocker),
        blocked: member(blocked),
        exists,
        at: node.clock.unix_millis(),
        number: 1,
    });
    separated.await.unwrap();
}

/// A connection that listens for errors.
async fn login(node: &TestNode, member: i64) -> Client {
    let mut client = Client::login(node.address, &node.token(member)).await;
    client.subscribe("e", "/user/queue/errors", &[]).await;
    client
}

/// The code of the refusal of a message to room 1, or 0.
async fn send(client: &mut Client) -> u64 {
    client.say(1, "x", "r").await;
    let is_answer = |frame: &Frame| {
        frame.header("receipt-id") == Some("r") || frame.command() == Command::Message
    };
    let answer = client.until(is_answer).await;
    if answer.command() == Command::Message {
        json(&answer)["code"].as_u64().unwrap()
    } else {
        0
    }
}

async fn until_sent(client: &mut Client, expected: u64) {
    let seen = async { while send(client).await != expected {} };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("in vain: {expected}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn separation_by_one_node_counts_on_the_others_also_where_no_message_arrives() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    let deaf = site.deaf_node(&[]).await;
    a.room(1, &[1, 2]).await;
    let (mut there, mut far) = (login(&b, 2).await, login(&deaf, 2).await);
    for client in [&mut there, &mut far] {
        assert_eq!(send(client).await, 0);
    }
    block(&a, [1, 2], true).await;
    until_sent(&mut there, 8011).await;
    assert_eq!(send(&mut far).await, 0, "young enough");
    site.clock.advance(MINUTE);
    assert_eq!(send(&mut far).await, 8011);

    // The block of the other side goes on.
    block(&b, [2, 1], true).await;
    site.clock.advance(MINUTE / 60);
    block(&b, [1, 2], false).await;
    site.clock.advance(MINUTE);
    for client in [&mut there, &mut far] {
        assert_eq!(send(client).await, 8011);
    }
    block(&b, [2, 1], false).await;
    until_sent(&mut there, 0).await;
    site.clock.advance(MINUTE);
    assert_eq!(send(&mut far).await, 0);
    drop((there, far));
    for node in [a, b, deaf] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_of_separated_members_does_not_show_who_is_online() {
    let site = Site::new();
    let node = site.node(&[]).await;
    node.room(1, &[1, 2]).await;
    node.group(3, &[1, 2, 3]).await;
    let mut follower = login(&node, 2).await;
    for room in [1, 3] {
        let to = format!("/sub/{room}/events");
        follower.subscribe(&to.clone(), &to, &[]).await;
    }
    node.presence_shown().await;
    block(&node, [1, 2], true).await;
    let online = login(&node, 1).await;
    node.presence_shown().await;
    block(&node, [1, 2], false).await;
    let again = login(&node, 4).await;
    let about_one =
        |frame: &Frame| frame.command() == Command::Message && json(frame)["memberId"] == 1;
    let shown = follower.until(about_one).await;
    assert_eq!(shown.header("destination"), Some("/sub/3/events"));
    drop((follower, online, again));
    node.stop().await;
}

/// More blocks than one read lists: those beyond are read one by one.
#[tokio::test(flavor = "multi_thread")]
async fn separation_beyond_the_list_counts() {
    let site = Site::new();
    let node = site.node(&[]).await;
    let members = &node.node.services.members;
    let last = 10_000 + RECORDS_MAX as u64;
    for other in 10_000..=last {
        block(&node, [other, 1], true).await;
    }
    for other in [10_000, last] {
        assert_eq!(
            members.are_separated(member(1), member(other)).await,
            Ok(true)
        );
        assert_eq!(
            members.are_separated(member(other), member(1)).await,
            Ok(true)
        );
    }
    let stranger = members.are_separated(member(1), member(last + 1));
    assert_eq!(stranger.await, Ok(false));
    // A number that begins with another's is not the other.
    let longer = members.are_separated(member(1), member(last / 10));
    assert_eq!(longer.await, Ok(false));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_cost_no_read_of_separations_and_logins_none_either() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let store = EmbeddedStore::open(folder.path().join("chat"), SyncMode::Every(MINUTE)).unwrap();
    let store = Arc::new(FaultyStore::new(Arc::new(store)));
    let shared = (Stores::of(&store), &LocalBus::new(), &LocalPresence::new());
    let clock: Arc<dyn Clock> = Arc::new(MovableClock::new());
    let node = TestNode::start_on(&folder, shared, clock, &[]).await;
    node.room(1, &[1, 2]).await;
    block(&node, [1, 3], true).await;
    let mut client = login(&node, 1).await;
    node.presence_shown().await;
    assert_eq!(send(&mut client).await, 0);
    let reads = store.calls(Operation::Record);
    for _ in 0..20 {
        assert_eq!(send(&mut client).await, 0);
    }
    assert_eq!(store.calls(Operation::Record), reads);
    drop(client);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_closed_account_end_on_all_nodes_for_good() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    let deaf = site.deaf_node(&[]).await;
    let mut clients = Vec::new();
    for node in [&a, &b, &deaf] {
        clients.push(login(node, 1).await);
    }
    let at = a.clock.unix_millis();
    a.node.services.members.close(member(1), at).await.unwrap();
    crate::nodes::look_for_a_minute(&deaf).await;
    for client in &mut clients {
        assert_eq!(client.end().await.len(), 0);
        assert_eq!(client.close_code, Some(4403));
    }
    // Nobody reopens a closed account, whenever that is.
    site.clock.advance(MINUTE);
    let answer = crate::nodes::admin(&b, http::Method::POST, "/admin/members/1/unblock").await;
    assert_eq!(answer["blocked"], true);
    for node in [&a, &b, &deaf] {
        is_turned_away(node, 1).await;
    }
    drop(clients);
    for node in [a, b, deaf] {
        node.stop().await;
    }
}
