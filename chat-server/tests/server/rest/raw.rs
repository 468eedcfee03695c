//! Requests as bytes: what no client library sends.

#[path = "../../../../shared/tests/support/raw.rs"]
mod bytes;

use shared::claims::MemberToken;

use self::bytes::{ask, check, check_early_refusals};
use crate::rest::site::{PAGE, Site};

#[tokio::test]
async fn every_failure_comes_in_the_envelope() {
    let site = Site::start().await;
    let address = site.base.trim_start_matches("http://");
    let token = site.token(1, MemberToken::Access);
    let by = format!("Authorization: bEARER {}", token.expose());
    let read = "/api/chat-messages/4194305/read-status";
    for (request, expected) in [
        (
            format!("POST {read} HTTP/1.1\r\nContent-Length: 100000000\r\nHost: x"),
            (413, 1008),
        ),
        (
            format!(
                "POST {read} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                 Content-Length: 100000000"
            ),
            (413, 1008),
        ),
        (
            "POST /docs/chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 65537".to_owned(),
            (413, 1008),
        ),
        (
            "PUT /internal/rooms/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4194305".to_owned(),
            (413, 1008),
        ),
        ("GET /api/chat-room HTTP/1.1".to_owned(), (400, 1006)),
        (
            "GET /api/chat-room HTTP/1.1\r\nHost: x\r\nHost: x".to_owned(),
            (400, 1006),
        ),
        (
            format!("GET /api/chat-room?size=%2B5 HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            format!("GET /api/chat-room/%2B1/history HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            format!("GET /api/chat-room/%ff/history HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            format!("GET /api/chat-room?size=%ff HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            "GET /docs/chat/nothing HTTP/1.1\r\nHost: x".to_owned(),
            (404, 1004),
        ),
        (
            "DELETE /docs/chat/ HTTP/1.1\r\nHost: x".to_owned(),
            (405, 1007),
        ),
        ("POST /metrics HTTP/1.1\r\nHost: x".to_owned(), (405, 1007)),
        (
            "PUT /internal/rooms/1 HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\
             Content-Length: 9"
                .to_owned(),
            (415, 1012),
        ),
    ] {
        let bytes = format!("{request}\r\nConnection: close\r\n\r\n");
        let answer = ask(address, bytes.as_bytes()).await;
        check(&request, &answer, expected);
    }
}

#[tokio::test]
async fn any_good_cookie_of_a_name_counts() {
    let site = Site::start().await;
    let address = site.base.trim_start_matches("http://");
    let good = site.token(1, MemberToken::Access);
    let good = good.expose();
    for cookies in [
        format!("name=김; accessToken={good}"),
        format!("accessToken=a.b.c; accessToken={good}"),
        format!("accessToken={good};accessToken=a.b.c"),
        format!("accessToken=김\r\nCookie: accessToken={good}"),
    ] {
        let request = format!(
            "GET {}/api/chat-room HTTP/1.1\r\nHost: other\r\nCookie: {cookies}\r\n\
             Connection: close\r\n\r\n",
            site.base
        );
        let answer = ask(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{cookies}: {answer}");
        let answer = answer.to_lowercase();
        assert!(answer.contains("cache-control: no-store"), "{answer}");
    }
}

#[tokio::test]
async fn options_that_is_no_preflight_says_what_a_path_takes() {
    let site = Site::start().await;
    let address = site.base.trim_start_matches("http://");
    for (path, allow) in [
        ("/api/chat-room", "GET,HEAD,OPTIONS"),
        ("/api/chat-messages/4194305/read-status", "POST,OPTIONS"),
        ("/internal/rooms/1", "PUT,OPTIONS"),
        ("/metrics", "GET,HEAD,OPTIONS"),
        ("/docs/chat/", "GET,HEAD,OPTIONS"),
    ] {
        let head = format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = ask(address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{head}: {answer}");
        let line = format!("\r\nallow: {allow}\r\n");
        assert!(answer.contains(&line), "{head}: {answer}");
    }
    let unknown = "OPTIONS /api/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    check(
        unknown,
        &ask(address, unknown.as_bytes()).await,
        (404, 1004),
    );
}

#[tokio::test]
async fn refusals_before_the_routes_can_be_read_by_our_pages() {
    let site = Site::start().await;
    let address = site.base.trim_start_matches("http://");
    check_early_refusals(address, "/api/chat-room", PAGE).await;
}
