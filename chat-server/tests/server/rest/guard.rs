//! What surrounds the handlers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use hyper::body::{Body, Frame};
use shared::claims::MemberToken;
use stomp::Command;

use crate::rest::site::{PAGE, Site, group, message};
use crate::support::client::json;
use crate::support::faulty_store::{EVERY, Fault};
use crate::support::raw::Raw;

const READ: &str = "/api/chat-messages/4194305/read-status";

/// Such a change by cookie gives this status and code.
async fn check_origin(site: &Site, origin: Option<&str>, expected: (u16, u64)) {
    let mut ask = site.ask(Method::POST, READ).by_cookie(1);
    if let Some(origin) = origin {
        ask = ask.header("origin", origin);
    }
    let answer = ask.send().await;
    assert_eq!((answer.status, answer.code()), expected, "{origin:?}");
}

#[tokio::test]
async fn changes_by_cookie_come_from_our_pages() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    site.say(1, 2, "안녕").await;
    assert_eq!(
        READ,
        format!("/api/chat-messages/{}/read-status", message(1, 1))
    );
    let forbidden = (403, 1003);
    check_origin(&site, None, forbidden).await;
    for origin in ["null", "https://evil.example", "http://dapanda.example", ""] {
        check_origin(&site, Some(origin), forbidden).await;
    }
    let longer = format!("{PAGE}.evil.example");
    check_origin(&site, Some(&longer), forbidden).await;
    check_origin(&site, Some(PAGE), (200, 0)).await;
    check_origin(&site, Some(&site.base.clone()), (200, 0)).await;
    // Reads need no check of the origin: they change nothing, and CORS keeps the answer from other
    // origins.
    let ask = site.ask(Method::GET, "/api/chat-room").by_cookie(1);
    assert_eq!(ask.send().await.status, 200);
}

#[tokio::test]
async fn cookies_log_in_as_they_do_at_the_socket() {
    let site = Site::start().await;
    let refresh = site.token(1, MemberToken::Refresh);
    let get = |cookie: String| {
        site.ask(Method::GET, "/api/chat-room")
            .header("cookie", &cookie)
    };
    let answer = get(format!("refreshToken={}", refresh.expose()))
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let answer = get(format!("accessToken={}", refresh.expose()))
        .send()
        .await;
    assert_eq!((answer.status, answer.code()), (401, 2007));
}

#[tokio::test]
async fn pages_of_ours_may_call_from_a_browser() {
    let site = Site::start().await;
    let preflight = |origin| {
        site.ask(Method::OPTIONS, READ)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-anything")
            .send()
    };
    let answer = preflight(PAGE).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    assert_eq!(answer.headers["access-control-allow-headers"], "x-anything");
    let methods = answer.headers["access-control-allow-methods"]
        .to_str()
        .unwrap();
    assert!(methods.contains("DELETE"), "{methods}");
    let answer = preflight("https://evil.example").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    // The answer itself, also a refusal, can be read by the page.
    let ask = site
        .ask(Method::GET, "/api/chat-room")
        .header("origin", PAGE);
    let answer = ask.send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
}

#[tokio::test]
async fn unknown_paths_and_methods_come_in_the_envelope() {
    let site = Site::start().await;
    for path in [
        "/",
        "/api",
        "/api/chat-room/",
        "/api/chat-room/1",
        "/api/chat-messages",
    ] {
        let answer = site.ask(Method::GET, path).by(1).send().await;
        assert_eq!((answer.status, answer.code()), (404, 1004), "{path}");
    }
    for (method, path) in [
        (Method::POST, "/api/chat-room"),
        (Method::GET, READ),
        (Method::PATCH, "/api/chat-messages/1"),
        (Method::DELETE, "/internal/rooms/1"),
    ] {
        let answer = site.ask(method, path).by(1).send().await;
        assert_eq!((answer.status, answer.code()), (405, 1007), "{path}");
        assert!(answer.headers.contains_key("allow"), "{path}");
    }
}

