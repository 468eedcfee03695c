//! Traces: from a request to what it causes, in this server and in the chat server.

use std::sync::{Arc, LazyLock, Mutex};

use http::Method;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use serde_json::Value;
use shared::trace::{self, TRACEPARENT, TraceParent};
use sqlx::{Row as _, query};

use crate::on_both;
use crate::products;
use crate::site::{Cookies, Site};
use crate::support::On;
use crate::trades::{WIFI, give_cash, time};

on_both! {
    event_carries_the_trace_of_the_request_that_caused_it,
}

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
