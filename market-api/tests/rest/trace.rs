//! Traces: from a request to what it causes, in this server and in the chat server.

#[path = "../../../chat-server/tests/support/client.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the chat server's tests use more of it"
)]
pub(crate) mod client;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use client::Client;
use http::Method;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use serde_json::Value;
use shared::trace::{self, TRACEPARENT, TraceParent};
use sqlx::{Row as _, query};
use stomp::Command;
// Of the client above.
use tokio_tungstenite as _;

use crate::chats::ChatPort;
use crate::on_both;
use crate::products;
use crate::site::{Cookies, Site};
use crate::support::{On, eventually};
use crate::trades::{WIFI, give_cash, time};

on_both! {
    event_carries_the_trace_of_the_request_that_caused_it,
    purchase_and_its_notifications_are_one_trace,
}

/// Bound of a wait for a frame.
const PATIENCE: Duration = Duration::from_secs(30);

/// The spans of this test program, of the tests of this module: only their requests come with a
/// `traceparent`, and other traces are not recorded.
#[derive(Clone, Debug, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

static SPANS: LazyLock<Spans> = LazyLock::new(|| {
    let spans = Spans::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
    trace::record_with(&provider.build()).unwrap();
    spans
});

impl Spans {
    /// The span that a `traceparent` names, once it has ended.
    async fn ended(&self, traceparent: &str) -> SpanData {
        let find = || {
            let spans = self.0.lock().unwrap();
            spans
                .iter()
                .find(|span| context(span) == traceparent)
                .cloned()
        };
        eventually("a span ends", async || find().is_some()).await;
        find().unwrap()
    }

    /// The only span of this name in the caller's trace.
    fn only(&self, caller: TraceParent, name: &str) -> SpanData {
        let spans = self.0.lock().unwrap();
        let mut named = spans
            .iter()
            .filter(|span| span.span_context.trace_id() == caller.trace() && span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("{name}: none"));
        assert!(named.next().is_none(), "{name}: more than one");
        span.clone()
    }
}

/// The trace of a caller, other than those of the other tests.
fn caller() -> TraceParent {
    let (trace, span) = (rand::random::<u128>(), rand::random::<u64>());
    format!("00-{trace:032x}-{span:016x}-01").parse().unwrap()
}

/// A span as what it causes names it.
fn context(span: &SpanData) -> String {
    let context = &span.span_context;
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

/// A seller with an offer of Wi-Fi (1), and a buyer with cash.
async fn offer(site: &Site) -> (Cookies, Cookies) {
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let ask = site.ask(Method::POST, "/api/products/wifi").by(&seller);
    ask.json(&products::spot(1).unwrap())
        .send()
        .await
        .is(200, 0);
    give_cash(site, 10_000).await;
    (seller, buyer)
}

async fn buy(site: &Site, buyer: &Cookies, caller: TraceParent) {
    let ask = site.ask(Method::POST, WIFI).by(buyer);
    let ask = ask.header(TRACEPARENT.as_str(), &caller.to_string());
    ask.json(&time(WIFI, 1, 30).unwrap())
        .send()
        .await
        .is(200, 0);
}

async fn event_carries_the_trace_of_the_request_that_caused_it(on: On) {
    let spans = &*SPANS;
    let site = Site::start(on).await;
    let (_seller, buyer) = offer(&site).await;
    let caller = caller();
    buy(&site, &buyer, caller).await;

    let span = spans.only(caller, &format!("POST {WIFI}"));
    let parent = format!("00-{}-{}-01", caller.trace(), span.parent_span_id);
    assert_eq!(parent, caller.to_string());
    let mut connection = site.market.db().read().await.unwrap();
    let row = query("select body from outbox where kind = 'trade.completed'");
    let body: String = row.fetch_one(&mut *connection).await.unwrap().get(0);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["traceparent"], context(&span), "{body}");
}

async fn purchase_and_its_notifications_are_one_trace(on: On) {
    let spans = &*SPANS;
    let port = ChatPort::bind().await;
    let site = Site::start_with(on, &[&port.flag]).await;
    let chat = port.serve(&site).await;
    let (seller, buyer) = offer(&site).await;
    let address = chat.base.strip_prefix("http://").unwrap();
    let mut sockets = Vec::new();
    for who in [&seller, &buyer] {
        let token = who.access.as_ref().unwrap();
        let mut socket = Client::login(address.parse().unwrap(), token).await;
        let notifications = "/user/queue/notifications";
        socket.subscribe("sub-0", notifications, &[]).await;
        sockets.push(socket);
    }
    let caller = caller();
    buy(&site, &buyer, caller).await;

    let request = spans.only(caller, &format!("POST {WIFI}"));
    let parent = format!("00-{}-{}-01", caller.trace(), request.parent_span_id);
    assert_eq!(parent, caller.to_string());
    for socket in &mut sockets {
        let is_message = |frame: &stomp::Frame| frame.command() == Command::Message;
        let notification = socket.until(is_message).await;
        let header = notification.header("traceparent");
        let append = spans.ended(header.expect("a traceparent")).await;
        assert_eq!(append.name, "inbox append");
        assert_eq!(append.span_context.trace_id(), caller.trace());
        assert_eq!(append.parent_span_id, request.span_context.span_id());
    }
}
