//! Confirms and queries.

use std::time::Duration;

use fakes::toss::{Call, How, Status};
use serde_json::{Value, json};

use crate::support::{Gateway, MINUTE, SECRET, answer, refusal};

#[tokio::test]
async fn confirm_captures_what_the_customer_agreed_to() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 11_000, How::Card);
    let before = gateway.query(&payment).await.1;
    assert_eq!(before["status"], "IN_PROGRESS");
    assert_eq!(before["approvedAt"], Value::Null);
    gateway.clock.advance(MINUTE);
    let (status, body) = gateway.confirm(&payment, "order-1", 11_000).await;
    assert_eq!(status, 200);
    for (field, value) in [
        ("paymentKey", json!(payment)),
        ("orderId", json!("order-1")),
        ("status", json!("DONE")),
        ("method", json!("카드")),
        ("currency", json!("KRW")),
        ("totalAmount", json!(11_000)),
        ("balanceAmount", json!(11_000)),
        ("suppliedAmount", json!(10_000)),
        ("vat", json!(1_000)),
        ("requestedAt", json!("2026-11-30T09:00:00+09:00")),
        ("approvedAt", json!("2026-11-30T09:01:00+09:00")),
        ("cancels", Value::Null),
        ("virtualAccount", Value::Null),
        ("failure", Value::Null),
        ("secret", Value::Null),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    let receipt = format!("http://pay.example/receipts/{payment}");
    assert_eq!(body["receipt"]["url"], json!(receipt));
    assert!(body["lastTransactionKey"].is_string());
    assert_eq!(gateway.query(&payment).await.1, body);
    let by_order = answer(gateway.get("/v1/payments/orders/order-1")).await;
    assert_eq!(by_order.unwrap().1, body);
    let booked = gateway.fake.booked(&payment).unwrap();
    assert_eq!((booked.status, booked.captured), (Status::Done, 11_000));
}

#[tokio::test]
async fn only_the_secret_key_opens_the_api() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let url = format!("{}/v1/payments/{payment}", gateway.base);
    let bare = gateway.client.get(&url);
    let other = gateway
        .client
        .get(&url)
        .basic_auth("test_sk_other", Some(""));
    let colonless = gateway.client.get(&url).bearer_auth(SECRET);
    for request in [bare, other, colonless] {
        let answer = answer(request).await.unwrap();
        assert_eq!(refusal(&answer), (401, "UNAUTHORIZED_KEY"));
    }
    let seen = gateway.fake.requests_seen();
    assert_eq!(seen.iter().filter(|request| request.authorized).count(), 0);
    assert_eq!(gateway.query(&payment).await.0, 200);
}

#[tokio::test]
async fn confirm_refuses_what_differs() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let other_amount = gateway.confirm(&payment, "order-1", 1_001).await;
    assert_eq!(refusal(&other_amount), (400, "INVALID_REQUEST"));
    let other_order = gateway.confirm(&payment, "order-2", 1_000).await;
    assert_eq!(refusal(&other_order), (400, "INVALID_REQUEST"));
    let unknown = gateway.confirm("nothing", "order-1", 1_000).await;
    assert_eq!(refusal(&unknown), (404, "NOT_FOUND_PAYMENT_SESSION"));
    for body in [
        json!({}),
        json!({"paymentKey": payment, "orderId": "order-1", "amount": "1000"}),
    ] {
        let request = gateway.post("/v1/payments/confirm", "", &body);
        let answer = answer(request).await.unwrap();
        assert_eq!(refusal(&answer), (400, "INVALID_REQUEST"));
    }
    assert_eq!(gateway.fake.totals().captured, 0);
    assert_eq!(gateway.confirm(&payment, "order-1", 1_000).await.0, 200);
}

#[tokio::test]
async fn a_payment_is_captured_once() {
    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 1_000).await;
    let again = gateway.confirm(&payment, "order-1", 1_000).await;
    assert_eq!(refusal(&again), (400, "ALREADY_PROCESSED_PAYMENT"));
    let second = gateway.fake.authorize("order-1", 1_000, How::Card);
    let second = gateway.confirm(&second, "order-1", 1_000).await;
    assert_eq!(refusal(&second), (400, "DUPLICATED_ORDER_ID"));
    // The order is the captured payment, though another one is newer.
    let of_order = answer(gateway.get("/v1/payments/orders/order-1")).await;
    assert_eq!(of_order.unwrap().1["paymentKey"], json!(payment));
    assert_eq!(gateway.fake.calls(Call::Confirm, "order-1"), 3);
    assert_eq!(gateway.fake.calls(Call::Get, "order-1"), 1);
}

