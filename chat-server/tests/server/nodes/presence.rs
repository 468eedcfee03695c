//! Who is online, for the whole site: over REST, and as events of rooms.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json as value};
use stomp::Frame;

use crate::nodes::members::is_turned_away;
use crate::nodes::{admin, answer};
use crate::support::client::{Client, json};
use crate::support::{PATIENCE, PRESENCE_GRACE, Site, TestNode};

/// Whether each member of room 1 is online, as this node answers to member 1.
async fn online(node: &TestNode) -> Vec<Option<bool>> {
    let (status, body) = answer(node, 1, "/api/chat-room/1/members").await;
    assert_eq!(status, 200, "{body}");
    let rows = body["data"].as_array().unwrap().iter();
    rows.map(|row| row["online"].as_bool()).collect()
}

async fn until_online(node: &TestNode, expected: [bool; 2]) {
    let expected = expected.map(Some);
    let shown = async { while online(node).await != expected {} };
    let shown = tokio::time::timeout(PATIENCE, shown).await;
    shown.unwrap_or_else(|_| panic!("in vain: {expected:?}"));
}

/// The next event about another member than the follower, but for its time.
async fn event(client: &mut Client) -> Value {
    let mut event = json(&message(client).await);
    event.as_object_mut().unwrap().remove("at");
    event
}

async fn message(client: &mut Client) -> Frame {
    let of_other =
        |frame: &Frame| frame.command() == stomp::Command::Message && json(frame)["memberId"] != 2;
    client.until(of_other).await
}

fn came(member: u64) -> Value {
    value!({"type": "joined", "memberId": member, "presence": "online"})
}

fn went(member: u64) -> Value {
    value!({"type": "left", "memberId": member, "presence": "offline"})
}

async fn login(node: &TestNode, member: i64) -> Client {
    Client::login(node.address, &node.token(member)).await
}

/// Member 2, who follows the events of room 1.
async fn follower(node: &TestNode) -> Client {
    let mut client = login(node, 2).await;
    client.subscribe("e", "/sub/1/events", &[]).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_online_on_every_node_until_their_last_connection_ends() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    a.room(1, &[1, 2]).await;
    assert_eq!(online(&b).await, [Some(false), Some(false)]);
    let (first, second, third) = (login(&a, 1).await, login(&a, 1).await, login(&b, 1).await);
    assert_eq!(online(&a).await, [Some(true), Some(false)]);
    assert_eq!(online(&b).await, [Some(true), Some(false)]);
    drop((first, third));
    until_online(&b, [true, false]).await;
    drop(second);
    until_online(&b, [false, false]).await;
    assert_eq!(online(&a).await, [Some(false), Some(false)]);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_show_who_comes_online_and_goes_offline_but_no_reload() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    a.room(1, &[1, 2]).await;
    let mut follower = follower(&b).await;
    let first = login(&a, 1).await;
    assert_eq!(event(&mut follower).await, came(1));

    // Another tab, elsewhere; then a reload that lands on the other node within the grace.
    let second = login(&b, 1).await;
    drop((first, second));
    until_online(&b, [false, true]).await;
    let back = login(&b, 1).await;
    site.clock.advance(PRESENCE_GRACE);
    // The checks of what was before the reload are over when a later one has shown its result.
    let other = login(&b, 3).await;
    // Before the group exists: the follower of it would see the login, too.
    b.presence_shown().await;
    a.group(2, &[2, 3]).await;
    follower.subscribe("f", "/sub/2/events", &[]).await;
    drop(other);
    let three = 3_u64.try_into().unwrap();
    let presence = &b.node.services.presence;
    let gone = async { while presence.online(&[three]).await.unwrap()[0] {} };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    site.clock.advance(PRESENCE_GRACE);
    assert_eq!(event(&mut follower).await, went(3));

    drop(back);
    until_online(&a, [false, true]).await;
    site.clock.advance(PRESENCE_GRACE);
    assert_eq!(event(&mut follower).await, went(1));
    // The end of a presence ends no subscription.
    let again = login(&a, 1).await;
    assert_eq!(event(&mut follower).await, came(1));
    drop((again, follower));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_member_is_not_shown_as_online() {
    let site = Site::new();
    let node = site.node(&[]).await;
    node.room(1, &[1, 2]).await;
    let mut follower = follower(&node).await;
    admin(&node, Method::POST, "/admin/members/1/block").await;
    is_turned_away(&node, 1).await;
    let online = &node.node.services.metrics.presence.online;
    assert_eq!(online.get(), 1, "the follower");
    site.clock.advance(Duration::from_secs(1));
    admin(&node, Method::POST, "/admin/members/1/unblock").await;
    let good = login(&node, 1).await;
    assert_eq!(event(&mut follower).await, came(1));
    drop((good, follower));
    node.stop().await;
}
