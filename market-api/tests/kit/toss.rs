//! The client of Toss Payments against recorded answers of its documentation, served over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use market_api::gateway::toss::{NoTossClient, TossGateway, TossSettings, TossTimes};
use market_api::gateway::{
    CancelRequest, ConfirmRequest, Gateway as _, GatewayError, GatewayResult, Payment,
    PaymentStatus,
};
use market_api::metrics::Metrics;
use serde_json::{Value, json};
use shared::clock::{LocalDateTime, SystemClock, UnixMillis};
use shared::config::Secret;
use shared::money::Won;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::provider::{Provider, Reply, response};

const SECRET: &str = "test_sk_hunter2";

const CARD: &str = include_str!("toss/card.json");
const VIRTUAL_ACCOUNT: &str = include_str!("toss/virtual_account.json");
const PARTIAL_CANCEL: &str = include_str!("toss/partial_cancel.json");
const ABORTED: &str = include_str!("toss/aborted.json");
const TRANSACTIONS: &str = include_str!("toss/transactions.json");
const ERRORS: &str = include_str!("toss/errors.json");

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

/// For answers that never come.
const SHORT: Duration = Duration::from_millis(300);

fn settings(base: &str) -> TossSettings {
    TossSettings {
        base: base.parse().unwrap(),
        secret: Secret::new(SECRET.to_owned()),
        times: TossTimes::default(),
    }
}

fn open(base: &str, answer: Duration) -> Result<TossGateway, NoTossClient> {
    let mut settings = settings(base);
    settings.times.answer = answer;
    TossGateway::new(settings, Arc::new(SystemClock), Arc::new(Metrics::new()))
}

async fn start() -> (Provider, TossGateway) {
    let provider = Provider::start().await;
    let gateway = open(provider.url.as_str(), PATIENT).unwrap();
    (provider, gateway)
}

fn confirmation() -> ConfirmRequest {
    ConfirmRequest {
        key: "tgen_20261115120000AbCd1".to_owned().try_into().unwrap(),
        order: "a4CWyWY5m89PNh7xJwhk1".to_owned().try_into().unwrap(),
        amount: Won::new(15_000),
        idempotency_key: "charge-a4CWyWY5m89PNh7xJwhk1"
            .to_owned()
            .try_into()
            .unwrap(),
    }
}

fn cancellation(key: &str) -> CancelRequest {
    CancelRequest {
        key: key.to_owned().try_into().unwrap(),
        amount: Won::new(1_000),
        reason: "refund-7-1".to_owned(),
        idempotency_key: "refund-7-1".to_owned().try_into().unwrap(),
    }
}

fn at(text: &str) -> UnixMillis {
    text.parse::<LocalDateTime>().unwrap().to_unix()
}

/// The reason of an outcome that is unknown.
fn unknown<T: std::fmt::Debug>(outcome: GatewayResult<T>) -> String {
    match outcome {
        Err(GatewayError::Unknown(uncertain)) => uncertain.reason,
        other => panic!("not unknown: {other:?}"),
    }
}

