//! Probes of the frames between CONNECT and DISCONNECT.

use stomp::Command;

use crate::support::raw::TEXT;
use crate::wire::start::{body, node, receipt, refused, session, subscribe};

/// These frames, the last of which asks for the receipt `r`, end the session.
async fn check_refused(frames: &str, code: &str, says: &str, close: u16) {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.text(frames).await;
    let error = refused(&mut raw, code, says, close).await;
    let asked = frames.contains("receipt:r\n").then_some("r");
    assert_eq!(error.header("receipt-id"), asked, "{frames:?}");
}

#[tokio::test]
async fn row_unknown_command() {
    // Its headers are not read, so nothing is known of a receipt.
    check_refused("GREET\nx:y\n\n\0", "1006", "unknown command", 1002).await;
    check_refused("send\n\n\0", "1006", "unknown command", 1002).await;
}

#[tokio::test]
async fn row_servers_command() {
    let message = "MESSAGE\ndestination:/sub/1\nreceipt:r\n\n\0";
    check_refused(message, "1006", "not a client's command", 1002).await;
}

#[tokio::test]
async fn row_send_without_destination() {
    let says = "SEND needs the header destination";
    check_refused("SEND\nreceipt:r\n\n{}\0", "1006", says, 1002).await;
}

#[tokio::test]
async fn row_subscribe_without_destination() {
    let says = "SUBSCRIBE needs the header destination";
    check_refused("SUBSCRIBE\nid:s\nreceipt:r\n\n\0", "1006", says, 1002).await;
}

#[tokio::test]
async fn row_subscribe_without_id() {
    let says = "SUBSCRIBE needs the header id";
    let frame = "SUBSCRIBE\ndestination:/sub/1\nreceipt:r\n\n\0";
    check_refused(frame, "1006", says, 1002).await;
}

#[tokio::test]
async fn row_subscribe_same_id_twice() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/1", "").await;
    raw.text("SUBSCRIBE\nid:s\ndestination:/sub/2\nreceipt:r\n\n\0")
        .await;
    let error = refused(&mut raw, "1006", "in use", 1002).await;
    assert_eq!(error.header("receipt-id"), Some("r"));
}

#[tokio::test]
async fn row_unsubscribe_unknown() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.text("UNSUBSCRIBE\nid:never\nreceipt:r\n\n\0").await;
    receipt(&mut raw, "r").await;
}

#[tokio::test]
async fn row_ack_unknown() {
    check_refused("ACK\nid:7@s\nreceipt:r\n\n\0", "1006", "acknowledge", 1002).await;
}

#[tokio::test]
async fn row_commit_unknown() {
    let frame = "COMMIT\ntransaction:t\nreceipt:r\n\n\0";
    check_refused(frame, "1006", "no such transaction", 1002).await;
}

#[tokio::test]
async fn row_send_in_unknown_transaction() {
    let frame = "SEND\ndestination:/pub/1\ntransaction:t\nreceipt:r\n\n{\"message\":\"x\"}\0";
    check_refused(frame, "1006", "no such transaction", 1002).await;
}

#[tokio::test]
async fn row_tab_escape() {
    let frame = "SEND\nreceipt:r\ndestination:/pub/1\nx:a\\tb\n\n{}\0";
    check_refused(frame, "1006", "escape", 1002).await;
}

/// The message that arrives on `/sub/2`, which takes any body, for this one.
async fn check_passed_on(headers: &str, sent: &str) -> stomp::Frame {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    raw.text(&format!("SEND\ndestination:/pub/2\n{headers}\n{sent}\0"))
        .await;
    raw.expect(Command::Message).await
}

#[tokio::test]
async fn row_raw_colon_in_value() {
    let message = check_passed_on("when:12:34:56\n", "x").await;
    assert_eq!(message.header("when"), Some("12:34:56"));
}

#[tokio::test]
async fn row_repeated_header() {
    let message = check_passed_on("color:red\ncolor:blue\n", "x").await;
    let colors = message.headers().filter(|(name, _)| *name == "color");
    assert_eq!(colors.collect::<Vec<_>>(), [("color", "red")]);
}