/// A body that does not announce its length.
struct Spaces {
    chunks: u32,
}

impl Body for Spaces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let Some(left) = self.chunks.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.chunks = left;
        let chunk = Bytes::from_static(&[b' '; 64 << 10]);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

#[tokio::test]
async fn bodies_are_bounded_whether_announced_or_not() {
    let site = Site::start().await;
    let answer = site
        .ask(Method::POST, READ)
        .by(1)
        .body("x".repeat((64 << 10) + 1));
    assert_eq!(answer.send().await.status, 413);
    let endless = reqwest::Body::wrap(Spaces { chunks: 80 });
    let ask = site.ask(Method::PUT, "/internal/rooms/1").by_service();
    let answer = ask.body(endless).send().await;
    assert_eq!((answer.status, answer.code()), (413, 1008));
}

#[tokio::test]
async fn requests_have_a_name() {
    let site = Site::start().await;
    let named = async |name: &str| {
        let ask = site
            .ask(Method::GET, "/api/chat-room")
            .header("x-request-id", name);
        let answer = ask.send().await;
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(named("a-B_c.9").await, "a-B_c.9");
    for harmful in ["", "a b", "a\"b", &"x".repeat(65)] {
        let own = named(harmful).await;
        assert_eq!(own.find('-'), Some(16), "{harmful}: {own}");
    }
    assert_ne!(named("").await, named("").await);
}

#[tokio::test]
async fn the_store_away_shows_and_makes_no_node_unready() {
    let site = Site::start().await;
    site.health.set_started();
    let ready = async |store| {
        let answer = site.ask(Method::GET, "/readyz").send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["store"], store);
    };
    site.store.set(&EVERY, Fault::Freeze);
    ready("unavailable").await;
    site.store.heal();
    ready("ok").await;
    site.store.set(&EVERY, Fault::Fail);
    ready("unavailable").await;
    site.put(1, group(&[1])).await;
    let page = site.ask(Method::GET, "/metrics").send().await;
    assert!(
        page.text
            .contains(r#"chat_store_errors_total{op="room"} 1"#),
        "{}",
        page.text
    );
}

/// The market renews cookies; while it is away the refresh cookie is enough.
#[tokio::test]
async fn chat_goes_on_without_the_market_also_with_a_lapsed_access_cookie() {
    let first = Site::start().await;
    let (site, market_away) = first.with_market().await;
    site.pair(1, 1, 2).await;
    market_away.cancel();
    site.wait(Duration::from_secs(2 * 3_600));
    let cookies = |member| {
        let token = |kind| site.token(member, kind);
        let (access, refresh) = (token(MemberToken::Access), token(MemberToken::Refresh));
        format!(
            "accessToken={}; refreshToken={}",
            access.expose(),
            refresh.expose()
        )
    };
    let by_access = site.ask(Method::GET, "/api/chat-room").by(1).send().await;
    assert_eq!((by_access.status, by_access.code()), (401, 2007));
    let list = site.ask(Method::GET, "/api/chat-room").by_cookie(1);
    assert_eq!(list.send().await.status, 200);
    let mut sockets = Vec::new();
    for member in [1, 2] {
        let upgrade = [("Cookie", &*cookies(member)), ("Origin", PAGE)];
        let (mut raw, answer) = Raw::upgrade(site.address(), &upgrade).await;
        assert_eq!(answer.status, 101);
        raw.text("CONNECT\naccept-version:1.2\n\n\0").await;
        raw.expect(Command::Connected).await;
        raw.text("SUBSCRIBE\nid:0\ndestination:/sub/1\nreceipt:s\n\n\0")
            .await;
        raw.expect(Command::Receipt).await;
        sockets.push(raw);
    }
    let hello = "SEND\ndestination:/pub/1\n\n{\"message\":\"hello\"}\0";
    sockets[0].text(hello).await;
    for raw in &mut sockets {
        let message = raw.expect(Command::Message).await;
        assert_eq!(json(&message)["message"], "hello");
    }
}
