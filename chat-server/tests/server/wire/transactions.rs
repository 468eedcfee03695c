//! BEGIN, COMMIT and ABORT.

use stomp::Command;

use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::start::{node, receipt, refused, say, session, subscribe};

/// A message for a room within the transaction `t`, with this receipt.
fn bound(room: u32, text: &str) -> String {
    format!(
        "SEND\ndestination:/pub/{room}\ntransaction:t\nreceipt:{text}\n\n\
         {{\"message\":\"{text}\"}}\0"
    )
}

async fn begin(raw: &mut Raw) {
    raw.text("BEGIN\ntransaction:t\nreceipt:begun\n\n\0").await;
    receipt(raw, "begun").await;
}

/// The receipts and the texts of messages that come next, sorted out.
async fn sort_out(raw: &mut Raw, count: usize) -> (Vec<String>, Vec<String>) {
    let (mut receipts, mut texts) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let frame = raw.frame().await;
        if frame.command() == Command::Receipt {
            receipts.push(frame.header("receipt-id").unwrap().to_owned());
            continue;
        }
        let room = frame.header("destination").unwrap();
        let text = json(&frame);
        texts.push(format!("{room} {}", text["message"].as_str().unwrap()));
    }
    texts.sort();
    (receipts, texts)
}

#[tokio::test]
async fn nothing_of_a_transaction_is_seen_before_its_commit() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "1", "/sub/1", "").await;
    subscribe(&mut raw, "2", "/sub/2", "").await;
    begin(&mut raw).await;
    raw.text(&(bound(1, "a") + &bound(2, "b") + &bound(1, "c")))
        .await;
    // This one, behind them and outside, is stored and seen first.
    raw.text("SEND\ndestination:/pub/2\nreceipt:x\n\n{\"message\":\"x\"}\0")
        .await;
    let before = sort_out(&mut raw, 2).await;
    assert_eq!(before, (vec!["x".to_owned()], vec!["/sub/2 x".to_owned()]));
    raw.text("COMMIT\ntransaction:t\nreceipt:done\n\n\0").await;
    let (receipts, texts) = sort_out(&mut raw, 7).await;
    assert_eq!(receipts, ["a", "b", "c", "done"], "after the store has all");
    assert_eq!(texts, ["/sub/1 a", "/sub/1 c", "/sub/2 b"]);
}

/// With a rate of one a second five pass at once.
#[tokio::test]
async fn sends_of_a_transaction_count_for_the_rate() {
    let node = node(&["--sends-per-second", "1"]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    begin(&mut raw).await;
    let four: Vec<_> = ["a", "b", "c", "d"].map(|text| bound(1, text)).into();
    raw.text(&four.concat()).await;
    raw.text("COMMIT\ntransaction:t\nreceipt:done\n\n\0").await;
    let (receipts, _) = sort_out(&mut raw, 5).await;
    assert_eq!(receipts, ["a", "b", "c", "d", "done"]);

    begin(&mut raw).await;
    let more: Vec<_> = (0..60).map(|n| bound(1, &format!("x{n}"))).collect();
    raw.text(&more.concat()).await;
    raw.text("COMMIT\ntransaction:t\nreceipt:never\n\n\0").await;
    let error = raw.expect(Command::Message).await;
    assert_eq!(error.header("destination"), Some("/user/queue/errors"));
    let error = json(&error);
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&8008.into(), &true.into())
    );
}

#[tokio::test]
async fn what_is_aborted_is_gone() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    begin(&mut raw).await;
    raw.text(&bound(1, "a")).await;
    raw.text("ABORT\ntransaction:t\nreceipt:gone\n\n\0").await;
    receipt(&mut raw, "gone").await;
    // The name is free again, and an empty transaction is none the worse.
    begin(&mut raw).await;
    raw.text("COMMIT\ntransaction:t\nreceipt:done\n\n\0").await;
    receipt(&mut raw, "done").await;
    say(&mut raw, "x").await;
    let receipt = subscribe(&mut raw, "s", "/sub/1", "").await;
    assert_eq!(receipt.header("head"), Some(&*((1 << 22) + 1).to_string()));
}

