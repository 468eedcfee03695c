//! Which members get a push, on which of their devices.

use std::time::Duration;

use chat_server::metrics::{PushOutcome, PushSkip, PushVia, TargetRemoval};
use http::Method;
use serde_json::json;

use super::outside::{Outside, ask, done, notice, save, say};
use crate::support::client::Client;
use crate::support::{Site, TestNode, eventually};

/// So many members got none for this reason.
async fn skipped(node: &TestNode, why: PushSkip, count: u64) {
    let metrics = &node.node.services.metrics.push;
    eventually("a member is passed over", || {
        metrics.skipped.get(why) == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_connection_gets_one_push_on_each_device() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    let browser = outside.web.subscribe().unwrap();
    let key = done(&node, 2, (Method::GET, "/api/push/vapid-key"), json!(null)).await;
    assert_eq!(key["publicKey"].as_str().unwrap().len(), 87);
    let subscribe = (Method::POST, "/api/push/subscriptions");
    done(&node, 2, subscribe, browser.to_json()).await;
    save(&node, 2, "phone").await;
    node.room(1, &[1, 2]).await;
    let mut sender = Client::login(node.address, &node.token(1)).await;
    say(&mut sender, 1, "안녕하세요", &[]).await;
    eventually("both devices got it", || {
        outside.fcm.messages().len() == 1 && outside.web.messages().len() == 1
    })
    .await;
    let message = &outside.fcm.messages()[0];
    let shown = json!({"title": "member 1", "body": "안녕하세요"});
    assert_eq!(message["notification"], shown);
    assert_eq!(message["android"]["collapse_key"], "room-1");
    let message = &outside.web.messages()[0];
    assert_eq!(message.payload["body"], "안녕하세요");
    assert_eq!(message.payload["data"]["chatRoomId"], 1);
    assert_eq!(message.topic.as_deref(), Some("room-1"));
    // The sender, who has a device as well, gets none.
    assert_eq!((outside.fcm.requests(), outside.web.requests()), (1, 1));
    drop(sender);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_connection_to_another_node_gets_no_push() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let (a, b) = (outside.node(&site).await, outside.node(&site).await);
    a.room(1, &[1, 2, 3]).await;
    for member in [1, 2, 3] {
        save(&a, member, &format!("phone-{member}")).await;
    }
    let there = Client::login(b.address, &b.token(2)).await;
    let mut sender = Client::login(a.address, &a.token(1)).await;
    say(&mut sender, 1, "안녕", &[]).await;
    a.node.push.pusher.offer(notice(2, "e1"));
    a.node.push.pusher.offer(notice(3, "e2"));
    skipped(&a, PushSkip::Online, 2).await;
    eventually("the third member got both", || outside.pushed().len() == 2).await;
    assert!(outside.pushed().iter().all(|(token, _)| token == "phone-3"));
    drop((there, sender));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_is_removed_and_the_others_stay() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    let browser = outside.web.subscribe().unwrap();
    let subscribe = (Method::POST, "/api/push/subscriptions");
    done(&node, 2, subscribe, browser.to_json()).await;
    save(&node, 2, "old").await;
    save(&node, 2, "new").await;
    outside.fcm.kill("old");
    outside.web.unsubscribe(&browser.endpoint);
    site.clock.advance(Duration::from_secs(1));
    node.node.push.pusher.offer(notice(2, "e1"));
    let push = &node.node.services.metrics.push;
    let removed = || push.targets_removed.get(TargetRemoval::Gone) == 2;
    eventually("both are removed", removed).await;
    eventually("the other got it", || outside.pushed().len() == 1).await;
    let requests = (outside.fcm.requests(), outside.web.requests());
    node.node.push.pusher.offer(notice(2, "e2"));
    eventually("the other got the next", || outside.pushed().len() == 2).await;
    assert_eq!(outside.fcm.requests(), requests.0 + 1);
    assert_eq!(outside.web.requests(), requests.1);
    assert!(outside.pushed().iter().all(|(token, _)| token == "new"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_another_login_gets_nothing_of_the_former_member() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let (a, b) = (outside.node(&site).await, outside.node(&site).await);
    save(&a, 1, "shared").await;
    save(&a, 1, "own").await;
    site.clock.advance(Duration::from_secs(1));
    save(&b, 2, "shared").await;
    a.node.push.pusher.offer(notice(1, "for 1"));
    b.node.push.pusher.offer(notice(2, "for 2"));
    eventually("both got theirs", || outside.pushed().len() == 2).await;
    let mut pushed = outside.pushed();
    pushed.sort();
    let of = |token: &str, body: &str| (token.to_owned(), body.to_owned());
    assert_eq!(pushed, [of("own", "for 1"), of("shared", "for 2")]);
    let removed = &a.node.services.metrics.push.targets_removed;
    let moved = || removed.get(TargetRemoval::Moved) == 1;
    eventually("it is removed from the former member", moved).await;
    // And back.
    site.clock.advance(Duration::from_secs(1));
    save(&a, 1, "shared").await;
    b.node.push.pusher.offer(notice(2, "for 2"));
    a.node.push.pusher.offer(notice(1, "again for 1"));
    eventually("the first member got it", || outside.pushed().len() == 4).await;
    assert!(
        outside.pushed()[2..]
            .iter()
            .all(|(_, body)| body == "again for 1")
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ten_newest_devices_of_a_member_remain() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    let browser = outside.web.subscribe().unwrap();
    let subscribe = (Method::POST, "/api/push/subscriptions");
    done(&node, 2, subscribe, browser.to_json()).await;
    for number in 0..11 {
        site.clock.advance(Duration::from_secs(1));
        save(&node, 2, &format!("phone-{number:02}")).await;
    }
    // One that is saved again is the newest.
    site.clock.advance(Duration::from_secs(1));
    save(&node, 2, "phone-01").await;
    site.clock.advance(Duration::from_secs(1));
    save(&node, 2, "phone-11").await;
    node.node.push.pusher.offer(notice(2, "e1"));
    eventually("ten got it", || outside.pushed().len() == 10).await;
    let mut tokens: Vec<_> = outside
        .pushed()
        .into_iter()
        .map(|(token, _)| token)
        .collect();
    tokens.sort();
    let newest = [1].into_iter().chain(3..12);
    let expected: Vec<_> = newest.map(|number| format!("phone-{number:02}")).collect();
    assert_eq!(tokens, expected);
    assert_eq!(outside.web.requests(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_nothing_after_the_logout() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    let browser = outside.web.subscribe().unwrap();
    let subscriptions = "/api/push/subscriptions";
    done(&node, 2, (Method::POST, subscriptions), browser.to_json()).await;
    save(&node, 2, "phone").await;
    site.clock.advance(Duration::from_secs(1));
    done(
        &node,
        2,
        (Method::DELETE, "/api/fcm"),
        json!({"token": "phone"}),
    )
    .await;
    let endpoint = json!({"endpoint": browser.endpoint});
    done(&node, 2, (Method::DELETE, subscriptions), endpoint).await;
    node.node.push.pusher.offer(notice(2, "e1"));
    skipped(&node, PushSkip::NoTarget, 1).await;
    assert_eq!((outside.fcm.requests(), outside.web.requests()), (0, 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_decide_by_class() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    node.room(1, &[1, 2]).await;
    save(&node, 2, "phone").await;
    let preferences = "/api/notifications/preferences";
    let read = async || done(&node, 2, (Method::GET, preferences), json!(null)).await;
    let defaults = json!({"chat": "push", "trade": "push", "marketing": "none", "mutes": []});
    assert_eq!(read().await, defaults);
    done(
        &node,
        2,
        (Method::PUT, preferences),
        json!({"trade": "live"}),
    )
    .await;
    node.node.push.pusher.offer(notice(2, "e1"));
    skipped(&node, PushSkip::Preference, 1).await;
    let mut sender = Client::login(node.address, &node.token(1)).await;
    say(&mut sender, 1, "안녕", &[]).await;
    eventually("chat is pushed", || outside.pushed().len() == 1).await;
    site.clock.advance(Duration::from_secs(31));
    let change = json!({"trade": "push", "chat": "none", "other": 1});
    done(&node, 2, (Method::PUT, preferences), change).await;
    say(&mut sender, 1, "또 안녕", &[]).await;
    skipped(&node, PushSkip::Preference, 2).await;
    node.node.push.pusher.offer(notice(2, "e2"));
    eventually("trades are pushed", || outside.pushed().len() == 2).await;
    assert_eq!(outside.pushed()[1].1, "e2");
    assert_eq!(read().await["chat"], "none");
    drop(sender);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_room_is_quiet_until_the_mute_ends() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let (a, b) = (outside.node(&site).await, outside.node(&site).await);
    a.room(1, &[1, 2]).await;
    a.room(2, &[1, 2]).await;
    save(&a, 2, "phone").await;
    let mute = "/api/chat-room/1/mute";
    done(&b, 2, (Method::POST, mute), json!({"minutes": 60})).await;
    let listed = done(
        &b,
        2,
        (Method::GET, "/api/notifications/preferences"),
        json!(null),
    )
    .await;
    assert_eq!(listed["mutes"][0]["chatRoomId"], 1);
    let mut sender = Client::login(a.address, &a.token(1)).await;
    say(&mut sender, 1, "조용히", &[]).await;
    skipped(&a, PushSkip::Muted, 1).await;
    say(&mut sender, 2, "다른 방", &[]).await;
    eventually("the other room is pushed", || outside.pushed().len() == 1).await;
    site.clock.advance(Duration::from_secs(3_601));
    say(&mut sender, 1, "끝", &[]).await;
    eventually("the mute has ended", || outside.pushed().len() == 2).await;
    assert_eq!(outside.pushed()[1].1, "끝");
    // Ended by the member.
    done(&b, 2, (Method::POST, mute), json!({"minutes": 60})).await;
    site.clock.advance(Duration::from_secs(31));
    done(&b, 2, (Method::DELETE, mute), json!(null)).await;
    say(&mut sender, 1, "다시", &[]).await;
    eventually("it is pushed again", || outside.pushed().len() == 3).await;
    // Only a member of the room mutes it.
    let (status, answer) = ask(&b, 3, (Method::POST, mute), json!({"minutes": 1})).await;
    assert_eq!((status, answer["code"].as_u64()), (400, Some(8002)));
    drop(sender);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_room_and_a_repeated_message_are_not_pushed() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    node.opaque_room(1, &[1, 2]).await;
    node.room(2, &[1, 2]).await;
    save(&node, 2, "phone").await;
    let mut sender = Client::login(node.address, &node.token(1)).await;
    say(&mut sender, 1, "열지 마세요", &[]).await;
    let named = [("client-message-id", "m1")];
    for _ in 0..2 {
        site.clock.advance(Duration::from_secs(31));
        say(&mut sender, 2, "한 번", &named).await;
    }
    eventually("it is pushed once", || outside.pushed().len() == 1).await;
    site.clock.advance(Duration::from_secs(31));
    say(&mut sender, 2, "마지막", &[]).await;
    eventually("the later one is pushed", || outside.pushed().len() > 1).await;
    let bodies: Vec<_> = outside.pushed().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.iter().filter(|body| *body == "한 번").count(), 1);
    assert!(
        !bodies.iter().any(|body| body == "열지 마세요"),
        "{bodies:?}"
    );
    let deliveries = &node.node.services.metrics.push.deliveries;
    let delivered = || deliveries.get(PushVia::Fcm, PushOutcome::Delivered);
    let count = u64::try_from(bodies.len()).unwrap();
    eventually("all are counted", || delivered() == count).await;
    drop(sender);
    node.stop().await;
}
