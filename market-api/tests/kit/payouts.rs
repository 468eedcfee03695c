//! The client of the payout provider against answers served over HTTP.

use std::sync::Arc;
use std::time::Duration;

use market_api::gateway::GatewayCode;
use market_api::metrics::Metrics;
use market_api::payouts::http::{HttpPayouts, NoPayoutClient, PayoutSettings};
use market_api::payouts::{PayoutRequest, PayoutStatus, PayoutUnknown, Payouts as _};
use serde_json::json;
use shared::clock::UnixMillis;
use shared::config::Secret;
use shared::ids::MemberId;
use shared::money::Won;

use crate::provider::{Provider, Reply, response};
use crate::support::NOON_MS;

const REFERENCE: &str = "refund-7-2";

fn open(base: &str, answer_max: Duration) -> Result<HttpPayouts, NoPayoutClient> {
    let settings = PayoutSettings {
        base: base.parse().unwrap(),
        key: Secret::new("hunter2".to_owned()),
        answer_max,
    };
    HttpPayouts::new(settings, Arc::new(Metrics::new()))
}

async fn start() -> (Provider, HttpPayouts) {
    let provider = Provider::start().await;
    let payouts = open(provider.url.as_str(), Duration::from_secs(20)).unwrap();
    (provider, payouts)
}

fn payout() -> PayoutRequest {
    PayoutRequest {
        reference: REFERENCE.to_owned(),
        member: MemberId::try_from(12_u64).unwrap(),
        amount: Won::new(30_000),
        valid_until: UnixMillis::try_from(NOON_MS).unwrap(),
    }
}

fn state(status: &str) -> String {
    json!({"reference": REFERENCE, "status": status, "amount": 30_000}).to_string()
}

fn refused(code: &str) -> PayoutStatus {
    PayoutStatus::Refused(GatewayCode::of(code))
}

#[tokio::test]
async fn a_payout_is_sent_once_by_its_reference() {
    let (provider, payouts) = start().await;
    for (status, body, expected) in [
        (200, state("ACCEPTED"), PayoutStatus::Accepted),
        (200, state("PAID"), PayoutStatus::Paid),
        (
            200,
            json!({"reference": REFERENCE, "status": "PAID"}).to_string(),
            PayoutStatus::Paid,
        ),
        (
            422,
            r#"{"code":"ACCOUNT_CLOSED","message":"m"}"#.to_owned(),
            refused("ACCOUNT_CLOSED"),
        ),
    ] {
        provider.json(status, &body);
        assert_eq!(payouts.send(&payout()).await, Ok(expected));
    }
    let seen = provider.seen();
    assert_eq!(seen[0].line(), "POST /v1/payouts");
    assert_eq!(seen[0].header("authorization"), Some("Bearer hunter2"));
    let expected = json!({
        "reference": REFERENCE, "amount": 30_000, "recipient": {"memberId": 12},
        "validUntil": "2026-11-15T03:00:00Z",
    });
    assert_eq!(seen[0].body, expected);
}

#[tokio::test]
async fn a_payout_is_found_or_for_certain_not_there() {
    let (provider, payouts) = start().await;
    let rejected =
        json!({"reference": REFERENCE, "status": "REFUSED", "amount": 1, "code": "ACCOUNT_CLOSED"});
    for (status, body, expected) in [
        (200, state("PAID"), Some(PayoutStatus::Paid)),
        (200, rejected.to_string(), Some(refused("ACCOUNT_CLOSED"))),
        (
            404,
            r#"{"code":"NOT_FOUND","message":"m"}"#.to_owned(),
            None,
        ),
    ] {
        provider.json(status, &body);
        assert_eq!(payouts.find(REFERENCE).await, Ok(expected));
    }
    assert_eq!(provider.seen()[0].line(), "GET /v1/payouts/refund-7-2");
}

#[tokio::test]
async fn everything_else_is_unknown() {
    let (provider, payouts) = start().await;
    let code = |code: &str| json!({"code": code, "message": "m"}).to_string();
    let answers = [
        (200, String::new()),
        (200, state("GONE")),
        (
            200,
            json!({"reference": "refund-7-3", "status": "PAID"}).to_string(),
        ),
        (201, state("PAID")),
        (400, code("INVALID_REQUEST")),
        (401, code("UNAUTHORIZED")),
        (404, "<html>".to_owned()),
        (404, code("NO_ROUTE")),
        (409, code("REFERENCE_CONFLICT")),
        (422, "<html>".to_owned()),
        (429, code("ACCOUNT_CLOSED")),
        (500, code("ACCOUNT_CLOSED")),
        (503, code("NOT_FOUND")),
    ];
    for (status, body) in answers {
        provider.json(status, &body);
        let sent = payouts.send(&payout()).await;
        assert!(sent.is_err(), "{status} {body}: {sent:?}");
        provider.json(status, &body);
        let found = payouts.find(REFERENCE).await;
        assert!(found.is_err(), "{status} {body}: {found:?}");
    }
    // Another's payout under our reference.
    let other = json!({"reference": REFERENCE, "status": "PAID", "amount": 1}).to_string();
    provider.json(200, &other);
    assert!(payouts.send(&payout()).await.is_err());
    // A refusal of a query is no answer of the provider's API.
    provider.json(422, &code("ACCOUNT_CLOSED"));
    assert!(payouts.find(REFERENCE).await.is_err());
    // A send has no "not there".
    provider.json(404, &code("NOT_FOUND"));
    assert!(payouts.send(&payout()).await.is_err());
    for reference in ["", ".", ".."] {
        assert!(payouts.find(reference).await.is_err());
    }
    provider.then(Reply::Last(response(200, &state("PAID"))[..60].to_vec()));
    assert!(payouts.send(&payout()).await.is_err());
}

#[tokio::test]
async fn a_provider_that_hangs_is_unknown_and_no_secret_is_shown() {
    let provider = Provider::start().await;
    let payouts = open(provider.url.as_str(), Duration::from_millis(300)).unwrap();
    provider.then(Reply::Silence);
    let PayoutUnknown(reason) = payouts.send(&payout()).await.unwrap_err();
    assert_eq!(reason, "no answer in time");
    assert!(!format!("{payouts:?}").contains("hunter2"));
    let exposed = open("http://bank.example", Duration::from_secs(1));
    assert!(matches!(exposed, Err(NoPayoutClient::Exposed)));
}
