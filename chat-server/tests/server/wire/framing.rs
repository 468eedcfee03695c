//! STOMP in WebSocket: sub-protocols, and frames cut and joined in every way.

use stomp::Command;

use crate::support::raw::{BINARY, PING, PONG, Raw, TEXT};
use crate::wire::start::{body, connect, node, receipt, session, subscribe};

/// The first fragment of a text message (RFC 6455 §5.4).
const FIRST: u8 = 0x01;
/// A fragment in the middle.
const MIDDLE: u8 = 0x00;
/// The last fragment.
const LAST: u8 = 0x80;

/// A client that offers these sub-protocols, a header each, gets this one, and a session on it.
async fn check_protocol(offered: &[&str], chosen: Option<&str>) {
    let node = node(&[]).await;
    let headers = offered
        .iter()
        .map(|value| ("Sec-WebSocket-Protocol", *value));
    let headers = headers.collect::<Vec<_>>();
    let (mut raw, answer) = Raw::upgrade(node.address, &headers).await;
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("sec-websocket-protocol"),
        chosen,
        "{offered:?}"
    );
    let extensions = answer.header("sec-websocket-extensions");
    assert_eq!(extensions, None, "nothing is compressed");
    // RFC 6455 §1.3 has the key and this answer.
    let accept = answer.header("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let token = node.token(1);
    raw.text(&format!(
        "CONNECT\naccept-version:1.1\nAuthorization:Bearer {token}\n\n\0"
    ))
    .await;
    let connected = raw.expect(Command::Connected).await;
    assert_eq!(connected.header("version"), Some("1.1"), "CONNECT decides");
}

#[tokio::test]
async fn the_highest_offered_sub_protocol_is_chosen() {
    check_protocol(&["v10.stomp, v11.stomp, v12.stomp"], Some("v12.stomp")).await;
    check_protocol(&["v10.stomp", "mqtt, v11.stomp"], Some("v11.stomp")).await;
}

#[tokio::test]
async fn no_sub_protocol_is_chosen_where_none_of_ours_is_offered() {
    check_protocol(&[], None).await;
    check_protocol(&["mqtt, V12.STOMP, v13.stomp"], None).await;
}

#[tokio::test]
async fn compression_is_not_negotiated() {
    let node = node(&[]).await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let (_raw, answer) = Raw::upgrade(node.address, &offer).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

/// A chat message of room 1.
fn hello(receipt: &str) -> String {
    format!("SEND\ndestination:/pub/1\nreceipt:{receipt}\n\n{{\"message\":\"안녕\"}}\0")
}

#[tokio::test]
async fn a_frame_may_be_split_over_many_messages() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    for byte in hello("r1").bytes() {
        raw.ws(BINARY, &[byte]).await;
    }
    receipt(&mut raw, "r1").await;
    for char in hello("r2").chars() {
        raw.text(&char.to_string()).await;
    }
    receipt(&mut raw, "r2").await;
}

#[tokio::test]
async fn a_frame_may_be_split_and_be_larger_than_what_is_read_at_once() {
    let node = node(&["--frame-bytes-max", "1MiB"]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    let long = "x".repeat(300_000);
    let frame = format!("SEND\ndestination:/pub/2\nreceipt:r\n\n{long}\0");
    for part in frame.as_bytes().chunks(8 << 10) {
        raw.ws(TEXT, part).await;
    }
    let mut got = [raw.frame().await, raw.frame().await];
    got.sort_by_key(|frame| frame.command() == Command::Receipt);
    assert_eq!(body(&got[0]), long);
    assert_eq!(got[1].header("receipt-id"), Some("r"));
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_pings_between() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let frame = hello("r");
    let (first, rest) = frame.as_bytes().split_at(10);
    raw.ws(FIRST, first).await;
    raw.ws(PING, b"still there?").await;
    // Cut within a character: a message is UTF-8, its fragments need not be.
    for byte in rest {
        raw.ws(MIDDLE, &[*byte]).await;
    }
    raw.ws(LAST, b"").await;
    let pong = raw.ws_frame().await.unwrap();
    assert_eq!((pong.first, &*pong.payload), (PONG, &b"still there?"[..]));
    receipt(&mut raw, "r").await;
}

#[tokio::test]
async fn several_frames_may_come_in_one_message() {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    let token = node.token(1);
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0");
    let subscribe = "SUBSCRIBE\nid:s\ndestination:/user/queue/errors\nreceipt:r1\n\n\0";
    let (one, two) = (hello("r2"), hello("r3"));
    raw.text(&format!("\n{connect}\n\n{subscribe}{one}\n{two}\n"))
        .await;
    raw.expect(Command::Connected).await;
    for id in ["r1", "r2", "r3"] {
        receipt(&mut raw, id).await;
    }
}

#[tokio::test]
async fn lone_eols_and_empty_messages_are_no_frames() {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    for opcode in [TEXT, BINARY] {
        raw.ws(opcode, b"\n").await;
        raw.ws(opcode, b"").await;
    }
    let token = node.token(1);
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"
    ))
    .await;
    raw.expect(Command::Connected).await;
    for opcode in [TEXT, BINARY] {
        raw.ws(opcode, b"\n").await;
        raw.ws(opcode, b"\r\n\n").await;
        raw.ws(opcode, b"").await;
        raw.text(&hello("r")).await;
        receipt(&mut raw, "r").await;
    }
}

