//! What connections keep of a permission to write ends with each change, made by this node or another.

use chat_server::members::{Profile, Separation};
use chat_server::store::AccountStatus;
use shared::claims::FamilyId;
use shared::ids::{MemberId, RoomId};
use stomp::{Command, Frame};

use crate::nodes::look_for_a_minute;
use crate::support::client::{Client, json};
use crate::support::{PATIENCE, Site, TestNode, eventually};

fn member(id: u64) -> MemberId {
    id.try_into().unwrap()
}

/// Something that a permission depends on.
#[derive(Clone, Copy, Debug)]
enum Change {
    Blocked,
    SessionEnded,
    Closed,
    Separated,
    Reunited,
    Left,
    Renamed,
}

const ALL: [Change; 7] = [
    Change::Blocked,
    Change::SessionEnded,
    Change::Closed,
    Change::Separated,
    Change::Reunited,
    Change::Left,
    Change::Renamed,
];

/// Changes something of member 1, or of group 2.
async fn make(change: Change, node: &TestNode) {
    let (members, rooms) = (&node.node.services.members, &node.node.services.rooms);
    let at = node.clock.unix_millis();
    let separation = |exists| Separation {
        blocker: member(1),
        blocked: member(2),
        exists,
        at,
        number: u64::from(!exists),
    };
    match change {
        Change::Blocked => {
            let blocked = members.set(member(1), AccountStatus::Blocked, at);
            blocked.await.unwrap();
        }
        Change::SessionEnded => {
            let sid: FamilyId = "another".parse().unwrap();
            members.revoke_session(member(1), sid, at).await.unwrap();
        }
        Change::Closed => members.close(member(1), at).await.unwrap(),
        Change::Separated => members.separate(separation(true)).await.unwrap(),
        Change::Reunited => members.separate(separation(false)).await.unwrap(),
        Change::Left => drop(node.group(2, &[2, 3]).await),
        Change::Renamed => rooms.rename(member(2), "another").await.unwrap(),
    }
}

fn generation(node: &TestNode) -> (u64, u64) {
    let services = &node.node.services;
    (services.members.generation(), services.rooms.generation())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_moves_the_generation_on_all_nodes() {
    for change in ALL {
        let site = Site::new();
        let (a, b) = (site.node(&[]).await, site.node(&[]).await);
        a.room(1, &[1, 2]).await;
        a.group(2, &[1, 2, 3]).await;
        let room: RoomId = 2_u64.try_into().unwrap();
        b.node.services.rooms.access(room, member(1)).await.unwrap();
        let (here, there) = (generation(&a), generation(&b));
        make(change, &a).await;
        assert_ne!(generation(&a), here, "{change:?}");
        eventually("the other node has it", || generation(&b) != there).await;
        let there = generation(&b);
        b.node.node_control.take_loss();
        let (members, rooms) = generation(&b);
        assert!(members > there.0 && rooms > there.1, "{change:?}");
        for node in [a, b] {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_leaves_the_generation() {
    let site = Site::new();
    let a = site.node(&[]).await;
    a.room(1, &[1, 2]).await;
    let mut client = login(&a, 1).await;
    assert_eq!(send(&mut client, 1).await, 0);
    let before = generation(&a);
    assert_eq!(send(&mut client, 1).await, 0);
    let mut other = login(&a, 2).await;
    assert_eq!(send(&mut other, 1).await, 0);
    a.room(1, &[1, 2]).await;
    look_for_a_minute(&a).await;
    let profile = Profile {
        name: "another".to_owned(),
        ..Profile::default()
    };
    let at = a.clock.unix_millis();
    let members = &a.node.services.members;
    members.set_profile(member(1), profile, at).await.unwrap();
    assert_eq!(generation(&a), before);
    drop((client, other));
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn block_that_a_periodic_check_finds_moves_the_generation() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    let client = login(&deaf, 1).await;
    let before = generation(&deaf);
    make(Change::Blocked, &a).await;
    assert_eq!(generation(&deaf), before);
    look_for_a_minute(&deaf).await;
    assert!(generation(&deaf).0 > before.0);
    drop(client);
    for node in [a, deaf] {
        node.stop().await;
    }
}

/// A connection that listens for errors.
async fn login(node: &TestNode, member: i64) -> Client {
    let mut client = Client::login(node.address, &node.token(member)).await;
    client.subscribe("e", "/user/queue/errors", &[]).await;
    client
}

/// The code of the refusal of a message, or 0.
async fn send(client: &mut Client, room: u32) -> u64 {
    client.say(room, "x", "r").await;
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

/// `change` ends what member 1 may do in `room`, on both nodes, although both connections have written
/// there before.
async fn check(change: Change, room: u32, code: u64, undo: Option<Change>) {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    a.room(1, &[1, 2]).await;
    a.group(2, &[1, 2, 3]).await;
    let (mut here, mut there) = (login(&a, 1).await, login(&b, 1).await);
    for client in [&mut here, &mut there] {
        for _ in 0..2 {
            assert_eq!(send(client, room).await, 0);
            assert_eq!(send(client, 3 - room).await, 0, "the other room");
        }
    }
    make(change, &a).await;
    assert_eq!(send(&mut here, room).await, code, "{change:?}");
    let refused = async { while send(&mut there, room).await != code {} };
    let refused = tokio::time::timeout(PATIENCE, refused).await;
    refused.unwrap_or_else(|_| panic!("not refused: {change:?}"));
    for client in [&mut here, &mut there] {
        assert_eq!(send(client, 3 - room).await, 0, "the other room");
    }
    if let Some(undo) = undo {
        make(undo, &a).await;
        assert_eq!(send(&mut here, room).await, 0, "{undo:?}");
    }
    drop((here, there));
    for node in [a, b] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_kept_by_connections_ends_when_the_members_are_separated() {
    check(Change::Separated, 1, 8011, Some(Change::Reunited)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_kept_by_connections_ends_when_the_member_leaves() {
    check(Change::Left, 2, 8002, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_writes_to_many_rooms_may_write_to_each_and_to_no_other() {
    let site = Site::new();
    let a = site.node(&[]).await;
    for room in 1..=6 {
        a.room(room, &[1, 2]).await;
    }
    a.room(7, &[2, 3]).await;
    let mut client = login(&a, 1).await;
    for _ in 0..2 {
        for room in 1..=6 {
            assert_eq!(send(&mut client, room).await, 0);
        }
        assert_eq!(send(&mut client, 7).await, 8002);
    }
    drop(client);
    a.stop().await;
}
