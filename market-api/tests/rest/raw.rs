//! Requests as raw bytes, which no client library sends.

#[path = "../../../shared/tests/support/raw.rs"]
mod bytes;

use self::bytes::{ask, check, check_early_refusals};
use crate::on_both;
use crate::site::{PAGE, Site};
use crate::support::On;

on_both! {
    every_failure_comes_in_the_envelope,
    any_valid_cookie_of_a_name_authenticates,
    options_without_preflight_lists_the_methods,
    refusals_before_the_routes_can_be_read_by_our_pages,
}

async fn every_failure_comes_in_the_envelope(on: On) {
    let site = Site::start(on).await;
    let address = site.base.trim_start_matches("http://");
    let one = site.log_in("kakao", 1).await;
    let by = format!("Authorization: bEARER {}", one.access.clone().unwrap());
    let picture = "/api/images/files/1/x.png";
    for (request, expected) in [
        (
            "POST /api/members/language HTTP/1.1\r\nContent-Length: 100000000\r\nHost: x"
                .to_owned(),
            (413, 1008),
        ),
        (
            "POST /api/members/language HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
             Content-Length: 100000000"
                .to_owned(),
            (413, 1008),
        ),
        (
            format!("PUT {picture} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000"),
            (413, 1008),
        ),
        (
            "POST /docs/ HTTP/1.1\r\nHost: x\r\nContent-Length: 65537".to_owned(),
            (413, 1008),
        ),
        ("GET /api/members/cash HTTP/1.1".to_owned(), (400, 1006)),
        (
            "GET /api/members/cash HTTP/1.1\r\nHost: x\r\nHost: x".to_owned(),
            (400, 1006),
        ),
        (
            format!("GET /api/products/mobile-data?size=%2B5 HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            format!("GET /api/members/info?memberId=%2B1 HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            format!("GET /api/members/info?memberId=%ff HTTP/1.1\r\nHost: x\r\n{by}"),
            (400, 1006),
        ),
        (
            "GET /oauth2/authorization/%ff HTTP/1.1\r\nHost: x".to_owned(),
            (400, 1006),
        ),
        (
            format!("PUT {picture}?expires=x HTTP/1.1\r\nHost: x"),
            (400, 1006),
        ),
        (
            "GET /docs/nothing HTTP/1.1\r\nHost: x".to_owned(),
            (404, 1004),
        ),
        ("DELETE /docs/ HTTP/1.1\r\nHost: x".to_owned(), (405, 1007)),
        (format!("DELETE {picture} HTTP/1.1\r\nHost: x"), (405, 1007)),
        (
            format!(
                "PUT {picture} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\
                 Content-Length: 9"
            ),
            (415, 1012),
        ),
    ] {
        let bytes = format!("{request}\r\nConnection: close\r\n\r\n");
        let answer = ask(address, bytes.as_bytes()).await;
        check(&request, &answer, expected);
    }
}

async fn any_valid_cookie_of_a_name_authenticates(on: On) {
    let site = Site::start(on).await;
    let address = site.base.trim_start_matches("http://");
    let (gone, one) = (site.log_in("kakao", 1).await, site.log_in("kakao", 1).await);
    let leaving = site.ask(http::Method::POST, "/api/auth/logout").by(&gone);
    leaving.send().await.is(200, 0);
    let (good, gone_refresh) = (one.access.unwrap(), gone.refresh.unwrap());
    let (gone, refresh) = (gone.access.unwrap(), one.refresh.unwrap());
    for cookies in [
        format!("name=김; accessToken={good}"),
        format!("accessToken=a.b.c; accessToken={good}"),
        // The token of a session that has ended.
        format!("accessToken={gone}; accessToken={good}"),
        format!("accessToken={good};accessToken={gone}"),
        format!("accessToken=김\r\nCookie: accessToken={good}"),
        format!("refreshToken={gone_refresh}; refreshToken={refresh}"),
        format!("accessToken={gone}; refreshToken=a.b.c; refreshToken={refresh}"),
    ] {
        let request = format!(
            "GET {}/api/members/cash HTTP/1.1\r\nHost: other\r\nCookie: {cookies}\r\n\
             Connection: close\r\n\r\n",
            site.base
        );
        let answer = ask(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{cookies}: {answer}");
    }
}

async fn options_without_preflight_lists_the_methods(on: On) {
    let site = Site::start(on).await;
    let address = site.base.trim_start_matches("http://");
    for (path, more, allow) in [
        ("/api/members/cash", "", "GET,HEAD,OPTIONS"),
        (
            "/api/members/cash",
            "Origin: http://localhost:3000\r\n",
            "GET,HEAD,OPTIONS",
        ),
        (
            "/api/members/cash",
            "Access-Control-Request-Method: GET\r\n",
            "GET,HEAD,OPTIONS",
        ),
        ("/api/members/language", "", "POST,OPTIONS"),
        ("/docs/", "", "GET,HEAD,OPTIONS"),
        ("/api/images/files/1/x.png", "", "GET,HEAD,PUT,OPTIONS"),
    ] {
        let head = format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\n{more}Connection: close\r\n\r\n");
        let answer = ask(address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{head}: {answer}");
        assert_eq!(allowed(&answer), allow, "{head}: {answer}");
        assert!(answer.contains("\r\nx-request-id: "), "{head}: {answer}");
    }
    let unknown = "OPTIONS /api/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    check(
        unknown,
        &ask(address, unknown.as_bytes()).await,
        (404, 1004),
    );
    let preflight = format!(
        "OPTIONS /api/members/cash HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Origin: {PAGE}\r\nAccess-Control-Request-Method: GET\r\n\r\n"
    );
    let answer = ask(address, preflight.as_bytes()).await;
    let granted = format!("\r\naccess-control-allow-origin: {PAGE}\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains(&granted),
        "{answer}"
    );
}

/// The methods of `Allow`.
fn allowed(answer: &str) -> String {
    let lines = answer.split("\r\n");
    let mut allow: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("allow: "))
        .collect();
    assert_eq!(allow.len(), 1, "{answer}");
    allow.remove(0).to_owned()
}

async fn refusals_before_the_routes_can_be_read_by_our_pages(on: On) {
    let site = Site::start(on).await;
    let address = site.base.trim_start_matches("http://");
    check_early_refusals(address, "/api/members/cash", PAGE).await;
}
