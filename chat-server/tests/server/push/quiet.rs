//! A busy chat rings once per quiet time.

use std::time::Duration;

use chat_server::metrics::PushSkip;

use super::outside::{Outside, save, say};
use crate::support::client::Client;
use crate::support::{Site, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_chat_rings_once_per_quiet_time_on_all_nodes_together() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let (a, b) = (outside.node(&site).await, outside.node(&site).await);
    a.room(1, &[1, 2, 3]).await;
    a.room(2, &[1, 2]).await;
    save(&a, 2, "phone").await;
    let mut here = Client::login(a.address, &a.token(1)).await;
    let mut there = Client::login(b.address, &b.token(3)).await;
    say(&mut here, 1, "첫째", &[]).await;
    eventually("the first rings", || outside.pushed().len() == 1).await;
    for _ in 1..10 {
        say(&mut here, 1, "계속", &[]).await;
        say(&mut there, 1, "계속", &[]).await;
    }
    let quiet = || {
        let skipped = [&a, &b].map(|node| &node.node.services.metrics.push.skipped);
        skipped
            .iter()
            .map(|by| by.get(PushSkip::Quiet))
            .sum::<u64>()
            == 18
    };
    eventually("all others are considered", quiet).await;
    // Another room rings by itself.
    say(&mut here, 2, "다른 방", &[]).await;
    eventually("the other room rings", || outside.pushed().len() == 2).await;
    site.clock.advance(Duration::from_secs(31));
    say(&mut there, 1, "다시", &[]).await;
    eventually("it rings again", || outside.pushed().len() == 3).await;
    let bodies: Vec<_> = outside.pushed().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["첫째", "다른 방", "다시"]);
    let keys: Vec<_> = outside.fcm.messages();
    let keys: Vec<_> = keys
        .iter()
        .map(|one| &one["android"]["collapse_key"])
        .collect();
    assert_eq!(keys, ["room-1", "room-2", "room-1"]);
    drop((here, there));
    a.stop().await;
    b.stop().await;
}

/// Each message would cost requests for hundreds of members.
#[tokio::test(flavor = "multi_thread")]
async fn a_big_room_is_considered_once_per_quiet_time() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    let members: Vec<i64> = (1..=300).collect();
    node.group(1, &members).await;
    for member in [2, 300] {
        save(&node, member, &format!("phone-{member}")).await;
    }
    let mut sender = Client::login(node.address, &node.token(1)).await;
    say(&mut sender, 1, "첫째", &[]).await;
    eventually("all members are considered", || outside.pushed().len() == 2).await;
    let skipped = &node.node.services.metrics.push.skipped;
    let all = || skipped.get(PushSkip::NoTarget) == 297;
    eventually("nobody is left out", all).await;
    say(&mut sender, 1, "둘째", &[]).await;
    eventually("the room is quiet", || skipped.get(PushSkip::Quiet) == 1).await;
    assert_eq!(skipped.get(PushSkip::NoTarget), 297);
    site.clock.advance(Duration::from_secs(31));
    say(&mut sender, 1, "셋째", &[]).await;
    eventually("it rings again", || outside.pushed().len() == 4).await;
    drop(sender);
    node.stop().await;
}
