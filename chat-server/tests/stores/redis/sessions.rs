//! Whole nodes on one Redis: a session that ends on one ends on the other, with Redis and without; so do
//! separations begin.

use std::sync::Arc;
use std::time::Duration;

use chat_server::bus::{Bus, BusState};
use chat_server::members::{Profile, Separation};
use shared::claims::{FamilyId, MemberToken};
use shared::ids::MemberId;
use shared::text::Language;

use crate::redis::node::{Node, QUICK};
use crate::redis::server::Server;
use crate::support::client::Client;
use crate::support::{Site, TestNode, eventually};

/// A node of the site on this Redis, and its bus.
async fn join(site: &Site, server: &Server) -> (TestNode, Arc<dyn Bus>) {
    let joined = Node::join(&server.url(), QUICK).await;
    joined.until(BusState::Up).await;
    let bus: Arc<dyn Bus> = joined.bus;
    let node = site.node_joined((Arc::clone(&bus), joined.events)).await;
    (node, bus)
}

fn one() -> MemberId {
    1_u64.try_into().unwrap()
}

/// A connection of member 1 by this login.
async fn connect(node: &TestNode, family: &FamilyId) -> Client {
    let token = node.token_of(family, 1, MemberToken::Access, Duration::ZERO);
    Client::login(node.address, &token).await
}

async fn revoke(node: &TestNode, family: &FamilyId) {
    let (members, at) = (&node.node.services.members, node.clock.unix_millis());
    let revoked = members.revoke_session(one(), family.clone(), at).await;
    revoked.unwrap();
}

async fn ends(client: &mut Client) {
    assert_eq!(client.end().await.len(), 0);
    assert_eq!(client.close_code, Some(4401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_that_ends_on_one_node_ends_on_the_other_with_redis_and_without() {
    let (site, mut server) = (Site::new(), Server::start().await);
    let (a, _) = join(&site, &server).await;
    let (b, bus) = join(&site, &server).await;
    let [first, second, kept] = ["first", "second", "kept"].map(|name| name.parse().unwrap());
    let (mut here, mut there) = (connect(&a, &first).await, connect(&b, &first).await);
    let mut later = connect(&b, &second).await;
    let mut open = connect(&b, &kept).await;
    revoke(&a, &first).await;
    ends(&mut here).await;
    ends(&mut there).await;

    // What is cached of a profile goes with the message, too.
    let name = async |node: &TestNode| {
        let profile = node.node.services.members.profile(one()).await.unwrap();
        profile.map(|profile| profile.name)
    };
    assert_eq!(name(&b).await, None);
    let profile = Profile {
        name: "바다".to_owned(),
        image_url: None,
        language: Language::Korean,
    };
    let (members, at) = (&a.node.services.members, a.clock.unix_millis());
    members.set_profile(one(), profile, at).await.unwrap();
    let received = &b.node.services.metrics.control_received;
    let kind = chat_server::metrics::ControlKind::ProfileChanged;
    eventually("the message has arrived", || received.get(kind) == 1).await;
    let seen = async { while name(&b).await.is_none() {} };
    let seen = tokio::time::timeout(crate::redis::server::PATIENCE, seen).await;
    seen.expect("the new name");

    server.kill().await;
    eventually("the bus is away", || bus.state() == BusState::Away).await;
    revoke(&a, &second).await;
    for number in 0..12 {
        b.node.node_control.check_slice(number).await;
    }
    ends(&mut later).await;
    open.subscribe("s", "/user/queue/errors", &[]).await;
    drop((here, there, later, open));
    for node in [a, b] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_separated_on_one_node_are_refused_on_the_other() {
    let (site, server) = (Site::new(), Server::start().await);
    let (a, _) = join(&site, &server).await;
    let (b, _) = join(&site, &server).await;
    a.room(1, &[1, 2]).await;
    let mut client = Client::login(b.address, &b.token(2)).await;
    client.subscribe("e", "/user/queue/errors", &[]).await;
    client.say(1, "before", "r").await;
    let is_receipt = |frame: &stomp::Frame| frame.header("receipt-id") == Some("r");
    client.until(is_receipt).await;
    let separated = a.node.services.members.separate(Separation {
        blocker: one(),
        blocked: 2_u64.try_into().unwrap(),
        exists: true,
        at: a.clock.unix_millis(),
        number: 1,
    });
    separated.await.unwrap();
    let received = &b.node.services.metrics.control_received;
    let kind = chat_server::metrics::ControlKind::SeparationsChanged;
    eventually("both messages have arrived", || received.get(kind) == 2).await;
    // The second message is counted before it is carried out.
    let refused = async {
        loop {
            client.say(1, "after", "r").await;
            let answer = client.frame().await;
            if answer.command() == stomp::Command::Message {
                break crate::support::client::json(&answer);
            }
        }
    };
    let refused = tokio::time::timeout(crate::redis::server::PATIENCE, refused).await;
    assert_eq!(refused.unwrap()["code"], 8011);
    drop(client);
    for node in [a, b] {
        node.stop().await;
    }
}
