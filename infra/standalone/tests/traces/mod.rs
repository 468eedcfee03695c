//! Export of traces by the whole program.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::{Log, PATIENCE, Server, folder};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A free port on which nobody listens.
async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Reads lines until one contains this; returns those read.
async fn read_until(log: &mut Log, part: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let reading = async {
        loop {
            let line = log.next_line().await.unwrap().expect("it ended");
            let is_last = line.contains(part);
            lines.push(line);
            if is_last {
                break;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("it logs that");
    lines
}

#[tokio::test]
async fn spans_reach_the_collector_at_the_latest_when_the_program_stops() {
    let received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
    let kept = Arc::clone(&received);
    let collect = post(async move |headers: HeaderMap, body: Bytes| {
        kept.lock().unwrap().push((headers, body));
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = axum::serve(listener, Router::new().route("/v1/traces", collect));
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(collector.into_future());

    let (_here, data) = folder();
    let more = ["--otlp-endpoint", &endpoint, "--service-name", "shop"];
    let (mut server, mut log) = Server::start_with(Path::new(&data), &more).await;
    let headers = [("traceparent", PARENT)];
    let answer = server
        .ask(Method::GET, "/api/products/wifi", &headers)
        .await;
    let status = answer.status();
    assert_eq!(server.interrupt().await, Some(0));

    let lines = read_until(&mut log, "stopped").await;
    assert!(lines.iter().any(|line| line.contains(TRACE)), "{lines:?}");
    let received = received.lock().unwrap();
    let (headers, _) = received.first().expect("a batch");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let bodies: Vec<u8> = received
        .iter()
        .flat_map(|(_, body)| body.to_vec())
        .collect();
    let trace = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    for part in [&trace[..], b"GET /api/products/wifi", b"shop"] {
        let is_there = bodies.windows(part.len()).any(|window| window == part);
        assert!(is_there, "{status}: {:?} is missing", part.escape_ascii());
    }
}

#[tokio::test]
async fn unreachable_collector_costs_one_line_in_the_log() {
    let (_here, data) = folder();
    let endpoint = format!("http://{}", closed_port().await);
    let more = ["--otlp-endpoint", &endpoint];
    // The first batch is sent soon, the last one at the stop.
    let run = r#"OTEL_BSP_SCHEDULE_DELAY=10 exec "$0" "$@""#;
    let (mut server, mut log) = Server::start_by(run, Path::new(&data), &more).await;
    let lost = "spans are lost until the collector of traces is back";
    let ask = async || {
        for _ in 0..5 {
            let answer = server.ask(Method::GET, "/api/products/wifi", &[]).await;
            assert!(answer.status() < StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    ask().await;
    read_until(&mut log, lost).await;
    ask().await;
    assert_eq!(server.interrupt().await, Some(0));
    let lines = read_until(&mut log, "stopped").await;
    assert!(!lines.iter().any(|line| line.contains(lost)), "{lines:?}");
}

#[tokio::test]
async fn collector_that_never_answers_holds_up_nothing() {
    let (_here, data) = folder();
    // The kernel takes connections and bytes; nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let more = ["--otlp-endpoint", &endpoint];
    let run = r#"OTEL_BSP_SCHEDULE_DELAY=10 exec "$0" "$@""#;
    let (mut server, mut log) = Server::start_by(run, Path::new(&data), &more).await;
    let (tcp, _) = timeout(PATIENCE, async {
        let asked = server.ask(Method::GET, "/api/products/wifi", &[]);
        assert!(asked.await.status() < StatusCode::INTERNAL_SERVER_ERROR);
        silent.accept().await.unwrap()
    })
    .await
    .expect("it sends its spans");
    let asked = server.ask(Method::GET, "/api/products/wifi", &[]);
    assert!(asked.await.status() < StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.interrupt().await, Some(0));
    read_until(&mut log, "the last spans were not sent").await;
    drop(tcp);
}
