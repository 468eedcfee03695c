//! Probes of the beginning and the end of a session.

use stomp::{AUTHENTICATION_FAILED, Command};

use crate::support::raw::{BINARY, CLOSE, Raw};
use crate::wire::start::{connect, node, receipt, refused, session};

#[tokio::test]
async fn row_connect_without_accept_version() {
    let node = node(&[]).await;
    let (_raw, connected) = connect(&node, 1, "").await;
    assert_eq!(connected.header("version"), Some("1.0"));
}

#[tokio::test]
async fn row_accept_version_9_9() {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    raw.text("CONNECT\naccept-version:9.9\n\n\0").await;
    let error = refused(&mut raw, "1006", "supported versions", 1002).await;
    assert_eq!(error.header("version"), Some("1.0,1.1,1.2"));
}

/// CONNECTED, whatever the frame looks like.
async fn check_connects(opcode: u8, frame: &str) {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    let frame = frame.replace("TOKEN", &node.token(1));
    raw.ws(opcode, frame.as_bytes()).await;
    let connected = raw.expect(Command::Connected).await;
    assert_eq!(connected.header("version"), Some("1.2"), "{frame:?}");
    assert_eq!(connected.header("user-name"), Some("1"));
    assert!(connected.header("server").unwrap().starts_with("DaPanDa/"));
    assert!(connected.header("session").is_some());
}

#[tokio::test]
async fn row_no_host() {
    let frame = "CONNECT\naccept-version:1.2\nAuthorization:Bearer TOKEN\n\n\0";
    check_connects(0x81, frame).await;
}

#[tokio::test]
async fn row_stomp_command() {
    let frame = "STOMP\nhost:x\naccept-version:1.2,1.1\nAuthorization:Bearer TOKEN\n\n\0";
    check_connects(0x81, frame).await;
}

#[tokio::test]
async fn row_crlf() {
    let frame = "CONNECT\r\naccept-version:1.2\r\nAuthorization:Bearer TOKEN\r\n\r\n\0\r\n";
    check_connects(0x81, frame).await;
}

#[tokio::test]
async fn row_leading_eols() {
    let frame = "\n\r\n\nCONNECT\naccept-version:1.2\nAuthorization:Bearer TOKEN\n\n\0";
    check_connects(0x81, frame).await;
}

#[tokio::test]
async fn row_binary_frame() {
    let frame = "CONNECT\naccept-version:1.2\nAuthorization:Bearer TOKEN\n\n\0";
    check_connects(BINARY, frame).await;
}

/// A login that has to fail, with the text at which front ends stop coming back.
async fn check_no_login(headers: &str) {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    let headers = headers.replace("REFRESH", &node.refresh_token(1));
    let connect = format!("CONNECT\naccept-version:1.2\n{headers}\n\0");
    raw.text(&connect).await;
    let error = refused(&mut raw, "2007", "Authentication", 1008).await;
    assert_eq!(error.header("message"), Some("Authentication failed"));
    assert_eq!(AUTHENTICATION_FAILED, "Authentication failed");
}

#[tokio::test]
async fn row_bad_passcode() {
    check_no_login("login:1\npasscode:guess\n").await;
    check_no_login("Authorization:Bearer a.b.c\n").await;
    check_no_login("Authorization:Bearer \n").await;
    check_no_login("Authorization:Bearer REFRESH\n").await;
    check_no_login("Authorization:Basic MTpndWVzcw==\n").await;
    check_no_login("authorization:Bearer a.b.c\n").await;
}

#[tokio::test]
async fn row_no_token() {
    check_no_login("").await;
}

#[tokio::test]
async fn row_connect_twice() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.text("CONNECT\naccept-version:1.2\n\n\0").await;
    refused(&mut raw, "1006", "already connected", 1002).await;
    // Before the answer to the first one, too.
    let mut raw = Raw::open(node.address).await;
    let token = node.token(1);
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0");
    raw.text(&format!("{connect}{connect}")).await;
    raw.expect(Command::Connected).await;
    refused(&mut raw, "1006", "already connected", 1002).await;
}

#[tokio::test]
async fn row_send_before_connect() {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    raw.text("SEND\ndestination:/pub/1\nreceipt:r\n\n{}\0")
        .await;
    let error = refused(&mut raw, "1006", "CONNECT has to come first", 1002).await;
    assert_eq!(error.header("receipt-id"), Some("r"));
}

#[tokio::test]
async fn row_disconnect_with_receipt() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    // Behind DISCONNECT nothing counts, be it nonsense.
    raw.text("DISCONNECT\nreceipt:bye\n\n\0SEND\n\n\0?").await;
    receipt(&mut raw, "bye").await;
    let ending = raw.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(1000)));
}

/// Clients that are closed before they close report it as a fault of their DISCONNECT.
#[tokio::test]
async fn a_client_may_close_first_after_its_last_receipt() {
    const OWN: u16 = 3_000;
    let node = node(&[]).await;
    let mut first = 0;
    // A busy machine may let the time for it pass now and then.
    for _ in 0..20 {
        let mut raw = session(&node, 1).await;
        raw.text("DISCONNECT\nreceipt:bye\n\n\0").await;
        receipt(&mut raw, "bye").await;
        raw.ws(CLOSE, &OWN.to_be_bytes()).await;
        let ending = raw.ending().await;
        first += usize::from(ending.code == Some(OWN));
        assert!(ending.frames.is_empty(), "{ending:?}");
    }
    assert!(first > 0, "it was closed every time before it could close");
    // A Close frame without a code is answered with 1000.
    let mut raw = session(&node, 1).await;
    raw.text("DISCONNECT\nreceipt:bye\n\n\0").await;
    receipt(&mut raw, "bye").await;
    raw.ws(CLOSE, b"").await;
    assert_eq!(raw.ws_frame().await.unwrap().close_code(), Some(1_000));
    assert_eq!(raw.ws_frame().await, None);
}

#[tokio::test]
async fn row_disconnect_without_receipt() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.text("DISCONNECT\n\n\0").await;
    let ending = raw.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(1000)));
}

#[tokio::test]
async fn row_heart_beat() {
    let node = node(&[]).await;
    let (_raw, connected) = connect(&node, 1, "accept-version:1.2\nheart-beat:2000,3000\n").await;
    assert_eq!(connected.header("heart-beat"), Some("1000,2000"));
    let (_raw, connected) = connect(&node, 1, "accept-version:1.2\nheart-beat:0,3000\n").await;
    assert_eq!(connected.header("heart-beat"), Some("1000,25000"));
    for bad in ["1", "-1,0", "a,b", "1,2,3", ""] {
        let mut raw = Raw::open(node.address).await;
        raw.text(&format!(
            "CONNECT\naccept-version:1.2\nheart-beat:{bad}\n\n\0"
        ))
        .await;
        refused(&mut raw, "1006", "heart-beat", 1002).await;
    }
}
