//! Books in a file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use fakes::toss::{FakeToss, How, Status};
use serde_json::json;

use crate::support::{Gateway, MINUTE, SECRET, answer, clock, refusal};

#[tokio::test]
async fn the_gateway_s_books_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toss.jsonl");
    let clock = clock();
    let gateway = Gateway::of(
        FakeToss::open(&path, SECRET, clock.clone()).unwrap(),
        clock.clone(),
    );
    let gateway = gateway.await;
    let paid = gateway.paid("order-1", 1_000).await;
    assert!(gateway.fake.dashboard_cancel(&paid, 300));
    let open = gateway.fake.authorize("order-2", 2_000, How::Card);
    let body = json!({"paymentKey": open, "orderId": "order-2", "amount": 2_001});
    let path_of = "/v1/payments/confirm";
    let refused = answer(gateway.post(path_of, "charge-order-2", &body))
        .await
        .unwrap();
    assert_eq!(refusal(&refused), (400, "INVALID_REQUEST"));
    let book = gateway.fake.book();
    let shown = gateway.query(&paid).await.1;

    // A kill cuts a line.
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"Payment\":{\"num").unwrap();
    let again = Gateway::of(
        FakeToss::open(&path, SECRET, clock.clone()).unwrap(),
        clock.clone(),
    );
    let again = again.await;
    assert_eq!(again.fake.book(), book);
    assert_eq!(again.query(&paid).await.1, shown);
    let replayed = answer(again.post(path_of, "charge-order-2", &body))
        .await
        .unwrap();
    assert_eq!(replayed, refused);
    let day = "/v1/transactions?startDate=2026-11-30T00:00:00&endDate=2026-11-30T23:59:59";
    let rows = answer(again.get(day)).await.unwrap().1;
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
    clock.advance(30 * MINUTE);
    assert_eq!(again.fake.booked(&open).unwrap().status, Status::Expired);
    let third = again.fake.authorize("order-3", 3_000, How::Card);
    drop(again);
    let last = FakeToss::open(&path, SECRET, clock).unwrap();
    assert_eq!(
        last.book().last().map(|booked| booked.payment_key.clone()),
        Some(third)
    );
}

#[test]
fn another_file_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    fs::write(&path, "something else\n").unwrap();
    assert!(FakeToss::open(&path, SECRET, clock()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else\n");
}
