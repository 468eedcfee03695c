//! Export of spans to a collector: OTLP over HTTP, in protobuf.
//!
//! A span that ends goes into a bounded queue; a thread of its own sends batches. A slow or unreachable
//! collector costs the spans that find the queue full, and one line in the log per outage; requests do
//! not notice it.
//!
//! What this module does not do: metrics and logs (scraped, and read from standard error), gRPC.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use http_body_util::{BodyExt as _, Limited};
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use reqwest::Url;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::{AlreadySetUp, record_with};
use crate::telemetry::BuildInfo;

/// Spans that wait to be sent. About 500 bytes each: 4 MiB.
const QUEUE_MAX: usize = 8_192;

/// Spans of one request to the collector.
const BATCH_MAX: usize = 512;

/// Time-out of one request to the collector, and of its retries together.
const SEND_MAX: Duration = Duration::from_secs(10);

/// 64 KiB: an answer says how many spans were refused, and why.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long the end of a process waits until its last spans are sent.
pub const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Where traces go. Other variables of OpenTelemetry, such as `OTEL_EXPORTER_OTLP_HEADERS` and
/// `OTEL_RESOURCE_ATTRIBUTES`, are read by its library.
#[derive(Clone, Debug, Default, Args)]
pub struct TraceSettings {
    /// Collector of traces: OTLP over HTTP in protobuf, sent to /v1/traces below this URL. Not set:
    /// nothing is recorded, and the traceparent of requests is only passed on
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL",
        value_parser = parse_endpoint
    )]
    pub otlp_endpoint: Option<Url>,

    /// Share of traces that is recorded, 0 to 1, of those that begin here. A request that comes with a
    /// traceparent is recorded if that says so
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER_ARG",
        default_value_t,
        value_name = "SHARE"
    )]
    pub trace_share: Share,

    /// Name of this program in traces; not set: that of the program
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,
}

/// A share of traces, 0 to 1; by default all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Default for Share {
    fn default() -> Self {
        Self(1.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Share {
    type Err = NotAccepted;

    fn from_str(text: &str) -> Result<Self, NotAccepted> {
        let share = text
            .parse()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share));
        share
            .map(Self)
            .ok_or(NotAccepted("not a number from 0 to 1"))
    }
}

/// Not a setting of traces.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAccepted(&'static str);

fn parse_endpoint(text: &str) -> Result<Url, NotAccepted> {
    let url = Url::parse(text).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = web.ok_or(NotAccepted("not an http or https URL"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(NotAccepted("a path is put behind it: no ? and no #"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "it has a user's name or password, which belong into OTEL_EXPORTER_OTLP_HEADERS";
        return Err(NotAccepted(why));
    }
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// Why traces are not exported.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client could not be built.
    #[error("no HTTP client for the collector of traces could be made")]
    Client(#[from] reqwest::Error),
    /// A setting that OpenTelemetry's library read by itself is wrong.
    #[error("traces cannot be exported")]
    Exporter(#[from] ExporterBuildError),
    /// This process exports traces already.
    #[error(transparent)]
    AlreadySetUp(#[from] AlreadySetUp),
}

/// The export of this process.
#[derive(Debug)]
#[must_use = "the last spans are lost without its end"]
pub struct Export(Option<SdkTracerProvider>);

/// Starts the export, if there is a collector. Call it on the runtime that serves, before it does.
///
/// # Errors
/// See [`StartError`]. An unreachable collector is none.
pub fn start(settings: &TraceSettings, build: &BuildInfo) -> Result<Export, StartError> {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return Ok(Export(None));
    };
    let provider = provider(endpoint, settings, build)?;
    record_with(&provider)?;
    tracing::info!("traces are sent to {endpoint}");
    Ok(Export(Some(provider)))
}

fn provider(
    endpoint: &Url,
    settings: &TraceSettings,
    build: &BuildInfo,
) -> Result<SdkTracerProvider, StartError> {
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_endpoint(endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(SEND_MAX)
        .with_http_client(Client::new()?)
        .build()?;
    let exporter = Reported {
        exporter,
        is_out: AtomicBool::new(false),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX);
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build());
    let name = settings.service_name.as_deref().unwrap_or(build.name);
    let resource = Resource::builder()
        .with_service_name(name.to_owned())
        .with_attribute(KeyValue::new("service.version", build.version));
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor.build())
        .with_resource(resource.build())
        .with_sampler(sampler(settings.trace_share))
        .build())
}

fn sampler(Share(share): Share) -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)))
}

impl Export {
    /// Sends the last spans, for [`FLUSH_MAX`] at most. To be called when nothing is served any more.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let flushed = spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_MAX)).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the last spans were not sent: {error}"),
            Err(error) => tracing::warn!("the last spans were not sent: {error}"),
        }
    }
}

/// Sends batches on the runtime that serves: they come from a thread that has none.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

impl Client {
    fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(SEND_MAX);
        Ok(Self {
            http: http.build()?,
            runtime: Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        // Not a task of the drain: the last batch is sent when that has ended. `SEND_MAX` bounds it.
        let sending = self.runtime.spawn(async move {
            let (head, body) =
                Response::<reqwest::Body>::from(http.execute(request).await?).into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        });
        sending.await?
    }
}

/// Logs when an outage of the collector begins and ends.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    is_out: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        let was_out = self.is_out.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_out => {
                tracing::warn!("spans are lost until the collector of traces is back: {error}");
            }
            Ok(()) if was_out => tracing::info!("the collector of traces is back"),
            Err(_) | Ok(()) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        traces: TraceSettings,
    }

    /// Where spans are sent with this endpoint.
    fn check(endpoint: &str, expected: Option<&str>) {
        let args = ["program", "--otlp-endpoint", endpoint];
        let program = <Program as clap::Parser>::try_parse_from(args);
        let url = program
            .ok()
            .and_then(|program| program.traces.otlp_endpoint);
        assert_eq!(url.as_ref().map(Url::as_str), expected, "{endpoint}");
    }

    #[test]
    fn spans_go_below_the_endpoint() {
        check(
            "http://localhost:4318",
            Some("http://localhost:4318/v1/traces"),
        );
        check(
            "https://a.example/x/",
            Some("https://a.example/x/v1/traces"),
        );
    }

    #[test]
    fn endpoint_that_is_none_is_refused() {
        for endpoint in [
            "",
            "localhost:4318",
            "grpc://localhost:4317",
            "http://member:secret@localhost",
            "http://localhost/?a",
            "http://localhost/#a",
        ] {
            check(endpoint, None);
        }
    }

    #[test]
    fn share_is_a_number_from_0_to_1() {
        for text in ["0", "0.25", "1", "1e-3"] {
            assert!(text.parse::<Share>().is_ok(), "{text}");
        }
        for text in ["", "-0.1", "1.1", "NaN", "inf", "always"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(Share::default().to_string(), "1");
    }
}
