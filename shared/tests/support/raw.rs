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