#[tokio::test]
async fn row_header_with_spaces() {
    let message = check_passed_on(" a b : c d \n", "x").await;
    assert_eq!(message.header(" a b "), Some(" c d "));
}

#[tokio::test]
async fn row_body_on_subscribe() {
    let frame = "SUBSCRIBE\nid:s\ndestination:/sub/1\nreceipt:r\n\nbody\0";
    check_refused(frame, "1006", "cannot have a body", 1002).await;
}

#[tokio::test]
async fn row_content_length_too_short() {
    let frame = "SEND\ndestination:/pub/1\nreceipt:r\ncontent-length:1\n\nbody\0";
    check_refused(frame, "1006", "content-length", 1002).await;
}

#[tokio::test]
async fn row_content_length_not_a_number() {
    let frame = "SEND\ndestination:/pub/1\nreceipt:r\ncontent-length:many\n\nbody\0";
    check_refused(frame, "1006", "content-length", 1002).await;
}

#[tokio::test]
async fn row_nul_in_body_with_content_length() {
    let message = check_passed_on("content-length:5\n", "a\0b\0c").await;
    assert_eq!(body(&message), "a\0b\0c");
    assert_eq!(message.header("content-length"), Some("5"));
}

#[tokio::test]
async fn row_receipts() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    for (frame, id) in [
        (
            "SUBSCRIBE\nid:s\ndestination:/user/queue/system\nreceipt:r1\n\n\0",
            "r1",
        ),
        (
            "SUBSCRIBE\nid:t\ndestination:/user/queue/errors\nreceipt:r2\n\n\0",
            "r2",
        ),
        ("BEGIN\ntransaction:t\nreceipt:r3\n\n\0", "r3"),
        ("ABORT\ntransaction:t\nreceipt:r4\n\n\0", "r4"),
        ("UNSUBSCRIBE\nid:t\nreceipt:r5\n\n\0", "r5"),
        (
            "SEND\ndestination:/pub/1\nreceipt:r6\n\n{\"message\":\"x\"}\0",
            "r6",
        ),
    ] {
        raw.text(frame).await;
        receipt(&mut raw, id).await;
    }
}

#[tokio::test]
async fn row_ack_client() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/1", "ack:client\n").await;
    raw.text("SEND\ndestination:/pub/1\n\n{\"message\":\"x\"}\0")
        .await;
    let message = raw.expect(Command::Message).await;
    let ack = message.header("ack").unwrap();
    raw.text(&format!("ACK\nid:{ack}\nreceipt:r\n\n\0")).await;
    receipt(&mut raw, "r").await;
}

#[tokio::test]
async fn row_ack_bogus() {
    let frame = "SUBSCRIBE\nid:s\ndestination:/sub/1\nack:bogus\nreceipt:r\n\n\0";
    check_refused(frame, "1006", "unknown ack mode", 1002).await;
}

#[tokio::test]
async fn row_body_of_65537_bytes() {
    let long = "x".repeat(65_537);
    let frame = format!("SEND\ndestination:/pub/2\nreceipt:r\n\n{long}\0");
    check_refused(&frame, "1008", "larger than 65536 bytes", 1009).await;
}

#[tokio::test]
async fn row_body_of_65537_bytes_where_the_setting_allows_it() {
    let node = node(&["--frame-bytes-max", "128KiB"]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    let long = "x".repeat(65_537);
    raw.text(&format!("SEND\ndestination:/pub/2\n\n{long}\0"))
        .await;
    let message = raw.expect(Command::Message).await;
    assert_eq!(body(&message), long);
}

#[tokio::test]
async fn row_message_over_the_limit() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let long = "x".repeat(200_000);
    raw.ws(
        TEXT,
        format!("SEND\ndestination:/pub/2\n\n{long}\0").as_bytes(),
    )
    .await;
    refused(&mut raw, "1008", "message too large", 1009).await;
}

#[tokio::test]
async fn row_300_headers() {
    let headers = (0..300).map(|n| format!("h{n}:v\n")).collect::<String>();
    let frame = format!("SEND\ndestination:/pub/2\nreceipt:r\n{headers}\n\0");
    check_refused(&frame, "1006", "more than 100 headers", 1002).await;
}
