//! Webhooks: what is sent, and what goes wrong with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use fakes::toss::{FaultPlan, How, NoWebhooks, WebhookRates};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, MINUTE, serve};

/// A site that takes webhooks, and answers with this status.
struct Site {
    bodies: Mutex<Vec<Value>>,
    status: Mutex<StatusCode>,
}

impl Site {
    async fn start(gateway: &Gateway) -> Arc<Self> {
        let site = Arc::new(Self {
            bodies: Mutex::default(),
            status: Mutex::new(StatusCode::OK),
        });
        let router = Router::new().route("/hooks/toss/secret", post(take));
        let base = serve(router.with_state(site.clone())).await;
        let url = format!("{base}/hooks/toss/secret");
        gateway.fake.send_webhooks_to(&url).unwrap();
        site
    }

    /// What has come since the last time.
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.bodies.lock().unwrap())
    }
}

async fn take(State(site): State<Arc<Site>>, body: String) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap();
    site.bodies.lock().unwrap().push(body);
    *site.status.lock().unwrap()
}

#[tokio::test]
async fn changes_of_the_status_are_announced() {
    let gateway = Gateway::start().await;
    let site = Site::start(&gateway).await;
    let payment = gateway.paid("order-1", 1_000).await;
    assert_eq!(gateway.fake.run_webhooks().await, 1);
    let hooks = site.take();
    assert_eq!(hooks[0]["eventType"], "PAYMENT_STATUS_CHANGED");
    assert_eq!(hooks[0]["createdAt"], "2026-11-30T09:00:00.000000");
    assert_eq!(hooks[0]["data"], gateway.query(&payment).await.1);

    assert!(gateway.fake.dashboard_cancel(&payment, 100));
    let declined = How::Declined("REJECT_CARD_PAYMENT".to_owned());
    let declined = gateway.fake.authorize("order-2", 1_000, declined);
    assert_eq!(gateway.confirm(&declined, "order-2", 1_000).await.0, 403);
    let left = gateway.fake.authorize("order-3", 1_000, How::Card);
    gateway.clock.advance(30 * MINUTE);
    assert_eq!(gateway.fake.run_webhooks().await, 3);
    let hooks = site.take();
    let data: Vec<_> = hooks.iter().map(|hook| &hook["data"]).collect();
    assert_eq!(data[0]["status"], "PARTIAL_CANCELED");
    assert_eq!(data[1]["status"], "ABORTED");
    assert_eq!(
        (&data[2]["status"], &data[2]["paymentKey"]),
        (&json!("EXPIRED"), &json!(left))
    );
    assert_eq!(gateway.fake.run_webhooks().await, 0);
}

#[tokio::test]
async fn transfers_are_announced_twice() {
    let gateway = Gateway::start().await;
    let site = Site::start(&gateway).await;
    let payment = gateway
        .fake
        .authorize("order-1", 1_000, How::VirtualAccount);
    let confirmed = gateway.confirm(&payment, "order-1", 1_000).await.1;
    assert!(gateway.fake.deposit(&payment));
    assert_eq!(gateway.fake.run_webhooks().await, 4);
    let hooks = site.take();
    for (place, status) in [(0, "WAITING_FOR_DEPOSIT"), (2, "DONE")] {
        let deposit = &hooks[place];
        assert_eq!(deposit["status"], json!(status));
        assert_eq!(deposit["orderId"], "order-1");
        assert_eq!(deposit["secret"], confirmed["secret"]);
        assert!(deposit["transactionKey"].is_string());
        assert_eq!(deposit.get("data"), None);
        assert_eq!(hooks[place + 1]["data"]["status"], json!(status));
    }
}

#[tokio::test]
async fn a_webhook_is_sent_again_seven_times() {
    let gateway = Gateway::start().await;
    let site = Site::start(&gateway).await;
    *site.status.lock().unwrap() = StatusCode::NO_CONTENT;
    gateway.paid("order-1", 1_000).await;
    assert_eq!(gateway.fake.run_webhooks().await, 1);
    for minutes in [1, 4, 16, 64, 256, 1_024, 4_096] {
        let pause = minutes * MINUTE;
        gateway.clock.advance(pause - Duration::from_millis(1));
        assert_eq!(gateway.fake.run_webhooks().await, 0, "{minutes}");
        assert_eq!(gateway.fake.webhooks_pending(), 1, "{minutes}");
        gateway.clock.advance(Duration::from_millis(1));
        assert_eq!(gateway.fake.run_webhooks().await, 1, "{minutes}");
    }
    assert_eq!(gateway.fake.webhooks_pending(), 0);
    assert_eq!(site.take().len(), 8);
}