#[tokio::test]
async fn a_binary_only_client_is_served() {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    let token = node.token(1);
    for (frame, answer) in [
        (
            format!("CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"),
            Command::Connected,
        ),
        (
            "SUBSCRIBE\nid:s\ndestination:/sub/1\nreceipt:r\n\n\0".to_owned(),
            Command::Receipt,
        ),
        (hello("r").replace("receipt:r\n", ""), Command::Message),
        ("DISCONNECT\nreceipt:r\n\n\0".to_owned(), Command::Receipt),
    ] {
        raw.ws(BINARY, frame.as_bytes()).await;
        raw.expect(answer).await;
    }
    assert_eq!(raw.ending().await.code, Some(1000));
}

#[tokio::test]
async fn what_is_not_utf_8_comes_in_a_binary_message_and_all_else_as_text() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    for (sent, opcode) in [
        (&b"\xff\xfe"[..], BINARY),
        (b"plain", TEXT),
        ("한글".as_bytes(), TEXT),
        (b"", TEXT),
        (b"\xed\x95", BINARY),
    ] {
        let length = sent.len();
        let mut frame =
            format!("SEND\ndestination:/pub/2\ncontent-length:{length}\n\n").into_bytes();
        frame.extend(sent);
        frame.push(0);
        raw.ws(BINARY, &frame).await;
        let message = raw.ws_frame().await.unwrap();
        assert_eq!(message.first, opcode, "{sent:?}");
        assert_eq!(message.stomp().body(), sent);
    }
}

#[tokio::test]
async fn the_content_type_is_kept() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    for kind in [Some("image/png"), Some("text/plain;charset=utf-8"), None] {
        let header = kind.map(|kind| format!("content-type:{kind}\n"));
        let header = header.unwrap_or_default();
        raw.text(&format!("SEND\ndestination:/pub/2\n{header}\nx\0"))
            .await;
        let message = raw.expect(Command::Message).await;
        assert_eq!(message.header("content-type"), kind);
    }
    // A chat message is JSON, whatever its sender called it.
    raw.text("SEND\ndestination:/pub/2\ncontent-type:text/plain\n\n{\"message\":\"x\"}\0")
        .await;
    let message = raw.expect(Command::Message).await;
    assert_eq!(message.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_senders_own_headers_are_passed_on_to_every_version() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let mut old = connect(&node, 2, "accept-version:1.1\n").await.0;
    for raw in [&mut raw, &mut old] {
        subscribe(raw, "s", "/sub/1", "").await;
    }
    let own = "plain:a\nwith\\ccolon:b\\cc\nlines:1\\n2\nempty:\n이름:값\n";
    raw.text(&format!(
        "SEND\ndestination:/pub/1\n{own}\n{{\"message\":\"x\"}}\0"
    ))
    .await;
    for raw in [&mut raw, &mut old] {
        let message = raw.expect(Command::Message).await;
        for (name, value) in [
            ("plain", "a"),
            ("with:colon", "b:c"),
            ("lines", "1\n2"),
            ("empty", ""),
            ("이름", "값"),
        ] {
            assert_eq!(message.header(name), Some(value), "{message:?}");
        }
    }
}

#[tokio::test]
async fn a_sender_cannot_speak_for_the_server() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "s", "/sub/1", "").await;
    let claims = "seq:99\nmessage-id:99\ndeleted:true\nredelivered:true\nreplayed:true\n\
                  recovered:true\nhead:99\nsubscription:x\nack:x\n";
    raw.text(&format!(
        "SEND\ndestination:/pub/1\n{claims}\n{{\"message\":\"x\"}}\0"
    ))
    .await;
    let message = raw.expect(Command::Message).await;
    let headers = message.headers().collect::<Vec<_>>();
    let id = ((1 << 22) + 1).to_string();
    let length = message.body().len().to_string();
    let expected = [
        ("subscription", "s"),
        ("destination", "/sub/1"),
        ("message-id", &id),
        ("seq", "1"),
        ("content-type", "application/json"),
        ("content-length", &length),
    ];
    assert_eq!(headers, expected);
}
