//! The list of transactions.

use serde_json::{Value, json};

use crate::support::{Gateway, MINUTE, answer, refusal};

async fn rows(gateway: &Gateway, query: &str) -> Vec<Value> {
    let (status, body) = answer(gateway.get(&format!("/v1/transactions?{query}")))
        .await
        .unwrap();
    assert_eq!(status, 200, "{body}");
    body.as_array().unwrap().clone()
}

#[tokio::test]
async fn captures_and_cancels_have_a_row_each() {
    let gateway = Gateway::start().await;
    let first = gateway.paid("order-1", 1_000).await;
    gateway.clock.advance(MINUTE);
    gateway.paid("order-2", 2_000).await;
    gateway.clock.advance(MINUTE);
    assert!(gateway.fake.dashboard_cancel(&first, 400));
    gateway.clock.advance(MINUTE);
    assert!(gateway.fake.dashboard_cancel(&first, 600));
    let day = "startDate=2026-11-30T00:00:00&endDate=2026-11-30T23:59:59";
    let all = rows(&gateway, day).await;
    let short = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let amount = row["amount"].as_i64().unwrap();
        (
            text("orderId"),
            text("status"),
            amount,
            text("transactionAt"),
        )
    };
    let row = |order: &str, status: &str, amount, minute| {
        let at = format!("2026-11-30T09:0{minute}:00+09:00");
        (order.to_owned(), status.to_owned(), amount, at)
    };
    assert_eq!(
        all.iter().map(short).collect::<Vec<_>>(),
        [
            row("order-1", "DONE", 1_000, 0),
            row("order-2", "DONE", 2_000, 1),
            row("order-1", "PARTIAL_CANCELED", 400, 2),
            row("order-1", "CANCELED", 600, 3),
        ]
    );
    assert_eq!(all[0]["paymentKey"], json!(first));
    let cancels = gateway.query(&first).await.1["cancels"].clone();
    assert_eq!(all[2]["transactionKey"], cancels[0]["transactionKey"]);

    // Pages follow each other; dates include their ends.
    let two = rows(&gateway, &format!("{day}&limit=2")).await;
    assert_eq!(two, all[..2]);
    let after = two[1]["transactionKey"].as_str().unwrap();
    let rest = rows(&gateway, &format!("{day}&limit=2&startingAfter={after}")).await;
    assert_eq!(rest, all[2..]);
    let minute = "startDate=2026-11-30T09:01:00&endDate=2026-11-30T09:02:00";
    assert_eq!(rows(&gateway, minute).await, all[1..3]);
}

#[tokio::test]
async fn wrong_queries_are_refused() {
    let gateway = Gateway::start().await;
    let day = "startDate=2026-11-30T00:00:00&endDate=2026-11-30T23:59:59";
    for (query, code) in [
        (
            "startDate=yesterday&endDate=2026-11-30T23:59:59".to_owned(),
            "INVALID_DATE",
        ),
        (String::new(), "INVALID_DATE"),
        (format!("{day}&limit=0"), "INVALID_REQUEST"),
        (format!("{day}&limit=10001"), "INVALID_REQUEST"),
        (
            format!("{day}&startingAfter=nothing"),
            "INVALID_TRANSACTION_KEY",
        ),
    ] {
        let answer = answer(gateway.get(&format!("/v1/transactions?{query}")))
            .await
            .unwrap();
        assert_eq!(refusal(&answer), (400, code), "{query}");
    }
}
