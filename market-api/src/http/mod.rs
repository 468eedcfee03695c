//! HTTP stack: the layers around every route, the conventions of `shared::web` plus this server's own.
//!
//! ```text
//! name, log ─► CORS ─► counted ─► limit by address ─► language, cookies ─► time, body, panics ─► routes
//! ```
//!
//! A domain's routes are an `OpenApiRouter` with its state; every route is documented. Handlers take the
//! caller from `auth` and their input from `shared::web`, and fail with a [`web::ApiError`]: a domain's
//! `http.rs` maps the errors of its rules to it, this module those of the database.
//!
//! ```text
//! async fn list(State(products): State<Products>, caller: Caller, InQuery(query): InQuery<Query>)
//!     -> Result<Json<Envelope<Page<Row>>>, ApiError>
//! ```

mod address;
mod context;
mod docs;
mod error;
mod limit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use shared::web;
use utoipa_axum::router::OpenApiRouter;

use crate::metrics::Metrics;

pub use address::ClientAddress;
pub use context::ResponseContext;
pub use docs::{document, internal_document};
pub use error::{db_code, log_db_error};
pub use limit::{Limits, Rate};

/// Bound of a request body. 64 KiB: a page of 20 combinations, the longest body, has 6.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Services of the layers around the routes.
#[derive(Clone, Debug)]
pub struct HttpStack {
    /// The access log.
    pub log: web::Log,
    /// Counters of requests and refusals.
    pub metrics: Arc<Metrics>,
    /// The rate limits.
    pub limits: Arc<Limits>,
    /// Origins whose pages may send a member's cookies; the server's own origin always may.
    pub allowed_origins: Arc<[String]>,
    /// Number of our proxies in front of this server: the client's address is that many entries from the end of
    /// `X-Forwarded-For`. 0 = clients connect directly.
    pub trusted_hops: usize,
}

/// The public routes with their layers, and the API page at `/docs`. Includes the fallback for unknown
/// paths: reset it before a merge with a router that has one.
pub fn public_router(http_stack: &HttpStack, routes: OpenApiRouter) -> Router {
    let (routes, document) = routes.split_for_parts();
    let document = docs::complete(document);
    let routes = routes
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(web::unknown_path);
    let routes = web::guarded(routes, BODY_BYTES_MAX)
        .layer(from_fn_with_state(Arc::new(http_stack.clone()), surround))
        .layer(web::cors(&http_stack.allowed_origins));
    web::logged(routes, http_stack.log.clone()).merge(docs::page(document))
}

/// Counts the request, limits it by address, gives it its context. One layer instead of four, since each costs a copy
/// of all that is inside it for every request.
async fn surround(State(all): State<Arc<HttpStack>>, request: Request, next: Next) -> Response {
    let begun = all.log.clock.now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = method_label(request.method().as_str());
    all.metrics.requests_started.inc();
    let response = match limit::by_address(&all, &request) {
        Ok(()) => context::response_context(&all, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    let elapsed = all.log.clock.now().saturating_duration_since(begun);
    let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let status = response.status();
    all.metrics
        .requests
        .with_label_values(&[route, method, status.as_str()])
        .inc();
    let seconds = all.metrics.request_seconds.with_label_values(&[route]);
    seconds.observe(elapsed.as_secs_f64());
    response
}

/// Clients may send any method; other methods share one label, which bounds the number of time series.
fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("other")
}

/// Response headers against content sniffing, so that browsers treat members' texts as JSON only, and
/// against caching of members' data.
pub async fn keep_from_sniffing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