#[tokio::test]
async fn a_webhook_that_was_accepted_is_not_sent_again() {
    let gateway = Gateway::start().await;
    let site = Site::start(&gateway).await;
    *site.status.lock().unwrap() = StatusCode::INTERNAL_SERVER_ERROR;
    gateway.paid("order-1", 1_000).await;
    assert_eq!(gateway.fake.run_webhooks().await, 1);
    *site.status.lock().unwrap() = StatusCode::OK;
    gateway.clock.advance(MINUTE);
    assert_eq!(gateway.fake.run_webhooks().await, 1);
    gateway.clock.advance(10_000 * MINUTE);
    assert_eq!(gateway.fake.run_webhooks().await, 0);
}

#[tokio::test]
async fn webhooks_go_wrong_as_planned() {
    let gateway = Gateway::start().await;
    let site = Site::start(&gateway).await;
    let plan = |rates: WebhookRates| {
        gateway.fake.set_plan(FaultPlan {
            seed: 3,
            webhooks: rates,
            ..FaultPlan::default()
        });
    };
    let none = WebhookRates::default();
    plan(WebhookRates {
        lost: 1_000,
        ..none
    });
    gateway.paid("order-1", 1_000).await;
    assert_eq!(gateway.fake.run_webhooks().await, 0);
    plan(WebhookRates {
        duplicated: 1_000,
        ..none
    });
    gateway.paid("order-2", 1_000).await;
    assert_eq!(gateway.fake.run_webhooks().await, 2);
    let hooks = site.take();
    assert_eq!(hooks[0], hooks[1]);

    plan(WebhookRates {
        reordered: 1_000,
        ..none
    });
    gateway.paid("order-3", 1_000).await;
    gateway.paid("order-4", 1_000).await;
    plan(none);
    gateway.paid("order-5", 1_000).await;
    gateway.fake.run_webhooks().await;
    let orders = |hooks: &[Value]| {
        let orders = hooks.iter().map(|hook| hook["data"]["orderId"].clone());
        orders.collect::<Vec<_>>()
    };
    assert_eq!(orders(&site.take()), ["order-5", "order-4", "order-3"]);

    plan(WebhookRates {
        contradictory: 1_000,
        ..none
    });
    for number in 10..30 {
        gateway.paid(&format!("order-{number}"), 1_000).await;
    }
    gateway.fake.run_webhooks().await;
    let hooks = site.take();
    let is_wrong = |hook: &Value| {
        let data = &hook["data"];
        (data["status"] != "DONE") != (data["totalAmount"] != 1_000)
    };
    assert!(hooks.iter().all(is_wrong), "one thing is wrong in each");
    let aborted = hooks
        .iter()
        .filter(|hook| hook["data"]["status"] == "ABORTED");
    assert!((1..20).contains(&aborted.count()), "both kinds");
}

#[tokio::test]
async fn a_program_s_webhooks_are_sent_by_themselves() {
    let gateway = Gateway::start().await;
    let site = Site::start(&gateway).await;
    let arrives = async {
        gateway.paid("order-1", 1_000).await;
        while site.bodies.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let bounded = tokio::time::timeout(MINUTE, arrives);
    tokio::select! {
        () = gateway.fake.serve_webhooks() => unreachable!("it never ends"),
        arrived = bounded => arrived.unwrap(),
    }
}

#[tokio::test]
async fn webhooks_stay_on_this_computer() {
    let gateway = Gateway::start().await;
    for url in [
        "http://example.com/hook",
        "https://127.0.0.1/hook",
        "hook",
        "file:///hook",
    ] {
        assert_eq!(
            gateway.fake.send_webhooks_to(url),
            Err(NoWebhooks::NotLoopback),
            "{url}"
        );
    }
}
