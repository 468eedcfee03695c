//! What surrounds every route: the conventions of `shared::web`, and what this server adds.
//!
//! ```text
//! name, log ─► CORS ─► counted ─► limit by address ─► language, cookies ─► time, body, panics ─► routes
//! ```
//!
//! A domain's routes are an `OpenApiRouter` with its state in it; nothing is routed that is not
//! documented. Handlers take who asks from `auth` and their input from `shared::web`, and fail with
//! a [`ApiError`]:
//!
//! ```text
//! async fn list(State(products): State<Products>, caller: Caller, InQuery(query): InQuery<Query>)
//!     -> Result<Json<Envelope<Page<Row>>>, ApiError>
//! ```

mod address;
mod context;
mod docs;
mod failure;
mod limit;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use shared::web;
use utoipa_axum::router::OpenApiRouter;

use crate::metrics::Metrics;

pub use address::ClientAddress;
pub use context::{Language, ResponseContext};
pub use docs::{document, internal_document};
pub use failure::ApiError;
pub use limit::{Limits, Rate};

/// 64 KiB: a page of 20 combinations, the longest body there is, has 6.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// What surrounds the routes.
#[derive(Clone, Debug)]
pub struct HttpStack {
    /// For the line in the log.
    pub log: web::Log,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How often somebody may ask.
    pub limits: Arc<Limits>,
    /// Pages of these origins may call with a member's cookies; the server's own origin always may.
    pub allowed_origins: Arc<[String]>,
    /// Proxies of ours before this server: the client is so many entries from the end of
    /// `X-Forwarded-For`. 0 = clients connect directly.
    pub trusted_hops: usize,
}

/// Everything that clients call, with its page at `/docs`. It answers unknown paths, too: reset the
/// fallback to merge it with a router that has one.
pub fn public_router(http_stack: &HttpStack, routes: OpenApiRouter) -> Router {
    let (routes, document) = routes.split_for_parts();
    let document = docs::complete(document);
    let routes = routes
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(web::unknown_path);
    let routes = web::guarded(routes, BODY_BYTES_MAX)
        .layer(Extension(Arc::clone(&http_stack.limits)))
        .layer(Extension(http_stack.allowed_origins.clone()))
        .layer(from_fn(context::response_context))
        .layer(from_fn_with_state(http_stack.clone(), limit::by_address))
        .layer(from_fn_with_state(http_stack.clone(), count))
        .layer(web::cors(&http_stack.allowed_origins));
    web::logged(routes, http_stack.log.clone()).merge(docs::page(document))
}

/// Counts answers by their route and tells the time they took.
async fn count(State(all): State<HttpStack>, request: Request, next: Next) -> Response {
    let begun = all.log.clock.now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    all.metrics.requests_started.inc();
    let response = next.run(request).await;
    let elapsed = all.log.clock.now().saturating_duration_since(begun);
    let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let status = response.status();
    all.metrics
        .requests
        .with_label_values(&[route, method_label(method.as_str()), status.as_str()])
        .inc();
    let seconds = all.metrics.request_seconds.with_label_values(&[route]);
    seconds.observe(elapsed.as_secs_f64());
    response
}

/// Anybody can invent a method; a label must not grow by it.
fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("other")
}

/// Text that members wrote goes out as JSON, and a browser takes it for nothing else; answers with
/// a member's data are nobody's to keep.
pub async fn keep_from_sniffing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
