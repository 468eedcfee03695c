//! Requests as bytes to either server, and what every failure has.
//!
//! Both servers' tests of what no client library sends include it by its path.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that comes until the server ends the connection.
pub(crate) async fn ask(address: &str, request: &[u8]) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await;
    drop(read.expect("the server ends the connection"));
    String::from_utf8(answer).unwrap()
}

/// The answer has this status and code, and what every answer has.
pub(crate) fn check(request: &str, answer: &str, expected: (u16, u64)) {
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

/// Refusals that are made before the routes are readable by pages of `page`, an allowed origin, and by
/// no others: otherwise such a page could not distinguish them from an unreachable server. `path` is a
/// route of the server.
pub(crate) async fn check_early_refusals(address: &str, path: &str, page: &str) {
    for (method, rest, expected) in [
        (
            "POST",
            "Host: x\r\nContent-Encoding: gzip\r\nContent-Length: 9",
            (415, 1012),
        ),
        ("GET", "Host: x\r\nExpect: 200-ok", (417, 1016)),
        (
            "POST",
            "Host: x\r\nTransfer-Encoding: gzip, chunked",
            (501, 1016),
        ),
        ("GET", "Host: a b", (400, 1006)),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\n{rest}");
        for (origin, is_ours) in [(page, true), ("https://evil.example", false)] {
            let bytes = format!("{request}\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n");
            let answer = ask(address, bytes.as_bytes()).await;
            check(&request, &answer, expected);
            let granted = format!("\r\naccess-control-allow-origin: {page}\r\n");
            assert_eq!(answer.contains(&granted), is_ours, "{origin}: {answer}");
        }
    }
}
