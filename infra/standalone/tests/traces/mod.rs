//! Export of traces by the whole program.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::{Log, PATIENCE, Server, client, folder, offers};

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

/// A collector of this computer: what it received.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

impl Collector {
    /// Serves it; returns its endpoint.
    async fn serve(&self) -> String {
        let kept = self.clone();
        let collect = post(async move |headers: HeaderMap, body: Bytes| {
            kept.0.lock().unwrap().push((headers, body));
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let served = axum::serve(listener, Router::new().route("/v1/traces", collect));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(served.into_future());
        endpoint
    }

    /// Whether something with these bytes in it was received.
    fn has(&self, part: &[u8]) -> bool {
        let received = self.0.lock().unwrap();
        let mut bodies = received.iter().map(|(_, body)| body);
        bodies.any(|body| body.windows(part.len()).any(|window| window == part))
    }
}

fn trace_bytes() -> [u8; 16] {
    u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes()
}

#[tokio::test]
async fn spans_reach_the_collector_at_the_latest_when_the_program_stops() {
    let collector = Collector::default();
    let endpoint = collector.serve().await;
    let (_here, data) = folder();
    let more = ["--otlp-endpoint", &endpoint, "--service-name", "shop"];
    let (mut server, mut log) = Server::start_with(Path::new(&data), &more).await;
    let headers = [("traceparent", PARENT)];
    let route = "/api/products/wifi";
    server.ask(Method::GET, route, &headers).await;
    assert_eq!(server.interrupt().await, Some(0));

    let lines = read_until(&mut log, "stopped").await;
    assert!(lines.iter().any(|line| line.contains(TRACE)), "{lines:?}");
    let trace = trace_bytes();
    for part in [&trace[..], format!("GET {route}").as_bytes(), b"shop"] {
        assert!(collector.has(part), "{} is missing", part.escape_ascii());
    }
    let received = collector.0.lock().unwrap();
    assert_eq!(received[0].0["content-type"], "application/x-protobuf");
}

#[tokio::test]
async fn purchase_and_its_notifications_reach_the_collector_as_one_trace() {
    let collector = Collector::default();
    let endpoint = collector.serve().await;
    let (_here, data) = folder();
    // Traces that begin here are not recorded: what is received is in the caller's.
    let more = ["--otlp-endpoint", &endpoint, "--trace-share", "0"];
    let run = r#"OTEL_BSP_SCHEDULE_DELAY=10 exec "$0" "$@""#;
    let (server, _log) = Server::start_by(run, Path::new(&data), &more).await;
    let login: Value = server.log_in(1).await.json().await.unwrap();
    let token = login["data"]["accessToken"].as_str().unwrap();
    let route = "/api/trades/mobile-data/default";
    // Some are the member's own, some are sold as a whole only.
    let mut bought = false;
    for product in offers(&server, "mobile-data", token).await {
        let order = json!({"productId": product, "mobileDataId": product, "dataAmount": 0.1});
        let ask = client().post(server.url(route)).bearer_auth(token);
        let answer = ask.header("traceparent", PARENT).json(&order).send().await;
        bought = answer.unwrap().status() == StatusCode::OK;
        if bought {
            break;
        }
    }
    assert!(bought);
    for part in [format!("POST {route}").as_bytes(), b"inbox append"] {
        let received = async {
            while !collector.has(part) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let part = part.escape_ascii();
        assert!(
            timeout(PATIENCE, received).await.is_ok(),
            "{part} is missing"
        );
    }
    assert!(collector.has(&trace_bytes()));
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
