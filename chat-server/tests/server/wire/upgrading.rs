//! Who may open a WebSocket, and how many.

use chat_server::app;
use shared::drain::Drain;
use stomp::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::raw::{Answer, Raw, upgrade_request};
use crate::support::{PATIENCE, TestNode, eventually};
use crate::wire::start::{node, session};

/// The status of an upgrade with these headers.
async fn status(node: &TestNode, headers: &[(&str, &str)]) -> u16 {
    Raw::upgrade(node.address, headers).await.1.status
}

#[tokio::test]
async fn with_cookies_the_page_must_be_one_of_ours() {
    let allowed = "https://dapanda.example,http://localhost:3000";
    let node = node(&["--allowed-origins", allowed]).await;
    let own = format!("http://{}", node.address);
    let access = format!("accessToken={}", node.token(1));
    let refresh = format!("refreshToken={}", node.refresh_token(1));
    for cookie in [&*access, &*refresh, "accessToken=x"] {
        for (origin, expected) in [
            (None, 101),
            (Some("https://dapanda.example"), 101),
            (Some("http://localhost:3000"), 101),
            (Some(&*own), 101),
            (Some("https://evil.example"), 403),
            (Some("https://dapanda.example.evil.example"), 403),
            (Some("http://dapanda.example"), 403),
            (Some("https://dapanda.example:444"), 403),
            (Some("null"), 403),
            (Some(""), 403),
        ] {
            let origin = origin.map(|origin| ("Origin", origin));
            let headers = origin.into_iter().chain([("Cookie", cookie)]);
            let headers = headers.collect::<Vec<_>>();
            assert_eq!(status(&node, &headers).await, expected, "{origin:?}");
        }
    }
    assert_eq!(
        node.node
            .services
            .metrics
            .connections_refused
            .with_label_values(&["origin"])
            .get(),
        18
    );
}

#[tokio::test]
async fn without_cookies_any_page_may_come() {
    let node = node(&[]).await;
    let evil = ("Origin", "https://evil.example");
    assert_eq!(status(&node, &[evil]).await, 101);
    assert_eq!(status(&node, &[evil, ("Cookie", "theme=dark")]).await, 101);
    let bearer = format!("Bearer {}", node.token(1));
    assert_eq!(
        status(&node, &[evil, ("Authorization", &bearer)]).await,
        101
    );
}

fn check_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn beyond_the_limit_clients_are_sent_away_for_a_while() {
    let node = node(&["--connections-max", "2"]).await;
    let _one = session(&node, 1).await;
    // Logged in or not.
    let two = Raw::open(node.address).await;
    check_unavailable(&Raw::upgrade(node.address, &[]).await.1);
    drop(two);
    let connections = &node.node.services.connections;
    eventually("the place is free again", || connections.count() == 1).await;
    session(&node, 2).await;
}

#[tokio::test]
async fn a_node_that_stops_sends_clients_away_for_a_while() {
    let node = node(&[]).await;
    // The node's own listener closes when the drain begins. This one stands for what a balancer
    // has on the way by then.
    let (other, services) = (Drain::new(), node.node.services.clone());
    let listener = app::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (router, drain) = (node.node.public_router(), other.clone());
    drop(other.spawn("serve", async move {
        app::serve(listener, router, &drain, PATIENCE)
            .await
            .unwrap();
    }));
    drop(Raw::open(address).await);
    node.drain.begin();
    check_unavailable(&Raw::upgrade(address, &[]).await.1);
    let refused = &services.metrics.connections_refused;
    assert_eq!(refused.with_label_values(&["draining"]).get(), 1);
    other.wait(PATIENCE).await.unwrap();
}

/// The answer to this instead of a good upgrade request.
async fn instead(node: &TestNode, part: &str, other: &str) -> Answer {
    let good = upgrade_request(node.address, "");
    let mut raw = Raw::connect(node.address).await;
    assert!(good.contains(part));
    raw.bytes(good.replace(part, other).as_bytes()).await;
    raw.answer().await.unwrap()
}

