//! The books' sums, after anything.

use std::time::Duration;

use fakes::toss::{BookedPayment, Call, CancelStatus, FaultPlan, How, Rates};
use serde_json::json;

use crate::support::{Gateway, answer};

/// Steps of a run.
const STEPS: u64 = 400;

/// A number of the seed and the step, by the constants of Knuth's MMIX generator.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// One random step.
async fn step(gateway: &Gateway, state: &mut u64, orders: u64) {
    let order = format!("order-{}", next(state) % orders);
    let book = gateway.fake.book();
    let mut of_order = book.iter().filter(|payment| payment.order_id == order);
    let key = of_order
        .next_back()
        .map_or("nothing", |payment| &payment.payment_key);
    let amount = i64::try_from(next(state) % 400).unwrap() + 1;
    match next(state) % 10 {
        0 => {
            let how = match next(state) % 4 {
                0 => How::VirtualAccount,
                1 => How::Declined("REJECT_CARD_PAYMENT".to_owned()),
                _ => How::Card,
            };
            gateway.fake.authorize(&order, 1_000, how);
        }
        1..4 => drop(answer(gateway.confirm_request(key, &order, 1_000)).await),
        4..7 => {
            let account = json!({"bank": "20", "accountNumber": "1", "holderName": "x"});
            let mut body = json!({"cancelReason": "refund", "refundReceiveAccount": account});
            if !next(state).is_multiple_of(4) {
                body["cancelAmount"] = json!(amount);
            }
            let path = format!("/v1/payments/{key}/cancel");
            drop(answer(gateway.post(&path, "", &body)).await);
        }
        7 => drop(gateway.fake.deposit(key)),
        8 => drop(gateway.fake.dashboard_cancel(key, amount)),
        _ => {
            for cancel in book.iter().flat_map(|payment| &payment.cancels) {
                let outcomes = [CancelStatus::Done, CancelStatus::Aborted];
                let outcome = outcomes[usize::try_from(next(state) % 2).unwrap()];
                gateway
                    .fake
                    .finish_cancel(key, &cancel.transaction_key, outcome);
            }
            gateway.fake.capture(key);
        }
    }
    gateway
        .clock
        .advance(Duration::from_millis(next(state) % 120_000));
}

fn check(payment: &BookedPayment) {
    let done = payment
        .cancels
        .iter()
        .filter(|cancel| cancel.status == CancelStatus::Done);
    let done: i64 = done.map(|cancel| cancel.amount).sum();
    assert!(
        [0, payment.amount].contains(&payment.captured),
        "{payment:?}"
    );
    assert!(
        (0..=payment.captured).contains(&payment.cancelled),
        "{payment:?}"
    );
    assert!(
        payment.captured == 0 || payment.cancelled == done,
        "{payment:?}"
    );
}

#[tokio::test]
async fn transactions_add_up_to_the_books() {
    let seed: u64 = 20_261_130;
    eprintln!("seed {seed}");
    let mut state = seed;
    let gateway = Gateway::start().await;
    let rates = Rates {
        lost_before: 50,
        lost_after: 50,
        server_error_after: 50,
        refused: 50,
        cancel_pending: 200,
        ..Rates::default()
    };
    gateway.fake.set_plan(FaultPlan {
        seed,
        confirm: rates,
        cancel: rates,
        ..FaultPlan::default()
    });
    for _ in 0..STEPS {
        step(&gateway, &mut state, 12).await;
    }
    let book = gateway.fake.book();
    book.iter().for_each(check);
    let totals = gateway.fake.totals();
    assert!(totals.captured > 0 && totals.cancelled > 0, "{totals:?}");
    let list =
        "/v1/transactions?startDate=2026-11-30T00:00:00&endDate=2027-11-30T00:00:00&limit=10000";
    let rows = answer(gateway.get(list)).await.unwrap().1;
    let sum = |is_capture: bool| -> i64 {
        let rows = rows.as_array().unwrap().iter();
        let rows = rows.filter(|row| (row["status"] == "DONE") == is_capture);
        rows.map(|row| row["amount"].as_i64().unwrap()).sum()
    };
    assert_eq!((sum(true), sum(false)), (totals.captured, totals.cancelled));
    assert!(gateway.fake.calls(Call::Transactions, "") > 0);
}
