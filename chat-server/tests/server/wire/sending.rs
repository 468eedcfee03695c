//! SEND: refusals, and the errors that the sender gets.

use std::time::Duration;

use stomp::Command;
use tokio::time::{sleep, timeout};

use crate::support::PATIENCE;
use crate::support::client::json;
use crate::support::faulty_store::{EVERY, Fault};
use crate::support::raw::{BINARY, Raw, TEXT};
use crate::wire::start::{body, check_golden, node, receipt, refused, say, session, subscribe};
use crate::wire::stopping::freezable;

/// A SEND that fails: without a subscription for errors it ends the session; with one the error
/// goes there, and the session stays open.
async fn check_refused(to: &str, headers: &str, sent: &str, code: u16, says: &str) {
    let node = node(&[]).await;
    let frame = format!("SEND\ndestination:{to}\nreceipt:r\n{headers}\n{sent}\0");
    let mut raw = session(&node, 1).await;
    raw.text(&frame).await;
    let error = refused(&mut raw, &code.to_string(), says, 1008).await;
    assert_eq!(error.header("receipt-id"), Some("r"), "{frame:?}");

    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    raw.text(&frame).await;
    let error = raw.expect(Command::Message).await;
    assert_eq!(error.header("destination"), Some("/user/queue/errors"));
    assert_eq!(error.header("subscription"), Some("e"));
    assert_eq!(error.header("content-type"), Some("application/json"));
    let error = json(&error);
    assert_eq!(error["code"], code, "{frame:?}");
    assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    assert_eq!(error["receiptId"], "r");
    assert_eq!(error["destination"], to);
    assert_eq!(error["retryable"], false);
    say(&mut raw, "still here").await;
    assert_eq!(stored(&mut raw).await, ["still here"], "and nothing else");
}

/// The texts in room 1.
async fn stored(raw: &mut Raw) -> Vec<String> {
    let receipt = subscribe(raw, "all", "/sub/1", "resume-after:0\n").await;
    let head = receipt.header("head").unwrap().parse::<u64>().unwrap();
    let count = head.saturating_sub(1 << 22);
    let mut texts = Vec::new();
    for _ in 0..count {
        let message = raw.expect(Command::Message).await;
        texts.push(json(&message)["message"].as_str().unwrap().to_owned());
    }
    texts
}

#[tokio::test]
async fn a_room_must_be_there_and_one_must_be_in_it() {
    let hello = r#"{"message":"x"}"#;
    check_refused("/pub/99", "", hello, 8001, "No such chat room.").await;
    check_refused("/pub/3", "", hello, 8002, "not a member of this chat room").await;
    check_refused("/pub/99/typing", "", "{}", 8001, "No such chat room.").await;
    check_refused(
        "/pub/3/typing",
        "",
        "{}",
        8002,
        "not a member of this chat room",
    )
    .await;
}

#[tokio::test]
async fn unknown_destinations_are_refused() {
    for to in ["/pub/x", "/sub/1", "/app/other", "/user/queue/errors"] {
        check_refused(to, "", "{}", 1006, "no such destination").await;
    }
}