#[tokio::test]
async fn a_card_payment_is_confirmed() {
    let (provider, gateway) = start().await;
    provider.json(200, CARD);
    let request = confirmation();
    let payment = gateway.confirm(&request).await.unwrap();
    assert_eq!(
        payment,
        Payment {
            key: request.key.clone(),
            order: request.order.clone(),
            status: PaymentStatus::Done,
            total: Won::new(15_000),
            method: Some("카드".to_owned()),
            approved_at: Some(at("2026-11-15T12:00:00")),
            due_at: None,
            receipt_url: Some(
                "https://dashboard.tosspayments.com/receipt/redirection?transactionId=tgen_20261115120000AbCd1"
                    .to_owned()
            ),
            failure: None,
            cancels: Vec::new(),
        }
    );
    let [seen] = provider.seen().try_into().unwrap();
    assert_eq!(seen.line(), "POST /v1/payments/confirm");
    // "test_sk_hunter2:" in base64: the colon is part of it.
    assert_eq!(
        seen.header("authorization"),
        Some("Basic dGVzdF9za19odW50ZXIyOg==")
    );
    assert_eq!(
        seen.header("idempotency-key"),
        Some("charge-a4CWyWY5m89PNh7xJwhk1")
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert!(seen.header("user-agent").unwrap().starts_with("DaPanDa"));
    let expected = json!({
        "paymentKey": "tgen_20261115120000AbCd1", "orderId": "a4CWyWY5m89PNh7xJwhk1", "amount": 15_000,
    });
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn a_virtual_account_waits_for_its_deposit() {
    let (provider, gateway) = start().await;
    provider.json(200, VIRTUAL_ACCOUNT);
    let order = "a4CWyWY5m89PNh7xJwhk2".to_owned().try_into().unwrap();
    let payment = gateway.payment_of(&order).await.unwrap();
    assert_eq!(payment.status, PaymentStatus::WaitingForDeposit);
    assert_eq!(payment.due_at, Some(at("2026-11-18T21:05:09")));
    assert_eq!((payment.approved_at, payment.receipt_url), (None, None));
    let [seen] = provider.seen().try_into().unwrap();
    assert_eq!(seen.line(), "GET /v1/payments/orders/a4CWyWY5m89PNh7xJwhk2");
    assert_eq!(seen.header("idempotency-key"), None);
}

#[tokio::test]
async fn a_declined_payment_has_its_code() {
    let (provider, gateway) = start().await;
    provider.json(200, ABORTED);
    let order = "a4CWyWY5m89PNh7xJwhk3".to_owned().try_into().unwrap();
    let payment = gateway.payment_of(&order).await.unwrap();
    assert_eq!(payment.status, PaymentStatus::Aborted);
    assert_eq!(payment.failure.as_deref(), Some("REJECT_CARD_PAYMENT"));
}

#[tokio::test]
async fn a_part_is_cancelled() {
    let (provider, gateway) = start().await;
    provider.json(200, PARTIAL_CANCEL);
    let payment = gateway
        .cancel(&cancellation("tgen_20261115120000AbCd1"))
        .await
        .unwrap();
    assert_eq!(payment.status, PaymentStatus::PartialCanceled);
    assert_eq!(payment.total, Won::new(15_000));
    let [other, own] = payment.cancels.try_into().unwrap();
    assert_eq!(other.amount, Won::new(5_000));
    assert_eq!(other.reason, "상점 관리자");
    assert_eq!(own.amount, Won::new(1_000));
    assert_eq!((own.reason.as_str(), own.is_done()), ("refund-7-1", true));
    assert_eq!(own.canceled_at, Some(at("2026-11-15T13:00:00")));
    assert_eq!(own.transaction_key, "090A796806E726BBB929F4A2CA7DB9A7");
    let [seen] = provider.seen().try_into().unwrap();
    assert_eq!(
        seen.line(),
        "POST /v1/payments/tgen_20261115120000AbCd1/cancel"
    );
    assert_eq!(seen.header("idempotency-key"), Some("refund-7-1"));
    let expected = json!({"cancelReason": "refund-7-1", "cancelAmount": 1_000});
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn the_list_has_captures_and_cancels_of_the_time() {
    let (provider, gateway) = start().await;
    provider.json(200, TRANSACTIONS);
    let (from, until) = (at("2026-11-15T00:00:00"), at("2026-11-16T00:00:00"));
    let page = gateway.transactions(from, until, None).await.unwrap();
    let rows: Vec<_> = page
        .transactions
        .iter()
        .map(|row| (row.status, row.amount.get(), row.at))
        .collect();
    // Neither the deposit that is missing, nor the cancel at the first moment of the next day.
    let expected = [
        (PaymentStatus::Done, 15_000, at("2026-11-15T12:00:00")),
        (
            PaymentStatus::PartialCanceled,
            5_000,
            at("2026-11-15T12:30:00"),
        ),
    ];
    assert_eq!(rows, expected);
    assert_eq!(page.next, None);
    let [seen] = provider.seen().try_into().unwrap();
    let day = "startDate=2026-11-15T00%3A00%3A00&endDate=2026-11-16T00%3A00%3A00&limit=500";
    assert_eq!(seen.line(), format!("GET /v1/transactions?{day}"));
}

#[tokio::test]
async fn a_full_page_has_a_next_one() {
    let (provider, gateway) = start().await;
    let first = &serde_json::from_str::<Vec<Value>>(TRANSACTIONS).unwrap()[0];
    let rows: Vec<Value> = (0..500)
        .map(|n| {
            let mut row = first.clone();
            row["transactionKey"] = json!(format!("T{n}"));
            row
        })
        .collect();
    provider.json(200, &json!(rows).to_string());
    provider.json(200, "[]");
    let (from, until) = (at("2026-11-15T00:00:00"), at("2026-11-16T00:00:00"));
    let page = gateway.transactions(from, until, None).await.unwrap();
    assert_eq!(page.transactions.len(), 500);
    assert_eq!(page.next.as_deref(), Some("T499"));
    let page = gateway.transactions(from, until, page.next.as_deref());
    let page = page.await.unwrap();
    assert_eq!((page.transactions.len(), page.next), (0, None));
    let [_, seen] = provider.seen().try_into().unwrap();
    assert!(
        seen.line().ends_with("&startingAfter=T499"),
        "{}",
        seen.line()
    );
}

#[tokio::test]
async fn a_row_that_is_unreadable_makes_the_page_unknown() {
    let (provider, gateway) = start().await;
    let good: Vec<Value> = serde_json::from_str(TRANSACTIONS).unwrap();
    for (field, value) in [
        ("amount", json!("15000")),
        ("amount", json!(0)),
        ("currency", json!("USD")),
        ("transactionAt", json!("soon")),
        ("orderId", json!(null)),
        ("transactionKey", json!("")),
    ] {
        let mut rows = good.clone();
        rows[0][field] = value;
        provider.json(200, &json!(rows).to_string());
        let page = gateway.transactions(UnixMillis::EPOCH, UnixMillis::MAX, None);
        unknown(page.await);
    }
}

#[tokio::test]
async fn every_documented_error_has_its_class_over_http() {
    let (provider, gateway) = start().await;
    let errors: Vec<BTreeMap<String, Value>> = serde_json::from_str(ERRORS).unwrap();
    assert!(errors.len() > 70, "{}", errors.len());
    let order = confirmation().order;
    for error in errors {
        let (status, code) = (error["status"].as_u64().unwrap(), error["code"].as_str());
        let body = json!({"code": code, "message": "고객에게 보이는 말", "data": null});
        provider.json(status.try_into().unwrap(), &body.to_string());
        let outcome = match error["call"].as_str().unwrap() {
            "cancel" => gateway.cancel(&cancellation("key")).await.unwrap_err(),
            "query" => gateway.payment_of(&order).await.unwrap_err(),
            "list" => gateway
                .transactions(UnixMillis::EPOCH, UnixMillis::MAX, None)
                .await
                .unwrap_err(),
            _ => gateway.confirm(&confirmation()).await.unwrap_err(),
        };
        let (class, shown) = match &outcome {
            GatewayError::Refused(code) => ("refused", code.as_str()),
            GatewayError::Misconfigured(code) => ("ours", code.as_str()),
            GatewayError::NotFound => ("not_found", "NOT_FOUND_PAYMENT"),
            GatewayError::Unknown(uncertain) => ("unknown", uncertain.code.as_str()),
        };
        assert_eq!(Some(class), error["class"].as_str(), "{error:?}");
        assert_eq!(Some(shown), code);
    }
}

#[tokio::test]
async fn only_a_200_has_a_payment() {
    let (provider, gateway) = start().await;
    for status in [201, 202, 400, 403, 404, 409, 429, 500, 503] {
        provider.json(status, CARD);
        unknown(gateway.confirm(&confirmation()).await);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_unknown() {
    let (provider, gateway) = start().await;
    let refusal = r#"{"code":"REJECT_CARD_PAYMENT","message":"m"}"#;
    let half = &response(200, CARD)[..300];
    for reply in [
        Reply::Bytes(response(200, "")),
        Reply::Bytes(response(200, "<html>")),
        Reply::Bytes(response(200, refusal)),
        Reply::Bytes(response(200, "[]")),
        Reply::Bytes(response(400, "")),
        Reply::Bytes(response(403, "REJECT_CARD_PAYMENT")),
        Reply::Bytes(response(502, refusal)),
        Reply::Last(half.to_vec()),
        Reply::Last(Vec::new()),
        Reply::Last(b"REJECT_CARD_PAYMENT\r\n\r\n".to_vec()),
        Reply::Last(b"\x00\xff\r\n".to_vec()),
    ] {
        provider.then(reply);
        unknown(gateway.confirm(&confirmation()).await);
    }
}

/// Operators see it beside the charge.
#[tokio::test]
async fn an_unknown_outcome_has_a_code() {
    let provider = Provider::start().await;
    let gateway = open(provider.url.as_str(), SHORT).unwrap();
    let error = r#"{"code":"PROVIDER_ERROR","message":"m"}"#;
    provider
        .json(400, error)
        .json(502, "<html>")
        .json(200, "{}");
    provider.then(Reply::Last(Vec::new())).then(Reply::Silence);
    for expected in [
        "PROVIDER_ERROR",
        "HTTP_502",
        "UNREADABLE",
        "NO_ANSWER",
        "TIMEOUT",
    ] {
        let error = gateway.confirm(&confirmation()).await.unwrap_err();
        assert!(matches!(error, GatewayError::Unknown(_)), "{error:?}");
        assert_eq!(error.code(), expected);
    }
}

/// The key is not sent to a server that has no TLS where it should.
#[tokio::test]
async fn a_server_without_tls_gets_no_request() {
    let provider = Provider::start().await;
    let mut url = provider.url.clone();
    url.set_scheme("https").unwrap();
    let gateway = open(url.as_str(), SHORT).unwrap();
    unknown(gateway.confirm(&confirmation()).await);
    assert!(provider.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (provider, gateway) = start().await;
    let elsewhere = Provider::start().await;
    for status in [301, 302, 303, 307, 308] {
        let target = elsewhere.url.join("/v1/payments/confirm").unwrap();
        let head =
            format!("HTTP/1.1 {status} X\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        provider.then(Reply::Bytes(head.into_bytes()));
        let reason = unknown(gateway.confirm(&confirmation()).await);
        assert!(reason.contains(&status.to_string()), "{reason}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let (provider, gateway) = start().await;
    let long = format!("{CARD}{}", " ".repeat(2 << 20));
    provider.then(Reply::Last(response(200, &long)));
    let reason = unknown(gateway.confirm(&confirmation()).await);
    assert!(reason.contains("too long"), "{reason}");
    // Without its length at the start.
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    provider.then(Reply::Last(format!("{head}{long}").into_bytes()));
    let reason = unknown(gateway.confirm(&confirmation()).await);
    assert!(reason.contains("too long"), "{reason}");
    // One below the bound is read.
    let spaces = (1 << 20) - CARD.len();
    provider.json(200, &format!("{CARD}{}", " ".repeat(spaces)));
    gateway.confirm(&confirmation()).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_unknown() {
    let provider = Provider::start().await;
    let gateway = open(provider.url.as_str(), SHORT).unwrap();
    provider.then(Reply::Silence);
    let reason = unknown(gateway.confirm(&confirmation()).await);
    assert_eq!(reason, "no answer in time");
    // The deadline is that of the whole answer, not of each part.
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    provider.then(Reply::Drip(head));
    let reason = unknown(gateway.confirm(&confirmation()).await);
    assert_eq!(reason, "no answer in time");
}

#[tokio::test]
async fn a_gateway_that_hangs_holds_a_bounded_number_of_connections() {
    let provider = Provider::start().await;
    let settings = TossSettings {
        times: TossTimes {
            connect: PATIENT,
            answer: PATIENT,
        },
        ..settings(provider.url.as_str())
    };
    let gateway = TossGateway::new(settings, Arc::new(SystemClock), Arc::new(Metrics::new()));
    let gateway = gateway.unwrap();
    for _ in 0..100 {
        provider.then(Reply::Held(response(200, CARD)));
    }
    let request = confirmation();
    let calls = join_all((0..100).map(|_| gateway.confirm(&request)));
    let release = async {
        while provider.held().0 < 64 {
            yield_now().await;
        }
        provider.release();
    };
    let both = async { tokio::join!(calls, release) };
    let (outcomes, ()) = timeout(PATIENT * 2, both).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(provider.held(), (0, 64));
}

#[tokio::test]
async fn keys_are_parts_of_the_path() {
    let provider = Provider::start().await;
    let base = provider.url.join("/toss/").unwrap();
    let gateway = open(base.as_str(), PATIENT).unwrap();
    provider.json(200, PARTIAL_CANCEL);
    let key = "a/../b?c#d%2e";
    gateway.cancel(&cancellation(key)).await.unwrap();
    let [seen] = provider.seen().try_into().unwrap();
    assert_eq!(
        seen.line(),
        "POST /toss/v1/payments/a%2F..%2Fb%3Fc%23d%252e/cancel"
    );
    // These would leave the path.
    for key in [".", ".."] {
        unknown(gateway.cancel(&cancellation(key)).await);
    }
    assert!(provider.seen().is_empty());
}

#[tokio::test]
async fn the_secret_is_nowhere() {
    let (provider, gateway) = start().await;
    let mut shown = vec![format!("{gateway:?} {gateway:#?}")];
    // A gateway that sends back what it got.
    provider.json(400, &json!({"code": SECRET, "message": SECRET}).to_string());
    provider.json(401, &json!({"code": SECRET, "message": SECRET}).to_string());
    provider.json(200, SECRET);
    for _ in 0..3 {
        let error = gateway.confirm(&confirmation()).await.unwrap_err();
        shown.push(format!("{error} {error:?} {}", error.code()));
    }
    drop(provider);
    // Nothing listens there.
    let gone = open("http://127.0.0.1:9/x", PATIENT).unwrap();
    let error = gone.confirm(&confirmation()).await.unwrap_err();
    shown.push(format!("{error} {error:?}"));
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("dGVzdF9za"), "{text}");
        assert!(!text.contains("127.0.0.1:9"), "{text}");
    }
}

#[test]
fn the_key_is_not_sent_without_tls() {
    for url in ["http://api.example", "http://10.0.0.1:8080/toss"] {
        let refused = open(url, PATIENT);
        assert!(matches!(refused, Err(NoTossClient::Exposed)), "{url}");
    }
    assert!(open("https://api.tosspayments.com", PATIENT).is_ok());
}
