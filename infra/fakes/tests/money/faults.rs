//! Faults: what a client sees, and what the books have.

use std::collections::BTreeMap;
use std::time::Duration;

use fakes::toss::{Call, Fault, FaultPlan, How, Rates, Status};
use serde_json::json;

use crate::support::{Gateway, answer, refusal};

/// A confirm with this fault: the status that the client sees, and where the payment stands.
async fn check(fault: Fault, seen: Option<u16>, status: Status) {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    gateway.fake.script(Call::Confirm, "order-1", &[fault]);
    let answer = answer(gateway.confirm_request(&payment, "order-1", 1_000)).await;
    assert_eq!(answer.map(|answer| answer.0), seen, "{fault:?}");
    let booked = gateway.fake.booked(&payment).unwrap();
    assert_eq!(booked.status, status, "{fault:?}");
}

#[tokio::test]
async fn lost_before_is_not_processed_and_lost_after_is() {
    check(Fault::LostBefore, None, Status::InProgress).await;
    check(Fault::LostAfter, None, Status::Done).await;
}

#[tokio::test]
async fn a_lost_answer_has_no_status() {
    let gateway = Gateway::start().await;
    gateway
        .fake
        .script(Call::Get, "order-1", &[Fault::LostBefore, Fault::LostAfter]);
    for _ in 0..2 {
        let request = gateway.get("/v1/payments/orders/order-1");
        let error = request.send().await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    }
    assert_eq!(gateway.fake.calls(Call::Get, "order-1"), 2);
}

#[tokio::test]
async fn errors_come_before_or_after_the_capture() {
    check(Fault::ServerError, Some(500), Status::InProgress).await;
    check(Fault::ServerErrorAfter, Some(500), Status::Done).await;
    check(Fault::TooManyRequests, Some(429), Status::InProgress).await;
}

#[tokio::test]
async fn a_malformed_answer_follows_a_capture() {
    check(Fault::Malformed, None, Status::Done).await;
    let delay = Fault::Delay(Duration::from_millis(1));
    check(delay, Some(200), Status::Done).await;
}

#[tokio::test]
async fn a_refusal_for_certain_is_replayed() {
    let fault = Fault::Refused("INVALID_STOPPED_CARD");
    check(fault, Some(400), Status::Aborted).await;

    let gateway = Gateway::start().await;
    let payment = gateway.paid("order-1", 1_000).await;
    let fault = Fault::Refused("EXCEED_MAX_REFUND_DUE");
    gateway.fake.script(Call::Cancel, "order-1", &[fault]);
    let body = json!({"cancelReason": "refund", "cancelAmount": 100});
    let path = format!("/v1/payments/{payment}/cancel");
    for _ in 0..2 {
        let refused = answer(gateway.post(&path, "refund-1-1", &body))
            .await
            .unwrap();
        assert_eq!(refusal(&refused), (403, "EXCEED_MAX_REFUND_DUE"));
    }
    assert_eq!(gateway.fake.totals().cancelled, 0);
    let next = answer(gateway.post(&path, "refund-1-2", &body))
        .await
        .unwrap();
    assert_eq!(next.0, 200);
}

#[tokio::test]
async fn only_what_was_processed_is_stored_under_the_key() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let script = [
        Fault::ServerError,
        Fault::LostBefore,
        Fault::TooManyRequests,
        Fault::LostAfter,
    ];
    gateway.fake.script(Call::Confirm, "order-1", &script);
    let body = json!({"paymentKey": payment, "orderId": "order-1", "amount": 1_000});
    let mut seen = Vec::new();
    for _ in 0..6 {
        let request = gateway.post("/v1/payments/confirm", "charge-order-1", &body);
        seen.push(answer(request).await.map(|answer| answer.0));
    }
    let replayed = Some(200);
    assert_eq!(seen, [Some(500), None, Some(429), None, replayed, replayed]);

    let other = gateway.fake.authorize("order-2", 1_000, How::Card);
    gateway
        .fake
        .script(Call::Confirm, "order-2", &[Fault::ServerErrorAfter]);
    let body = json!({"paymentKey": other, "orderId": "order-2", "amount": 1_000});
    for _ in 0..2 {
        let request = gateway.post("/v1/payments/confirm", "charge-order-2", &body);
        assert_eq!(answer(request).await.map(|answer| answer.0), Some(500));
    }
    assert_eq!(gateway.query(&other).await.1["status"], "DONE");
}

#[tokio::test]
async fn a_call_goes_on_when_its_client_leaves() {
    let gateway = Gateway::start().await;
    let payment = gateway.fake.authorize("order-1", 1_000, How::Card);
    let long = Fault::Delay(Duration::from_millis(300));
    gateway.fake.script(Call::Confirm, "order-1", &[long]);
    let request = gateway.confirm_request(&payment, "order-1", 1_000);
    tokio::select! {
        _ = request.send() => {}
        () = gateway.saw(Call::Confirm, "order-1") => {}
    }
    let captured = async {
        while gateway.fake.totals().captured == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let bound = Duration::from_secs(30);
    tokio::time::timeout(bound, captured).await.unwrap();
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_in_any_order() {
    let rates = Rates {
        lost_before: 150,
        lost_after: 150,
        server_error: 100,
        server_error_after: 100,
        too_many_requests: 100,
        malformed: 100,
        refused: 100,
        delay: 100,
        ..Rates::default()
    };
    let plan = FaultPlan {
        seed: 7,
        confirm: rates,
        get: Rates {
            lost_before: 500,
            ..Rates::default()
        },
        ..FaultPlan::default()
    };
    let run = async |orders: &[String], plan: FaultPlan| {
        let gateway = Gateway::start().await;
        gateway.fake.set_plan(plan);
        for order in orders {
            let payment = gateway.fake.authorize(order, 1_000, How::Card);
            for _ in 0..2 {
                drop(gateway.confirm_request(&payment, order, 1_000).send().await);
                drop(
                    gateway
                        .get(&format!("/v1/payments/orders/{order}"))
                        .send()
                        .await,
                );
            }
        }
        let mut faults = BTreeMap::<_, Vec<_>>::new();
        for seen in gateway.fake.requests_seen() {
            let place = (format!("{:?}", seen.call), seen.order_id);
            faults.entry(place).or_default().push(seen.fault);
        }
        faults
    };
    let mut orders: Vec<_> = (0..40).map(|number| format!("order-{number}")).collect();
    let first = run(&orders, plan).await;
    orders.reverse();
    assert_eq!(run(&orders, plan).await, first);
    let other = FaultPlan { seed: 8, ..plan };
    assert_ne!(run(&orders, other).await, first);
    let none = run(&orders, FaultPlan::default()).await;
    assert!(none.values().flatten().all(Option::is_none));
    // Kinds are set apart: queries have one fault only.
    let of_queries = first.iter().filter(|((call, _), _)| call == "Get");
    let mut of_queries = of_queries.flat_map(|(_, faults)| faults).flatten();
    assert!(of_queries.all(|fault| *fault == Fault::LostBefore));
}
