//! Cancels, ours and those of the gateway's operators.

use std::time::Duration;

use fakes::toss::{Call, CancelStatus, Fault, How, Status};
use serde_json::{Value, json};

use crate::support::{Gateway, refusal};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn cancels_add_up_to_the_whole() {
    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 10_000).await;
    let capture = gateway.query(&payment).await.1["lastTransactionKey"].clone();
    let part = json!({"cancelReason": "refund 1-1", "cancelAmount": 3_000});
    let (status, body) = gateway.cancel(&payment, &part).await;
    assert_eq!((status, &body["status"]), (200, &json!("PARTIAL_CANCELED")));
    assert_eq!(body["balanceAmount"], 7_000);
    let cancel = &body["cancels"][0];
    for (field, value) in [
        ("cancelAmount", json!(3_000)),
        ("cancelReason", json!("refund 1-1")),
        ("cancelStatus", json!("DONE")),
        ("canceledAt", json!("2026-11-30T09:00:00+09:00")),
        ("refundableAmount", json!(7_000)),
        ("transactionKey", body["lastTransactionKey"].clone()),
    ] {
        assert_eq!(cancel[field], value, "{field}");
    }
    assert_ne!(body["lastTransactionKey"], capture);

    gateway.clock.advance(SECOND);
    let too_much = json!({"cancelReason": "refund 1-2", "cancelAmount": 7_001});
    let too_much = gateway.cancel(&payment, &too_much).await;
    assert_eq!(refusal(&too_much), (403, "NOT_CANCELABLE_AMOUNT"));
    let rest = gateway
        .cancel(&payment, &json!({"cancelReason": "the rest"}))
        .await;
    assert_eq!((rest.0, &rest.1["status"]), (200, &json!("CANCELED")));
    assert_eq!(rest.1["balanceAmount"], 0);
    assert_eq!(rest.1["cancels"][1]["cancelAmount"], 7_000);
    gateway.clock.advance(SECOND);
    let again = gateway
        .cancel(&payment, &json!({"cancelReason": "again"}))
        .await;
    assert_eq!(refusal(&again), (400, "ALREADY_CANCELED_PAYMENT"));
    let totals = gateway.fake.totals();
    assert_eq!((totals.captured, totals.cancelled), (10_000, 10_000));
}

#[tokio::test]
async fn of_two_cancels_within_a_second_the_first_is_done() {
    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 10_000).await;
    let part = json!({"cancelReason": "refund", "cancelAmount": 1_000});
    assert_eq!(gateway.cancel(&payment, &part).await.0, 200);
    gateway.clock.advance(SECOND - Duration::from_millis(1));
    let fast = gateway.cancel(&payment, &part).await;
    assert_eq!(refusal(&fast), (403, "FORBIDDEN_CONSECUTIVE_REQUEST"));
    assert_eq!(gateway.fake.totals().cancelled, 1_000);
    gateway.clock.advance(Duration::from_millis(1));
    assert_eq!(gateway.cancel(&payment, &part).await.0, 200);
    // Another payment is not concerned.
    let other = gateway.paid("order-2", 10_000).await;
    assert_eq!(gateway.cancel(&other, &part).await.0, 200);
}

#[tokio::test]
async fn cancels_of_what_is_not_captured_are_refused() {
    let gateway = Gateway::start().await;
    let all = json!({"cancelReason": "refund"});
    let unknown = gateway.cancel("nothing", &all).await;
    assert_eq!(refusal(&unknown), (404, "NOT_FOUND_PAYMENT"));
    let open = gateway.fake.authorize("order-1", 1_000, How::Card);
    let answer = gateway.cancel(&open, &all).await;
    assert_eq!(refusal(&answer), (403, "NOT_CANCELABLE_PAYMENT"));
    let paid = gateway.paid("order-2", 1_000).await;
    for body in [
        json!({}),
        json!({"cancelReason": ""}),
        json!({"cancelReason": "x".repeat(201)}),
        json!({"cancelReason": "refund", "cancelAmount": 0}),
        json!({"cancelReason": "refund", "cancelAmount": -1}),
        json!({"cancelReason": "refund", "cancelAmount": "100"}),
    ] {
        let answer = gateway.cancel(&paid, &body).await;
        assert_eq!(refusal(&answer), (400, "INVALID_REQUEST"), "{body}");
    }
    assert_eq!(gateway.fake.totals().cancelled, 0);
}

