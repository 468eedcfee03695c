//! Layers around every handler: request id, trace, access log, limits on time and body, and an envelope
//! for errors that no handler made.

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Body as _;
use tokio::time::timeout_at;
use tower_http::catch_panic::CatchPanicLayer;

use super::body::{Pace, PacedBody};
use super::codes::ErrorCode;
use super::deadline::now;
use super::headers::last;
use super::request_id::{REQUEST_ID, RequestIds, named};
use crate::clock::Clock;
use crate::trace::{Span, TraceParent};

/// Deadline from a request's head to its response, without the time that its body takes to arrive. The store's
/// own deadlines are shorter.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Seconds after which a client may retry when a dependency is unavailable.
pub(super) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Inside the access log and CORS: limits on time and body, panics, methods that a path does not
/// allow.
pub fn guarded<S>(routes: Router<S>, body_bytes_max: usize) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // As one layer: each costs a copy of all that is inside it for every request.
    routes.method_not_allowed_fallback(unknown_method).layer((
        CatchPanicLayer::custom(answer_panic),
        from_fn_with_state(body_bytes_max, limit),
    ))
}

/// Dependencies of the access log.
#[derive(Clone, Debug)]
pub struct Log {
    /// Measures the duration.
    pub clock: Arc<dyn Clock>,
    /// Ids for requests that come without one.
    pub request_ids: Arc<RequestIds>,
}

/// Outside everything else: the request id, the span of the request and the line in the access log.
/// Handlers read the id from the request's header [`REQUEST_ID`], the trace from
/// [`TraceParent::current`].
pub fn logged<S>(routes: Router<S>, log: Log) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes.layer(from_fn_with_state(log, name_and_log))
}

/// Fallback for unknown routes.
pub async fn unknown_path() -> ErrorCode {
    ErrorCode::RouteUnknown
}

/// The path allows other methods, which the router lists in `Allow`; that list is the response to
/// OPTIONS (RFC 9110, 9.3.7).
async fn unknown_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        ErrorCode::MethodNotAllowed.into_response()
    }
}

/// The process's panic hook has logged the panic already.
fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    ErrorCode::Internal.into_response()
}

/// Refuses a request that announces too long a body without reading it. A body of unknown length is
/// bounded while it is read; a handler that takes no body reads none.
async fn limit(State(bytes_max): State<usize>, request: Request, next: Next) -> Response {
    // hyper has checked that it is one number.
    let announced = request.body().size_hint().lower();
    let is_short = usize::try_from(announced).is_ok_and(|length| length <= bytes_max);
    if !is_short {
        return last(ErrorCode::BodyTooLarge.into_response());
    }
    limit_time(request, next).await
}

/// Limits a handler's time; waiting for the client's body does not count.
async fn limit_time(request: Request, next: Next) -> Response {
    let pace = Pace::default();
    let request = if request.body().is_end_stream() {
        request
    } else {
        request.map(|body| Body::new(PacedBody::new(body, pace.clone())))
    };
    let begun = now();
    let mut answering = pin!(next.run(request));
    loop {
        let until = begun + REQUEST_MAX + pace.waited();
        match timeout_at(until, answering.as_mut()).await {
            Ok(_) if pace.is_too_slow() => return last(ErrorCode::RequestTimeout.into_response()),
            Ok(response) if response.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return last(response);
            }
            Ok(response) => return response,
            Err(_elapsed) if now() < begun + REQUEST_MAX + pace.waited() => {}
            Err(_elapsed) => return ErrorCode::Unavailable.into_response(),
        }
    }
}

async fn name_and_log(State(state): State<Log>, mut request: Request, next: Next) -> Response {
    let begun = state.clock.now();
    let id = named(request.headers()).unwrap_or_else(|| state.request_ids.next());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().clone();
    // The route's pattern, not the path: it has few values and contains nothing private.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map(MatchedPath::as_str);
    let span = Span::of_request(&method, route, request.headers());
    let mut response = span.run(next.run(request)).await;
    let status = response.status();
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        let headers = response.headers_mut();
        headers.entry(RETRY_AFTER).or_insert(RETRY_AFTER_SECONDS);
    }
    let elapsed_ms = state
        .clock
        .now()
        .saturating_duration_since(begun)
        .as_millis();
    let trace = span.traceparent().filter(TraceParent::is_sampled);
    let path = route.unwrap_or("unknown path");
    tracing::info!(
        request.id = id.to_str().unwrap_or_default(),
        trace.id = trace.map(|trace| tracing::field::display(trace.trace())),
        status = status.as_u16(),
        elapsed_ms,
        "{method} {path}"
    );
    span.end_with(status);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    /// The envelope's code in the answer to this path.
    async fn check(path: &str, expected: (StatusCode, u64)) {
        let routes = Router::new()
            .route(
                "/panic",
                get(async || -> ErrorCode { panic!("on purpose") }),
            )
            .route("/hang", get(std::future::pending::<ErrorCode>));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = guarded(routes, 10).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, body["code"].as_u64().unwrap()), expected, "{path}");
    }

    #[tokio::test]
    async fn a_defect_comes_in_the_envelope() {
        check("/panic", (StatusCode::INTERNAL_SERVER_ERROR, 1000)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_hangs_for_ever() {
        check("/hang", (StatusCode::SERVICE_UNAVAILABLE, 1010)).await;
    }
}