#[tokio::test]
async fn a_message_is_neither_empty_nor_too_long() {
    let says = "empty or too long";
    check_refused("/pub/1", "", r#"{"message":""}"#, 8005, says).await;
    let long = format!(r#"{{"message":"{}"}}"#, "가".repeat(251));
    check_refused("/pub/1", "", &long, 8005, says).await;
    check_refused("/pub/2", "", &long, 8005, says).await;
}

#[tokio::test]
async fn a_message_shows_something() {
    for blank in ["\u{200b}", "\u{2800} \u{3000}", "\u{3164}", "\\u0000"] {
        let sent = format!(r#"{{"message":"{blank}"}}"#);
        check_refused("/pub/1", "", &sent, 8005, "empty or too long").await;
    }
}

#[tokio::test]
async fn a_message_is_json_where_the_room_takes_nothing_else() {
    for sent in [
        "",
        "hello",
        "{}",
        "[]",
        r#"{"message":1}"#,
        r#"{"message":"x""#,
        r#"["x"]"#,
        r#"[["x"]]"#,
        r#"[{"message":"x"}]"#,
        r#"{"message":["x"]}"#,
        r#"{"message":null}"#,
        r#"{"message":"x","message":"x"}"#,
        r#"{"message":"x"}{}"#,
        "\u{feff}{\"message\":\"x\"}",
        r#"{"message":"x","more":NaN}"#,
        r#""x""#,
        "null",
    ] {
        check_refused("/pub/1", "", sent, 1006, "not a chat message").await;
    }
}

/// A client that cuts a text at so many UTF-16 units sends half an emoji as an escape.
#[tokio::test]
async fn a_text_cut_inside_an_emoji_is_taken() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    say(&mut raw, r"안녕\ud83d").await;
    say(&mut raw, r"\ude00\ud83d\ude00").await;
    raw.text("BEGIN\ntransaction:t\n\n\0").await;
    let bound = "SEND\ndestination:/pub/1\ntransaction:t\n\n{\"message\":\"\\ud83d!\"}\0";
    raw.text(bound).await;
    raw.text("COMMIT\ntransaction:t\nreceipt:c\n\n\0").await;
    receipt(&mut raw, "c").await;
    let texts = ["안녕\u{fffd}", "\u{fffd}\u{1f600}", "\u{fffd}!"];
    assert_eq!(stored(&mut raw).await, texts);
}

#[tokio::test]
async fn an_opaque_room_gets_the_bytes_that_were_sent() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    let chat = &b"{\"message\":\"x\"}"[..];
    for (kind, sent) in [
        ("", &b"[\"x\"]"[..]),
        ("application/json", b"[\"x\"]"),
        ("", b"[]"),
        ("", b"null"),
        ("", b"{\"message\":null}"),
        ("", b"{\"message\":\"x\",\"message\":\"y\"}"),
        ("", b"\xef\xbb\xbf{\"message\":\"x\"}"),
        ("", b"{\"message\":\"x\"}\0"),
        ("", b""),
        ("", b"\xff\0\xfe"),
        ("application/octet-stream", b"{\"message\":1}"),
    ] {
        let head = match kind {
            "" => String::new(),
            kind => format!("content-type:{kind}\n"),
        };
        let length = sent.len();
        let mut frame =
            format!("SEND\ndestination:/pub/2\ncontent-length:{length}\n{head}\n").into_bytes();
        frame.extend([sent, b"\0"].concat());
        raw.ws(BINARY, &frame).await;
        let message = raw.ws_frame().await.unwrap();
        let is_text = std::str::from_utf8(sent).is_ok();
        assert_eq!(message.first, if is_text { TEXT } else { BINARY });
        let message = message.stomp();
        assert_eq!(message.body(), sent, "{kind} {message:?}");
        let named = message.header("content-type").unwrap_or_default();
        assert_eq!(named, kind, "{message:?}");
    }
    raw.text(&format!(
        "SEND\ndestination:/pub/2\n\n{}\0",
        String::from_utf8_lossy(chat)
    ))
    .await;
    let message = json(&raw.expect(Command::Message).await);
    assert_eq!(
        (&message["chatRoomId"], &message["message"]),
        (&2.into(), &"x".into())
    );
}

#[tokio::test]
async fn headers_of_a_message_are_bounded() {
    let (hello, says) = (r#"{"message":"x"}"#, "a header is not valid");
    let long = format!("client-message-id:{}\n", "x".repeat(65));
    check_refused("/pub/1", &long, hello, 1006, says).await;
    check_refused("/pub/1", "client-message-id:\n", hello, 1006, says).await;
    let many = (0..17).map(|n| format!("h{n}:v\n")).collect::<String>();
    check_refused("/pub/1", &many, hello, 1006, says).await;
    let large = format!("h:{}\n", "x".repeat(2 << 10));
    check_refused("/pub/1", &large, hello, 1006, says).await;
}

#[tokio::test]
async fn what_just_fits_is_taken() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let longest = "😀".repeat(250);
    let most = (0..16).map(|n| format!("h{n}:v\n")).collect::<String>();
    let largest = format!("h:{}\n", "x".repeat((2 << 10) - 1));
    let named = format!("client-message-id:{}\n", "가".repeat(64));
    for (headers, text) in [
        ("", &*longest),
        (&most, "a"),
        (&largest, "b"),
        (&named, "c"),
    ] {
        // Fields that the server knows nothing of, and would not believe, are passed over.
        let sent = format!(r#"{{"senderId":2,"message":"{text}","chatRoomId":3}}"#);
        raw.text(&format!(
            "SEND\ndestination:/pub/1\nreceipt:r\n{headers}\n{sent}\0"
        ))
        .await;
        receipt(&mut raw, "r").await;
    }
    assert_eq!(stored(&mut raw).await, [&*longest, "a", "b", "c"]);
}

#[tokio::test]
async fn an_error_looks_as_agreed() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    raw.text("SEND\ndestination:/pub/3\nreceipt:r \"1\"\nclient-message-id:c-1\n\n{}\0")
        .await;
    check_golden("error.json", body(&raw.expect(Command::Message).await));
    raw.text("SEND\ndestination:/pub/1\n\n{\"message\":\"\"}\0")
        .await;
    check_golden(
        "error_short.json",
        body(&raw.expect(Command::Message).await),
    );
}

/// Sends at once; no rate lets all of them through in the time a test may take.
const TOO_MANY: usize = 100;

#[tokio::test]
async fn too_many_messages_are_refused_but_may_come_again() {
    let node = node(&["--sends-per-second", "1"]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    let frame = "SEND\ndestination:/pub/1\nreceipt:r\n\n{\"message\":\"x\"}\0";
    raw.text(&frame.repeat(TOO_MANY)).await;
    let (mut taken, mut refused_count) = (0, 0);
    for _ in 0..TOO_MANY {
        let frame = raw.frame().await;
        if frame.command() == Command::Receipt {
            taken += 1;
            continue;
        }
        let error = json(&frame);
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&8008.into(), &true.into())
        );
        refused_count += 1;
    }
    assert!(taken >= 5 && refused_count > 0, "{taken} {refused_count}");
    let again = async {
        loop {
            raw.text(frame).await;
            if raw.frame().await.command() == Command::Receipt {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    assert_eq!(stored(&mut raw).await.len(), taken + 1);

    let mut raw = session(&node, 1).await;
    raw.text(&frame.replace("receipt:r\n", "").repeat(TOO_MANY))
        .await;
    refused(&mut raw, "8008", "Too many messages", 1013).await;
}

#[tokio::test]
async fn a_session_without_errors_ends_at_the_first_failure() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    raw.text("SEND\ndestination:/pub/3\n\n{}\0").await;
    raw.expect(Command::Message).await;
    raw.text("UNSUBSCRIBE\nid:e\n\n\0SEND\ndestination:/pub/3\n\n{}\0")
        .await;
    refused(&mut raw, "8002", "not a member of this chat room", 1008).await;
}

/// A message to room 1 under a name, which is its text and its receipt, too.
fn named(name: &str) -> String {
    format!(
        "SEND\ndestination:/pub/1\nreceipt:{name}\nclient-message-id:{name}\n\n\
         {{\"message\":\"{name}\"}}\0"
    )
}

/// The next frame says that this message may be sent again; its number.
async fn refused_for_now(raw: &mut Raw, name: &str) -> u64 {
    let error = json(&raw.expect(Command::Message).await);
    assert_eq!(error["clientMessageId"], name, "{error}");
    assert_eq!(error["retryable"], true, "{error}");
    error["code"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_a_send_whose_sender_could_not_be_checked() {
    let (node, store, _) = freezable().await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    // The room's members are not cached yet.
    store.set(&EVERY, Fault::Fail);
    raw.text(&named("a")).await;
    assert_eq!(refused_for_now(&mut raw, "a").await, 8007);
    store.heal();
    // This one was on its way before its sender read of the first.
    raw.text(&named("b")).await;
    assert_eq!(refused_for_now(&mut raw, "b").await, 8007);
    raw.text(&(named("a") + &named("b") + &named("c"))).await;
    for name in ["a", "b", "c"] {
        receipt(&mut raw, name).await;
    }
    assert_eq!(stored(&mut raw).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn nothing_overtakes_a_send_that_was_one_too_many() {
    let node = node(&["--sends-per-second", "1"]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    let mut names = Vec::new();
    for number in 1..TOO_MANY {
        let name = number.to_string();
        raw.text(&named(&name)).await;
        names.push(name.clone());
        let answer = raw.frame().await;
        if answer.command() == Command::Message {
            assert_eq!(json(&answer)["clientMessageId"], name);
            break;
        }
    }
    let last = names.last().cloned().unwrap();
    // One more is allowed by then, but it is not this one's turn.
    sleep(Duration::from_millis(1_500)).await;
    raw.text(&named("next")).await;
    refused_for_now(&mut raw, "next").await;
    for name in [&*last, "next"] {
        loop {
            raw.text(&named(name)).await;
            if raw.frame().await.command() == Command::Receipt {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
    names.push("next".to_owned());
    assert_eq!(stored(&mut raw).await, names);
}

/// What waits for a transaction that was refused for now: it comes again as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_a_transaction_that_was_refused_for_now() {
    let (node, store, _) = freezable().await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "e", "/user/queue/errors", "").await;
    let bound = |name: &str| named(name).replacen("receipt", "transaction:t\nreceipt", 1);
    let transaction = "BEGIN\ntransaction:t\n\n\0".to_owned()
        + &bound("a")
        + &bound("b")
        + "COMMIT\ntransaction:t\nreceipt:all\n\n\0";
    store.set(&EVERY, Fault::Fail);
    raw.text(&transaction).await;
    let error = json(&raw.expect(Command::Message).await);
    assert_eq!(
        (&error["receiptId"], &error["retryable"]),
        (&"all".into(), &true.into())
    );
    store.heal();
    raw.text(&named("c")).await;
    assert_eq!(refused_for_now(&mut raw, "c").await, 8007);
    raw.text(&(transaction + &named("c"))).await;
    let mut receipts = Vec::new();
    while receipts.last().is_none_or(|last| last != "c") {
        let receipt = raw.expect(Command::Receipt).await;
        receipts.push(receipt.header("receipt-id").unwrap().to_owned());
    }
    assert_eq!(stored(&mut raw).await, ["a", "b", "c"]);
}