#[tokio::test]
async fn a_connection_that_ends_aborts_its_transactions() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    begin(&mut raw).await;
    raw.text(&(bound(1, "a") + "DISCONNECT\nreceipt:bye\n\n\0"))
        .await;
    receipt(&mut raw, "bye").await;
    let mut raw = session(&node, 1).await;
    let receipt = subscribe(&mut raw, "s", "/sub/1", "").await;
    assert_eq!(receipt.header("head"), Some("0"));
}

/// A transaction of good messages and this one stores nothing.
async fn check_fails(last: &str, code: u16) {
    let node = node(&[]).await;
    let frames = "BEGIN\ntransaction:t\n\n\0".to_owned()
        + &bound(1, "a")
        + last
        + "COMMIT\ntransaction:t\nreceipt:done\n\n\0";
    let mut raw = session(&node, 1).await;
    raw.text(&frames).await;
    let error = refused(&mut raw, &code.to_string(), "", 1008).await;
    assert_eq!(error.header("receipt-id"), Some("done"));

    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    raw.text(&frames).await;
    let error = json(&raw.expect(Command::Message).await);
    assert_eq!(
        (&error["code"], &error["receiptId"]),
        (&code.into(), &"done".into())
    );
    let receipt = subscribe(&mut raw, "s", "/sub/1", "").await;
    assert_eq!(receipt.header("head"), Some("0"), "{last:?}");
}

#[tokio::test]
async fn a_transaction_with_a_bad_message_stores_none_of_one_room() {
    check_fails(&bound(3, "x"), 8002).await;
    check_fails(&bound(99, "x"), 8001).await;
    check_fails(&bound(1, ""), 8005).await;
    check_fails(&bound(1, "\"").replace("receipt:\"", "x:y"), 1006).await;
    for other in ["/pub/1/typing", "/app/token"] {
        let frame = format!("SEND\ndestination:{other}\ntransaction:t\n\n{{}}\0");
        check_fails(&frame, 1006).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_transaction_stay_together() {
    let node = node(&[]).await;
    let (mut one, mut two) = (session(&node, 1).await, session(&node, 2).await);
    let mut frames = "BEGIN\ntransaction:t\n\n\0".to_owned();
    for number in 0..60 {
        frames += &bound(1, &format!("t{number}")).replace("receipt:", "x:");
    }
    frames += "COMMIT\ntransaction:t\nreceipt:done\n\n\0";
    let committing = async {
        for _ in 0..5 {
            one.text(&frames).await;
            receipt(&mut one, "done").await;
        }
    };
    let crowding = async {
        for _ in 0..200 {
            say(&mut two, "x").await;
        }
    };
    tokio::join!(committing, crowding);
    subscribe(&mut two, "s", "/sub/1", "resume-after:0\n").await;
    let mut texts = Vec::new();
    for _ in 0..500 {
        let message = json(&two.expect(Command::Message).await);
        texts.push(message["message"].as_str().unwrap().to_owned());
    }
    let starts = texts.iter().enumerate().filter(|(_, text)| *text == "t0");
    let starts = starts.map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(starts.len(), 5);
    for start in starts {
        for number in 0..60 {
            assert_eq!(texts[start + number], format!("t{number}"));
        }
    }
}

#[tokio::test]
async fn transactions_are_bounded() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let begin = |name: usize| format!("BEGIN\ntransaction:{name}\n\n\0");
    raw.text(&(0..17).map(begin).collect::<String>()).await;
    refused(&mut raw, "1006", "more than 16 open", 1002).await;

    let mut raw = session(&node, 1).await;
    raw.text(&(begin(0) + &begin(0))).await;
    refused(&mut raw, "1006", "open already", 1002).await;

    let mut raw = session(&node, 1).await;
    let small = "SEND\ndestination:/pub/2\ntransaction:0\n\n\0".repeat(65);
    raw.text(&(begin(0) + &small)).await;
    refused(&mut raw, "1008", "too large", 1009).await;

    let mut raw = session(&node, 1).await;
    let body = "x".repeat(60 << 10);
    let large = format!("SEND\ndestination:/pub/2\ntransaction:0\n\n{body}\0");
    raw.text(&begin(0)).await;
    for _ in 0..18 {
        raw.text(&large).await;
    }
    refused(&mut raw, "1008", "too large", 1009).await;
}
