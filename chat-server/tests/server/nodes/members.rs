//! Blocked and disconnected members.

use http::Method;
use serde_json::json;
use stomp::{Command, FrameWriter, Version};

use crate::nodes::{MINUTE, admin, get, look_for_a_minute};
use crate::support::client::Client;
use crate::support::raw::Raw;
use crate::support::{Site, TestNode, eventually};

/// A member's connection ends with this code, and nothing is said before.
async fn ends_with(client: &mut Client, code: u16) {
    let frames = client.end().await;
    // Who is to come again and does not listen for notices gets an ERROR.
    let errors = frames.iter().map(|frame| frame.header("message"));
    let expected = (code == 1012).then_some(Some("Server restarting, reconnect"));
    assert!(errors.eq(expected), "{frames:?}");
    assert_eq!(client.close_code, Some(code));
}

/// The answer to CONNECT with a good token of a blocked member.
pub(super) async fn is_turned_away(node: &TestNode, member: i64) {
    let mut raw = Raw::open(node.address).await;
    let token = node.token(member);
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"
    ))
    .await;
    let ending = raw.ending().await;
    assert_eq!(ending.code, Some(4403));
    assert_eq!(ending.error().header("code"), Some("2012"));
    // Front ends stop coming back at exactly this.
    let says = ending.error().header("message");
    assert_eq!(says, Some(stomp::AUTHENTICATION_FAILED));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_out_on_all_nodes_until_unblocked() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    a.room(1, &[1, 2]).await;
    let mut here = Client::login(a.address, &a.token(1)).await;
    let mut there = Client::login(b.address, &b.token(1)).await;
    there.subscribe("s", "/sub/1", &[]).await;
    let mut other = Client::login(b.address, &b.token(2)).await;
    assert_eq!(get(&b, 1, "/api/chat-room").await, (200, 0));

    let answer = admin(&a, Method::POST, "/admin/members/1/block").await;
    let expected = json!({"memberId": 1, "blocked": true, "closed": 1});
    assert_eq!(answer, expected);
    ends_with(&mut here, 4403).await;
    ends_with(&mut there, 4403).await;
    for node in [&a, &b] {
        is_turned_away(node, 1).await;
        assert_eq!(get(node, 1, "/api/chat-room").await, (403, 2012));
    }
    other.subscribe("s", "/sub/1", &[]).await;

    site.clock.advance(MINUTE / 60);
    let answer = admin(&b, Method::POST, "/admin/members/1/unblock").await;
    let expected = json!({"memberId": 1, "blocked": false, "closed": 0});
    assert_eq!(answer, expected);
    for node in [&a, &b] {
        let mut back = Client::login(node.address, &node.token(1)).await;
        back.subscribe("s", "/sub/1", &[]).await;
    }
    drop((here, there, other));
    for node in [a, b] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_of_a_blocked_member_ends_also_when_no_node_was_told() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    let mut blocked = Client::login(deaf.address, &deaf.token(1)).await;
    let mut good = Client::login(deaf.address, &deaf.token(13)).await; // of the same slice
    admin(&a, Method::POST, "/admin/members/1/block").await;
    look_for_a_minute(&deaf).await;
    ends_with(&mut blocked, 4403).await;
    is_turned_away(&deaf, 1).await;
    good.subscribe("s", "/user/queue/errors", &[]).await;
    drop((blocked, good));
    deaf.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_22_who_is_blocked_does_nothing_more_once_a_minute_has_passed() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    a.room(1, &[1, 2]).await;
    let send = FrameWriter::new(Command::Send, Version::V1_2)
        .header("destination", "/pub/1")
        .body(br#"{"message":"x"}"#);
    let subscribe = FrameWriter::new(Command::Subscribe, Version::V1_2)
        .header("id", "s")
        .header("destination", "/sub/1")
        .end();
    let begin = FrameWriter::new(Command::Begin, Version::V1_2)
        .header("transaction", "t")
        .end();
    let bound = FrameWriter::new(Command::Send, Version::V1_2)
        .header("destination", "/pub/1")
        .header("transaction", "t")
        .body(br#"{"message":"x"}"#);
    let commit = FrameWriter::new(Command::Commit, Version::V1_2)
        .header("transaction", "t")
        .end();
    for frames in [vec![send], vec![subscribe], vec![begin, bound, commit]] {
        site.clock.advance(MINUTE / 60);
        admin(&a, Method::POST, "/admin/members/1/unblock").await;
        site.clock.advance(MINUTE);
        let mut client = Client::login(deaf.address, &deaf.token(1)).await;
        site.clock.advance(MINUTE / 60);
        admin(&a, Method::POST, "/admin/members/1/block").await;
        // What the node knows is young enough to go by.
        client.say(1, "still", "r").await;
        client
            .until(|frame| frame.header("receipt-id") == Some("r"))
            .await;
        site.clock.advance(MINUTE);
        for frame in frames {
            client.send(frame).await;
        }
        ends_with(&mut client, 4403).await;
    }
    assert_eq!(get(&deaf, 1, "/api/chat-room").await, (403, 2012));
    let close_blocked = &deaf.node.services.metrics.close_blocked;
    assert_eq!(close_blocked.get(chat_server::metrics::BlockedAt::Open), 3);
    deaf.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disconnected_may_come_back_at_once() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    let mut clients = Vec::new();
    for (node, member) in [(&a, 1), (&a, 1), (&b, 1), (&b, 2)] {
        clients.push(Client::login(node.address, &node.token(member)).await);
    }
    let mut other = clients.pop().unwrap();
    let answer = admin(&b, Method::POST, "/admin/members/1/disconnect").await;
    assert_eq!(answer, json!({"closed": 1}));
    for client in &mut clients {
        ends_with(client, 1012).await;
    }
    other.subscribe("s", "/user/queue/errors", &[]).await;
    for node in [&a, &b] {
        Client::login(node.address, &node.token(1)).await;
    }
    drop((clients, other));
    for node in [a, b] {
        node.stop().await;
    }
}

/// A node removes a member without connections from its list.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_connections_is_not_on_the_list() {
    let site = Site::new();
    let a = site.node(&[]).await;
    let mut first = Client::login(a.address, &a.token(1)).await;
    let second = Client::login(a.address, &a.token(1)).await;
    drop(second);
    let connections = &a.node.services.connections;
    eventually("one is gone", || connections.count() == 1).await;
    let answer = admin(&a, Method::POST, "/admin/members/1/disconnect").await;
    assert_eq!(answer, json!({"closed": 1}));
    ends_with(&mut first, 1012).await;
    let one = 1_i64.try_into().unwrap();
    eventually("all are gone", || !connections.has_member(one)).await;
    let answer = admin(&a, Method::POST, "/admin/members/1/disconnect").await;
    assert_eq!(answer, json!({"closed": 0}));
    a.stop().await;
}
