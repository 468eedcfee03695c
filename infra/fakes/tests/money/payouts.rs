//! The provider of payouts.

use std::sync::Arc;
use std::time::Duration;

use fakes::payout::{FakePayout, PayoutFault, PayoutPlan, PayoutStatus};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use shared::clock::ManualClock;

use crate::support::{MINUTE, answer, client, clock, refusal, serve};

const KEY: &str = "payout-key";

struct Provider {
    fake: Arc<FakePayout>,
    clock: Arc<ManualClock>,
    base: String,
    client: Client,
}

impl Provider {
    async fn start(pays_after: Duration) -> Self {
        let clock = clock();
        let fake = FakePayout::new(KEY, clock.clone()).pays_after(pays_after);
        let fake = Arc::new(fake);
        let base = serve(fake.clone().router()).await;
        Self {
            fake,
            clock,
            base,
            client: client(),
        }
    }

    fn request(&self, reference: &str, won: i64) -> RequestBuilder {
        let recipient = json!({"bank": "20", "accountNumber": "1002-1", "holderName": "홍길동"});
        let body = json!({
            "reference": reference, "amount": won, "recipient": recipient,
            "validUntil": "2026-11-30T09:10:00+09:00",
        });
        let request = self.client.post(format!("{}/v1/payouts", self.base));
        request.bearer_auth(KEY).json(&body)
    }

    async fn order(&self, reference: &str, won: i64) -> (u16, Value) {
        answer(self.request(reference, won)).await.unwrap()
    }

    async fn query(&self, reference: &str) -> (u16, Value) {
        let request = self
            .client
            .get(format!("{}/v1/payouts/{reference}", self.base));
        answer(request.bearer_auth(KEY)).await.unwrap()
    }
}

