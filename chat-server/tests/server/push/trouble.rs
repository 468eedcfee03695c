//! Push services that throttle, fail, or never answer.

use chat_server::metrics::{PushDrop, PushOutcome, PushVia};
use fakes::fcm::Fault;
use http::Method;
use serde_json::json;

use super::outside::{Outside, done, notice, save, say};
use crate::support::client::Client;
use crate::support::{Site, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_and_an_unavailable_service_are_retried() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    let browser = outside.web.subscribe().unwrap();
    let subscribe = (Method::POST, "/api/push/subscriptions");
    done(&node, 2, subscribe, browser.to_json()).await;
    save(&node, 2, "phone").await;
    outside.fcm.fail("phone", &[Fault::Unavailable(Some(0))]);
    outside
        .web
        .fail(&browser.endpoint, &[Fault::Throttled(Some(1))]);
    node.node.push.pusher.offer(notice(2, "e1"));
    eventually("both are delivered in the end", || {
        outside.pushed().len() == 1 && outside.web.messages().len() == 1
    })
    .await;
    assert_eq!((outside.fcm.requests(), outside.web.requests()), (2, 2));
    let deliveries = &node.node.services.metrics.push.deliveries;
    for via in [PushVia::Fcm, PushVia::Web] {
        assert_eq!(deliveries.get(via, PushOutcome::Retry), 1);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_would_come_too_late_is_dropped() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    save(&node, 2, "phone").await;
    outside.fcm.fail("phone", &[Fault::Throttled(Some(3_600))]);
    node.node.push.pusher.offer(notice(2, "e1"));
    let dropped = &node.node.services.metrics.push.dropped;
    eventually("it is dropped", || dropped.get(PushDrop::Age) == 1).await;
    node.node.push.pusher.offer(notice(2, "e2"));
    eventually("the next one is delivered", || outside.pushed().len() == 1).await;
    assert_eq!(outside.pushed()[0].1, "e2");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_holds_up_neither_sends_nor_the_other_service() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    node.room(1, &[1, 2]).await;
    let browser = outside.web.subscribe().unwrap();
    let subscribe = (Method::POST, "/api/push/subscriptions");
    done(&node, 2, subscribe, browser.to_json()).await;
    save(&node, 2, "phone").await;
    outside.fcm.fail_all(Some(Fault::Hang));
    // More than the deliveries at a time.
    for number in 0..200 {
        node.node
            .push
            .pusher
            .offer(notice(2, &format!("e{number}")));
    }
    eventually("the service hangs", || outside.fcm.requests() >= 64).await;
    let mut sender = Client::login(node.address, &node.token(1)).await;
    for _ in 0..20 {
        say(&mut sender, 1, "안녕", &[]).await;
    }
    eventually("browsers got all", || outside.web.messages().len() == 201).await;
    assert_eq!(outside.pushed().len(), 0);
    drop(sender);
    // Nor does it hold up the stop.
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_beyond_the_bound_are_dropped_and_counted() {
    let site = Site::new();
    let outside = Outside::of(&site);
    let node = outside.node(&site).await;
    save(&node, 2, "phone").await;
    outside.fcm.fail_all(Some(Fault::Hang));
    let push = &node.node.services.metrics.push;
    for number in 0..22_000 {
        node.node
            .push
            .pusher
            .offer(notice(2, &format!("e{number}")));
    }
    eventually("some are dropped", || push.dropped.get(PushDrop::Queue) > 0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_push_services_nothing_is_queued() {
    let site = Site::new();
    let node = site.node(&[]).await;
    save(&node, 2, "phone").await;
    let key = done(&node, 2, (Method::GET, "/api/push/vapid-key"), json!(null)).await;
    assert_eq!(key, json!({}));
    node.node.push.pusher.offer(notice(2, "e1"));
    let offered = &node.node.services.metrics.push.offered;
    assert_eq!(offered.get(chat_server::metrics::PushKind::Notice), 0);
    node.stop().await;
}
