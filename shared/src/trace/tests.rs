//! Spans with an exporter in memory, and without one.

use std::sync::{Arc, Mutex};

use http::HeaderValue;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Memory {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Memory {
    fn provider(&self) -> SdkTracerProvider {
        let builder = SdkTracerProvider::builder();
        builder.with_simple_exporter(self.clone()).build()
    }

    fn only(&self) -> SpanData {
        let spans = self.0.lock().unwrap();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans[0].clone()
    }
}

/// A request's span with this tracer.
fn begin(tracer: Option<&SdkTracer>, parent: Option<&str>) -> Span {
    let mut headers = HeaderMap::new();
    if let Some(parent) = parent {
        headers.insert(TRACEPARENT, HeaderValue::from_str(parent).unwrap());
    }
    let parent = TraceParent::of_request(&headers);
    Span::begin(tracer, parent, || {
        request_span(&Method::GET, Some("/api/x/{id}"))
    })
}

#[tokio::test]
async fn without_a_collector_the_traceparent_is_only_passed_on() {
    let span = begin(None, Some(PARENT));
    let current = span.run(async { TraceParent::current() }).await;
    assert_eq!(current.unwrap().to_string(), PARENT);
    assert_eq!(TraceParent::current(), None);
    #[expect(
        clippy::async_yields_async,
        reason = "made within the trace, as a task is, and run outside of it"
    )]
    let task = span.run(async { in_current_trace(async { TraceParent::current() }) });
    assert_eq!(task.await.await, current, "the task continues the trace");
    for parent in [None, Some("00-1-1-1")] {
        let span = begin(None, parent);
        assert_eq!(span.traceparent(), None);
        assert_eq!(span.run(async { TraceParent::current() }).await, None);
    }
}

#[tokio::test]
async fn span_of_a_request_continues_its_trace() {
    let memory = Memory::default();
    let provider = memory.provider();
    let span = begin(Some(&provider.tracer("test")), Some(PARENT));
    let current = span.run(async { TraceParent::current() }).await.unwrap();
    assert_eq!(Some(current), span.traceparent());
    span.end_with(StatusCode::INTERNAL_SERVER_ERROR);
    let span = memory.only();
    assert_eq!(TraceParent::of(&span.span_context), Some(current));
    assert_eq!(
        span.parent_span_id,
        SpanId::from_hex("00f067aa0ba902b7").unwrap()
    );
    assert_eq!(current.trace().to_string(), PARENT[3..35]);
    assert_eq!(span.name, "GET /api/x/{id}");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.status, Status::error(""));
    let code = KeyValue::new("http.response.status_code", 500_i64);
    assert!(span.attributes.contains(&code), "{:?}", span.attributes);
}

#[test]
fn malformed_traceparent_begins_a_trace() {
    let memory = Memory::default();
    let provider = memory.provider();
    drop(begin(Some(&provider.tracer("test")), Some("00-1-1-1")));
    let span = memory.only();
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    assert!(TraceParent::of(&span.span_context).is_some_and(|span| span.is_sampled()));
}

#[test]
fn trace_that_is_not_sampled_is_passed_on_and_not_recorded() {
    let memory = Memory::default();
    let provider = memory.provider();
    let unsampled = format!("{}00", &PARENT[..53]);
    let span = begin(Some(&provider.tracer("test")), Some(&unsampled));
    let passed_on = span.traceparent().unwrap();
    assert!(!passed_on.is_sampled());
    assert_eq!(passed_on.trace().to_string(), PARENT[3..35]);
    drop(span);
    assert!(memory.0.lock().unwrap().is_empty());
}

#[test]
fn traceparent_is_passed_on_after_the_end_of_the_export() {
    let provider = Memory::default().provider();
    let tracer = provider.tracer("test");
    provider.shutdown().unwrap();
    let span = begin(Some(&tracer), Some(PARENT));
    assert_eq!(span.traceparent().unwrap().to_string(), PARENT);
}
