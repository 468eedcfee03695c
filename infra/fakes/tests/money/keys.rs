//! Idempotency keys.

use std::time::Duration;

use fakes::toss::{Call, Fault, How};
use serde_json::{Value, json};

use crate::support::{Gateway, MINUTE, answer, refusal};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn confirm(payment: &str, order: &str) -> Value {
    json!({"paymentKey": payment, "orderId": order, "amount": 1_000})
}

#[tokio::test]
async fn the_first_answer_is_replayed_for_fifteen_days() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let body = confirm(&payment, "order-1");
    let send = async |key: &str| {
        let request = gateway.post("/v1/payments/confirm", key, &body);
        answer(request).await.unwrap()
    };
    let first = send("charge-order-1").await;
    assert_eq!(first.0, 200);
    assert!(gateway.fake.dashboard_cancel(&payment, 100));
    gateway.clock.advance(15 * DAY - MINUTE);
    assert_eq!(send("charge-order-1").await, first);
    let other = send("another").await;
    assert_eq!(refusal(&other), (400, "ALREADY_PROCESSED_PAYMENT"));
    gateway.clock.advance(MINUTE);
    let later = send("charge-order-1").await;
    assert_eq!(refusal(&later), (400, "ALREADY_PROCESSED_PAYMENT"));
    let seen = gateway.fake.requests_seen();
    let keys: Vec<_> = seen
        .iter()
        .map(|seen| seen.idempotency_key.as_deref())
        .collect();
    let again = Some("charge-order-1");
    assert_eq!(keys, [again, again, Some("another"), again]);
}

#[tokio::test]
async fn errors_are_replayed_too() {
    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 1_000).await;
    let path = format!("/v1/payments/{payment}/cancel");
    let cancel = json!({"cancelReason": "refund", "cancelAmount": 2_000});
    let refused = answer(gateway.post(&path, "refund-1-1", &cancel))
        .await
        .unwrap();
    assert_eq!(refusal(&refused), (403, "NOT_CANCELABLE_AMOUNT"));
    // The body does not belong to the key's scope.
    let good = json!({"cancelReason": "refund", "cancelAmount": 1_000});
    let again = answer(gateway.post(&path, "refund-1-1", &good))
        .await
        .unwrap();
    assert_eq!(again, refused);
    assert_eq!(gateway.fake.totals().cancelled, 0);
    // The URL does.
    let other = gateway.paid("order-2", 1_000).await;
    let path = format!("/v1/payments/{other}/cancel");
    let elsewhere = answer(gateway.post(&path, "refund-1-1", &good))
        .await
        .unwrap();
    assert_eq!(elsewhere.0, 200);
}

#[tokio::test]
async fn a_long_key_is_refused() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let body = confirm(&payment, "order-1");
    let path = "/v1/payments/confirm";
    let long = answer(gateway.post(path, &"k".repeat(301), &body))
        .await
        .unwrap();
    assert_eq!(refusal(&long), (400, "INVALID_IDEMPOTENCY_KEY"));
    let longest = answer(gateway.post(path, &"k".repeat(300), &body))
        .await
        .unwrap();
    assert_eq!(longest.0, 200);
}

#[tokio::test]
async fn while_the_first_runs_others_are_refused() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    // Longer than the test.
    gateway
        .fake
        .script(Call::Confirm, "order-1", &[Fault::Delay(DAY)]);
    let body = confirm(&payment, "order-1");
    let first = gateway.post("/v1/payments/confirm", "charge-order-1", &body);
    tokio::select! {
        _ = first.send() => unreachable!("it is delayed"),
        () = gateway.saw(Call::Confirm, "order-1") => {}
    }
    let second = gateway.post("/v1/payments/confirm", "charge-order-1", &body);
    let second = answer(second).await.unwrap();
    assert_eq!(refusal(&second), (409, "IDEMPOTENT_REQUEST_PROCESSING"));
    let other = gateway.post("/v1/payments/confirm", "another", &body);
    assert_eq!(answer(other).await.unwrap().0, 200);
}