#[tokio::test]
async fn a_declined_card_aborts_the_payment() {
    let gateway = Gateway::start().await;
    for (order, code, status) in [
        ("order-1", "REJECT_CARD_PAYMENT", 403),
        ("order-2", "INVALID_CARD_EXPIRATION", 400),
        ("order-3", "A_CODE_OF_NEXT_YEAR", 400),
    ] {
        let payment = gateway
            .fake
            .authorize(order, 1_000, How::Declined(code.to_owned()));
        let declined = gateway.confirm(&payment, order, 1_000).await;
        assert_eq!(refusal(&declined), (status, code));
        let body = gateway.query(&payment).await.1;
        assert_eq!(body["status"], "ABORTED");
        assert_eq!(body["failure"]["code"], json!(code));
    }
    assert_eq!(gateway.fake.totals().captured, 0);
}

#[tokio::test]
async fn errors_are_in_the_language_of_the_request() {
    let gateway = Gateway::start().await;
    let message = async |language: &str| {
        let request = gateway.get("/v1/payments/nothing");
        let body = answer(request.header("Accept-Language", language))
            .await
            .unwrap()
            .1;
        body["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(message("en-US").await, "There is no such payment.");
    assert_eq!(message("ko-KR, en;q=0.5").await, "결제가 없습니다.");
}

#[tokio::test]
async fn confirm_comes_within_ten_minutes_and_a_session_lasts_thirty() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let timely = gateway.fake.authorize("order-2", 1_000, How::Card);
    gateway.clock.advance(10 * MINUTE);
    assert_eq!(gateway.confirm(&timely, "order-2", 1_000).await.0, 200);
    gateway.clock.advance(Duration::from_millis(1));
    let late = gateway.confirm(&payment, "order-1", 1_000).await;
    assert_eq!(refusal(&late), (404, "NOT_FOUND_PAYMENT_SESSION"));
    assert_eq!(gateway.query(&payment).await.1["status"], "IN_PROGRESS");
    gateway.clock.advance(20 * MINUTE);
    assert_eq!(gateway.query(&payment).await.1["status"], "EXPIRED");
    let later = gateway.confirm(&payment, "order-1", 1_000).await;
    assert_eq!(refusal(&later), (404, "NOT_FOUND_PAYMENT_SESSION"));
    assert_eq!(gateway.query(&timely).await.1["status"], "DONE");
    let unknown = gateway.query("nothing").await;
    assert_eq!(refusal(&unknown), (404, "NOT_FOUND_PAYMENT"));
}

#[tokio::test]
async fn a_transfer_comes_before_its_date_or_not_at_all() {
    let gateway = Gateway::start().await;
    let payment = gateway
        .fake
        .authorize("order-1", 1_000, How::VirtualAccount);
    assert!(!gateway.fake.deposit(&payment), "no account yet");
    let (status, body) = gateway.confirm(&payment, "order-1", 1_000).await;
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("WAITING_FOR_DEPOSIT"))
    );
    assert_eq!(body["method"], "가상계좌");
    assert_eq!(body["approvedAt"], Value::Null);
    assert_eq!(
        body["virtualAccount"]["dueDate"],
        "2026-12-07T09:00:00+09:00"
    );
    assert!(body["secret"].is_string());
    let late = gateway
        .fake
        .authorize("order-2", 2_000, How::VirtualAccount);
    assert_eq!(gateway.confirm(&late, "order-2", 2_000).await.0, 200);
    assert_eq!(gateway.fake.totals().captured, 0);

    gateway
        .clock
        .advance(7 * 24 * 60 * MINUTE - Duration::from_millis(1));
    assert!(gateway.fake.deposit(&payment));
    assert!(!gateway.fake.deposit(&payment), "it has come");
    let body = gateway.query(&payment).await.1;
    assert_eq!(body["status"], "DONE");
    assert_eq!(body["approvedAt"], "2026-12-07T08:59:59+09:00");
    gateway.clock.advance(Duration::from_millis(1));
    assert!(!gateway.fake.deposit(&late), "it has expired");
    let body = gateway.query(&late).await.1;
    assert_eq!(body["status"], "EXPIRED");
    assert_eq!(body["virtualAccount"]["expired"], true);
    assert_eq!(gateway.fake.totals().captured, 1_000);
}

#[tokio::test]
async fn an_expired_payment_may_be_captured() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 7_000, How::Card);
    assert!(gateway.fake.expire(&payment));
    assert_eq!(gateway.query(&payment).await.1["status"], "EXPIRED");
    assert!(gateway.fake.capture(&payment));
    assert!(!gateway.fake.capture(&payment), "once");
    let body = gateway.query(&payment).await.1;
    assert_eq!(
        (&body["status"], &body["failure"]),
        (&json!("DONE"), &Value::Null)
    );
}
