//! Distributed traces: the W3C trace context of requests and events, and the spans of this process.
//!
//! ```text
//! traceparent of a request ─► span of the request ─► outbox ─► span of the append ─► MESSAGE header
//! ```
//!
//! A request's `traceparent` is passed on even where nothing is recorded. Spans are recorded once
//! [`export`] has a collector; until then a request or an event without a `traceparent` costs a look at
//! one header.
//!
//! What this module does not do: `tracestate` (W3C lets a participant drop it; an outbox row and a
//! MESSAGE frame have no place for it), baggage, and spans of chat messages: there are a million of them
//! for each purchase, and each is counted and timed by the metrics.

pub mod export;
mod parent;

use std::sync::OnceLock;

use http::{HeaderMap, Method, StatusCode};
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{
    SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use parent::{InvalidTraceParent, TRACEPARENT, TraceParent};

use crate::event::{Envelope, EventId};

/// Records the spans of this process, once traces are exported.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// This process has a tracer already.
#[derive(Debug, thiserror::Error)]
#[error("traces are already set up")]
pub struct AlreadySetUp;

/// Records the spans of this process with this provider from now on. [`export::start`] does it for
/// programs; tests use it with an exporter of their own.
///
/// # Errors
/// See [`AlreadySetUp`]; the first one stays in force.
pub fn record_with(provider: &SdkTracerProvider) -> Result<(), AlreadySetUp> {
    let tracer = provider.tracer("dapanda");
    TRACER.set(tracer).map_err(|_tracer| AlreadySetUp)
}

/// A piece of work in a trace. Where nothing is recorded it only holds its parent, if there is one. It
/// ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Span(Option<Context>);

impl Span {
    /// The span of a request to this server. `route` is its pattern, not its path: that has few values
    /// and contains nothing private.
    pub(crate) fn of_request(method: &Method, route: Option<&str>, headers: &HeaderMap) -> Self {
        Self::begin(TRACER.get(), TraceParent::of_request(headers), || {
            request_span(method, route)
        })
    }

    /// The span of the append of an event to the inboxes of its members, in the trace of the request that
    /// caused the event.
    #[must_use]
    pub fn of_append(event: &Envelope) -> Self {
        let parent = event.traceparent.as_deref();
        let parent = parent.and_then(|text| text.parse().ok());
        let (id, kind) = (&event.id, event.event.kind());
        Self::begin(TRACER.get(), parent, || append_span(id, kind.as_str()))
    }

    fn begin(
        tracer: Option<&SdkTracer>,
        parent: Option<TraceParent>,
        span: impl FnOnce() -> SpanBuilder,
    ) -> Self {
        let parent = parent.map(|parent| Context::new().with_remote_span_context(parent.into()));
        let Some(tracer) = tracer else {
            return Self(parent);
        };
        let own = tracer.build_with_context(span(), parent.as_ref().unwrap_or(&Context::new()));
        let own = Context::new().with_span(own);
        // After the end of the export the tracer makes no more spans.
        match own.span().span_context().is_valid() {
            true => Self(Some(own)),
            false => Self(parent),
        }
    }

    /// What is passed on to whatever this work causes.
    #[must_use]
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.0.as_ref().and_then(TraceParent::of_context)
    }

    /// Does this work: meanwhile [`TraceParent::current`] is this span.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }

    /// Notes that the work failed.
    pub fn fail(&self) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(""));
        }
    }

    /// Ends the span of a request with its response.
    pub(crate) fn end_with(self, status: StatusCode) {
        if status.is_server_error() {
            self.fail();
        }
        let Some(context) = self.0 else { return };
        let span = context.span();
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        span.end();
    }
}

/// This work in the trace of the caller, for a task of its own: a task begins without one.
pub fn in_current_trace<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let own = Context::map_current(|context| context.has_active_span().then(|| context.clone()));
    async move { Span(own).run(work).await }
}

/// Attributes as in OpenTelemetry's conventions for HTTP servers.
fn request_span(method: &Method, route: Option<&str>) -> SpanBuilder {
    // A client may send any method, and a name has few values.
    let own = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let is_own = own.contains(method);
    let (method, shown) = match is_own {
        true => (method.as_str(), method.as_str()),
        false => ("_OTHER", "HTTP"),
    };
    let name = match route {
        Some(route) => format!("{shown} {route}"),
        None => shown.to_owned(),
    };
    let mut attributes = vec![KeyValue::new("http.request.method", method.to_owned())];
    attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
    SpanBuilder::from_name(name)
        .with_kind(SpanKind::Server)
        .with_attributes(attributes)
}

fn append_span(id: &EventId, kind: &str) -> SpanBuilder {
    SpanBuilder::from_name("inbox append")
        .with_kind(SpanKind::Consumer)
        .with_attributes([
            KeyValue::new("event.id", id.as_str().to_owned()),
            KeyValue::new("event.kind", kind.to_owned()),
        ])
}

#[cfg(test)]
mod tests;