#[tokio::test]
async fn what_is_no_upgrade_says_what_would_be() {
    let node = node(&[]).await;
    for (part, other, status) in [
        ("GET ", "POST ", 405),
        ("Upgrade: websocket\r\n", "", 400),
        ("Upgrade: websocket\r\n", "Upgrade: websocket2\r\n", 400),
        ("Connection: Upgrade", "Connection: keep-alive", 400),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        (
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: 13, 8",
            426,
        ),
        ("Sec-WebSocket-Version: 13\r\n", "", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("NhbXBsZSBub25jZQ==", "", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx", 413),
        ("\r\n\r\n", "\r\nContent-Length: 100000000\r\n\r\n", 413),
    ] {
        let answer = instead(&node, part, other).await;
        assert_eq!(answer.status, status, "{part:?} {other:?}");
        let has = |header: &str, value: &str| {
            assert_eq!(answer.header(header), Some(value), "{part:?} {other:?}");
        };
        has("content-type", "application/json");
        has("cache-control", "no-store");
        has("x-content-type-options", "nosniff");
        assert!(answer.header("x-request-id").is_some());
        match status {
            405 => has("allow", "GET,HEAD"),
            426 => {
                has("sec-websocket-version", "13");
                has("upgrade", "websocket");
            }
            400 => has("sec-websocket-version", "13"),
            _ => {}
        }
    }
    assert_eq!(node.node.services.connections.count(), 0);
    session(&node, 1).await;
}

#[tokio::test]
async fn headers_of_an_upgrade_are_lists() {
    let node = node(&[]).await;
    for (part, other) in [
        ("Connection: Upgrade", "Connection: keep-alive, uPGRADE"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: TE,\tupgrade",
        ),
        ("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
    ] {
        let answer = instead(&node, part, other).await;
        assert_eq!(answer.status, 101, "{part:?} {other:?}");
    }
    let more = "Sec-WebSocket-Protocol: mqtt, \u{ae40}\r\nSec-WebSocket-Protocol: v12.stomp ,x\r\n";
    let mut raw = Raw::connect(node.address).await;
    raw.bytes(upgrade_request(node.address, more).as_bytes())
        .await;
    let answer = raw.answer().await.unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("v12.stomp"));
}

#[tokio::test]
async fn any_good_cookie_of_a_name_logs_in() {
    let node = node(&[]).await;
    let good = node.token(1);
    for cookies in [
        format!("name=\u{ae40}; accessToken={good}"),
        format!("accessToken=a.b.c; accessToken={good}"),
        format!("accessToken={good}; accessToken=a.b.c"),
        format!("accessToken=\u{ae40}; x; =; accessToken=\"{good}\""),
        format!("refreshToken=a.b.c; refreshToken={}", node.refresh_token(1)),
    ] {
        let headers = [("Cookie", "x=y"), ("Cookie", cookies.as_str())];
        let (mut raw, answer) = Raw::upgrade(node.address, &headers).await;
        assert_eq!(answer.status, 101);
        raw.text("CONNECT\naccept-version:1.2\n\n\0").await;
        raw.expect(Command::Connected).await;
    }
}

#[tokio::test]
async fn frames_may_follow_the_upgrade_request_at_once() {
    let node = node(&[]).await;
    let mut raw = Raw::connect(node.address).await;
    let mut bytes = upgrade_request(node.address, "").into_bytes();
    let connect = format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {}\n\n\0",
        node.token(1)
    );
    bytes.extend(crate::support::raw::masked(0x81, connect.as_bytes()));
    raw.bytes(&bytes).await;
    assert_eq!(raw.answer().await.unwrap().status, 101);
    raw.expect(Command::Connected).await;
}

/// The node ends a connection on which this came, and nothing more.
async fn check_given_up(node: &TestNode, sent: &[u8]) {
    let mut tcp = TcpStream::connect(node.address).await.unwrap();
    tcp.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let end = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await;
    let end = end.unwrap_or_else(|_| panic!("still open after {:?}", sent.escape_ascii()));
    end.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_ends_its_request_is_given_up() {
    let node = node(&["--login-timeout", "1s"]).await;
    check_given_up(&node, b"GET /conn HTTP/1.1\r\nHost:").await;
}

/// A listener that first waits for enough bytes to tell HTTP/1 from HTTP/2, whose connections begin
/// with `PRI`, waits for these without end.
#[tokio::test]
async fn a_peer_that_says_nothing_or_hardly_anything_is_given_up() {
    let node = node(&["--login-timeout", "1s"]).await;
    for sent in ["", "P", "PRI * HTTP/2.0\r\n"] {
        check_given_up(&node, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_after_an_answer_is_given_up() {
    let node = node(&["--http-idle-time", "1s"]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    check_given_up(&node, request.as_bytes()).await;
}