#[tokio::test]
async fn a_reference_is_paid_once() {
    let provider = Provider::start(MINUTE).await;
    let accepted = json!({"reference": "refund-1-1", "status": "ACCEPTED"});
    assert_eq!(
        provider.order("refund-1-1", 5_000).await,
        (200, accepted.clone())
    );
    assert_eq!(provider.order("refund-1-1", 5_000).await, (200, accepted));
    let other = provider.order("refund-1-1", 5_001).await;
    assert_eq!(refusal(&other), (409, "REFERENCE_CONFLICT"));
    assert_eq!(provider.fake.total_paid(), 5_000);
    assert_eq!(provider.fake.requests("refund-1-1"), 3);
    provider.clock.advance(MINUTE);
    let paid = json!({"reference": "refund-1-1", "status": "PAID", "amount": 5_000});
    assert_eq!(provider.query("refund-1-1").await, (200, paid));
    let unknown = provider.query("refund-1-2").await;
    assert_eq!(refusal(&unknown), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn without_a_delay_it_is_paid_at_once() {
    let provider = Provider::start(Duration::ZERO).await;
    let paid = json!({"reference": "refund-1-1", "status": "PAID"});
    assert_eq!(provider.order("refund-1-1", 5_000).await, (200, paid));
    assert!(provider.fake.reject("refund-1-1", "RETURNED"));
    assert!(!provider.fake.reject("refund-1-1", "RETURNED"));
    let body = provider.query("refund-1-1").await.1;
    assert_eq!(
        (&body["status"], &body["code"]),
        (&json!("REFUSED"), &json!("RETURNED"))
    );
    assert_eq!(provider.fake.total_paid(), 0);
}

#[tokio::test]
async fn refusals_use_their_reference_up() {
    let provider = Provider::start(Duration::ZERO).await;
    provider.fake.close_account("1002-1");
    let closed = provider.order("refund-1-1", 5_000).await;
    assert_eq!(refusal(&closed), (422, "ACCOUNT_CLOSED"));
    let body = provider.query("refund-1-1").await.1;
    assert_eq!(
        (&body["status"], &body["code"]),
        (&json!("REFUSED"), &json!("ACCOUNT_CLOSED"))
    );
    let again = provider.order("refund-1-1", 5_000).await;
    assert_eq!(refusal(&again), (422, "ACCOUNT_CLOSED"));
    assert_eq!(provider.fake.book()[0].status, PayoutStatus::Refused);
}

#[tokio::test]
async fn an_order_is_valid_until_its_time() {
    let provider = Provider::start(Duration::ZERO).await;
    provider.clock.advance(10 * MINUTE);
    assert_eq!(provider.order("refund-1-1", 5_000).await.0, 200);
    provider.clock.advance(Duration::from_millis(1));
    let late = provider.order("refund-1-2", 5_000).await;
    assert_eq!(refusal(&late), (422, "VALIDITY_EXPIRED"));
    // What was accepted in time stays so.
    assert_eq!(provider.order("refund-1-1", 5_000).await.0, 200);
}

#[tokio::test]
async fn times_have_any_offset() {
    let provider = Provider::start(Duration::ZERO).await;
    let url = format!("{}/v1/payouts", provider.base);
    provider.clock.advance(Duration::from_millis(500));
    for (time, status) in [
        ("2026-11-30T00:00:00.500Z", 200),
        ("2026-11-30T00:00:00.499Z", 422),
        ("2026-11-29T19:00:00.5-05:00", 200),
        ("2026-11-30T05:30:00+05:30", 422),
        ("2026-11-30T05:31:00+05:30", 200),
    ] {
        let body = json!({
            "reference": time, "amount": 1, "recipient": {"memberId": 12}, "validUntil": time,
        });
        let request = provider.client.post(&url).bearer_auth(KEY);
        assert_eq!(
            answer(request.json(&body)).await.unwrap().0,
            status,
            "{time}"
        );
    }
    provider.fake.close_account("12");
    let body = json!({
        "reference": "closed", "amount": 1, "recipient": {"memberId": 12},
        "validUntil": "2026-11-30T00:10:00Z",
    });
    let request = provider.client.post(&url).bearer_auth(KEY);
    let answer = answer(request.json(&body)).await.unwrap();
    assert_eq!(refusal(&answer), (422, "ACCOUNT_CLOSED"));
}

#[tokio::test]
async fn wrong_orders_are_refused() {
    let provider = Provider::start(Duration::ZERO).await;
    let url = format!("{}/v1/payouts", provider.base);
    let good = json!({
        "reference": "refund-1-1", "amount": 1, "recipient": "1002-1",
        "validUntil": "2026-11-30T09:10:00+09:00",
    });
    let bare = answer(provider.client.post(&url).json(&good))
        .await
        .unwrap();
    assert_eq!(refusal(&bare), (401, "UNAUTHORIZED"));
    for (field, value) in [
        ("reference", json!("")),
        ("reference", json!(1)),
        ("amount", json!(0)),
        ("amount", json!("1")),
        ("recipient", Value::Null),
        ("validUntil", json!("2026-11-30T09:10:00")),
        ("validUntil", json!("2026-11-30T09:10:00 09:00")),
        ("validUntil", json!("+09:00")),
        ("validUntil", json!("")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let request = provider.client.post(&url).bearer_auth(KEY);
        let answer = answer(request.json(&body)).await.unwrap();
        assert_eq!(refusal(&answer), (400, "INVALID_REQUEST"), "{body}");
    }
    assert_eq!(provider.fake.book(), []);
}

#[tokio::test]
async fn faults_lose_answers_or_orders() {
    let provider = Provider::start(Duration::ZERO).await;
    for (reference, fault, seen, booked) in [
        ("a", PayoutFault::LostBefore, None, None),
        ("b", PayoutFault::LostAfter, None, Some(PayoutStatus::Paid)),
        ("c", PayoutFault::ServerError, Some(500), None),
        (
            "d",
            PayoutFault::Refused,
            Some(422),
            Some(PayoutStatus::Refused),
        ),
    ] {
        provider.fake.script(reference, &[fault]);
        let answer = answer(provider.request(reference, 1_000)).await;
        assert_eq!(answer.map(|answer| answer.0), seen, "{fault:?}");
        let book = provider.fake.book();
        let payout = book.iter().find(|payout| payout.reference == reference);
        assert_eq!(payout.map(|payout| payout.status), booked, "{fault:?}");
    }
    provider.fake.set_plan(PayoutPlan {
        refused: 1_000,
        ..PayoutPlan::default()
    });
    assert_eq!(provider.order("e", 1_000).await.0, 422);
    provider.fake.set_plan(PayoutPlan::default());
    assert_eq!(provider.order("f", 1_000).await.0, 200);
}

#[tokio::test]
async fn payouts_outlive_their_provider() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payouts.jsonl");
    let order = json!({
        "reference": "refund-1-1", "amount": 5_000, "recipient": "1002-1",
        "validUntil": "2026-11-30T10:00:00+09:00",
    });
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let fake = Arc::new(FakePayout::open(&path, KEY, clock()).unwrap());
        let base = serve(fake.clone().router()).await;
        let request = client().post(format!("{base}/v1/payouts"));
        statuses.push(
            answer(request.bearer_auth(KEY).json(&order))
                .await
                .unwrap()
                .0,
        );
        assert_eq!(fake.book().len(), 1);
        fake.reject("refund-1-1", "ACCOUNT_CLOSED");
        assert_eq!(fake.book()[0].status, PayoutStatus::Refused);
    }
    assert_eq!(statuses, [200, 422]);
}
