//! Requests as bytes: what no client library sends.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::on_both;
use crate::site::{PAGE, Site};
use crate::support::On;

on_both! {
    every_failure_comes_in_the_envelope,
    any_good_cookie_of_a_name_counts,
    options_that_is_no_preflight_says_what_a_path_takes,
}

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that comes until the server ends the connection.
async fn ask(address: &str, request: &[u8]) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await;
    drop(read.expect("the server ends the connection"));
    String::from_utf8(answer).unwrap()
}

/// The answer has this status and code, and what every answer has.
fn check(request: &str, answer: &str, expected: (u16, u64)) {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    let head = format!("{head}\r\n");
    for header in [
        "\r\ncontent-type: application/json\r\n",
        "\r\ncache-control: no-store\r\n",
        "\r\nx-content-type-options: nosniff\r\n",
        "\r\nx-request-id: ",
    ] {
        assert!(
            head.contains(header),
            "{request:?}: {header:?} is missing in {head}"
        );
    }
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: Value = serde_json::from_str(body).expect(body);
    let told = (status, body["code"].as_u64().unwrap());
    assert_eq!(told, expected, "{request:?}: {answer}");
    let is_allow_told = status != 405 || head.contains("\r\nallow: ");
    assert!(is_allow_told, "{request:?}: {answer}");
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

async fn any_good_cookie_of_a_name_counts(on: On) {
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
        // Of a login that has ended.
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

async fn options_that_is_no_preflight_says_what_a_path_takes(on: On) {
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