#[tokio::test]
async fn a_transfer_goes_back_to_an_account() {
    let gateway = Gateway::start().await;
    let payment = gateway
        .fake
        .authorize("order-1", 5_000, How::VirtualAccount);
    assert_eq!(gateway.confirm(&payment, "order-1", 5_000).await.0, 200);
    let part = json!({"cancelReason": "refund", "cancelAmount": 1_000});
    let early = gateway.cancel(&payment, &part).await;
    let code = "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT";
    assert_eq!(refusal(&early), (403, code));
    assert!(gateway.fake.deposit(&payment));
    let nowhere = gateway.cancel(&payment, &part).await;
    assert_eq!(refusal(&nowhere), (400, "INVALID_REFUND_ACCOUNT_INFO"));
    let account = json!({"bank": "20", "accountNumber": "1002", "holderName": "홍길동"});
    let body = json!({
        "cancelReason": "refund", "cancelAmount": 1_000, "refundReceiveAccount": account,
    });
    assert_eq!(gateway.cancel(&payment, &body).await.0, 200);
    assert_eq!(gateway.fake.totals().cancelled, 1_000);
}

#[tokio::test]
async fn before_the_transfer_nothing_goes_back() {
    let gateway = Gateway::start().await;
    let payment = gateway
        .fake
        .authorize("order-1", 5_000, How::VirtualAccount);
    assert_eq!(gateway.confirm(&payment, "order-1", 5_000).await.0, 200);
    let all = gateway
        .cancel(&payment, &json!({"cancelReason": "refund"}))
        .await;
    assert_eq!((all.0, &all.1["status"]), (200, &json!("CANCELED")));
    assert!(!gateway.fake.deposit(&payment));
    assert!(!gateway.fake.capture(&payment));
    let totals = gateway.fake.totals();
    assert_eq!((totals.captured, totals.cancelled), (0, 0));
}

#[tokio::test]
async fn operators_cancel_without_a_request() {
    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 10_000).await;
    assert!(gateway.fake.dashboard_cancel(&payment, 4_000));
    assert!(gateway.fake.dashboard_cancel(&payment, 1_000));
    assert!(!gateway.fake.dashboard_cancel(&payment, 5_001));
    let body = gateway.query(&payment).await.1;
    assert_eq!(body["balanceAmount"], 5_000);
    assert_eq!(body["cancels"].as_array().map(Vec::len), Some(2));
    let booked = gateway.fake.booked(&payment).unwrap();
    assert_eq!(booked.status, Status::PartialCanceled);
    assert!(booked.cancels.iter().all(|cancel| cancel.by_dashboard));
    assert_eq!(booked.cancelled, 5_000);
    assert_eq!(
        gateway
            .fake
            .requests_seen()
            .last()
            .map(|seen| seen.cancel_amount),
        Some(None)
    );
    assert_eq!(body["failure"], Value::Null);
}

#[tokio::test]
async fn a_cancel_may_be_in_progress_at_first() {
    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 10_000).await;
    let body = json!({"cancelReason": "refund 1-1", "cancelAmount": 4_000});
    let pending = [Fault::CancelPending, Fault::CancelPending];
    gateway.fake.script(Call::Cancel, "order-1", &pending);
    let mut keys = Vec::new();
    for place in 0..2 {
        let (status, shown) = gateway.cancel(&payment, &body).await;
        assert_eq!((status, &shown["status"]), (200, &json!("DONE")));
        assert_eq!(shown["cancels"][place]["cancelStatus"], "IN_PROGRESS");
        let key = shown["cancels"][place]["transactionKey"].as_str().unwrap();
        keys.push(key.to_owned());
        gateway.clock.advance(SECOND);
    }
    let too_much = gateway.cancel(&payment, &body).await;
    assert_eq!(refusal(&too_much), (403, "NOT_CANCELABLE_AMOUNT"));
    assert_eq!(gateway.fake.totals().cancelled, 0);

    let finish = |key: &str, outcome| gateway.fake.finish_cancel(&payment, key, outcome);
    assert!(!finish("nothing", CancelStatus::Done));
    assert!(finish(&keys[1], CancelStatus::Done));
    assert!(finish(&keys[0], CancelStatus::Aborted));
    assert!(!finish(&keys[0], CancelStatus::Done), "it has failed");
    let shown = gateway.query(&payment).await.1;
    assert_eq!(
        (&shown["status"], &shown["balanceAmount"]),
        (&json!("PARTIAL_CANCELED"), &json!(6_000))
    );
    assert_eq!(shown["cancels"][0]["cancelStatus"], "ABORTED");
    assert_eq!(shown["cancels"][1]["cancelStatus"], "DONE");
    assert_eq!(shown["lastTransactionKey"], json!(keys[1]));
    assert_eq!(gateway.fake.totals().cancelled, 4_000);
}
