//! CORS: the other origins whose pages may call.
//!
//! The layer of `tower-http` answers every OPTIONS by itself. Here an OPTIONS that is not a
//! preflight passes on to the routes, which list the methods of a path.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderValue, Method};
use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, Cors, CorsLayer};

use super::request_id::REQUEST_ID;

/// How long a browser may remember what a page is allowed to do.
const CORS_AGE: Duration = Duration::from_secs(600);

/// Pages of these origins may call with cookies, and read the response. Which headers they may send
/// is not restricted: none of them means more than a cookie does.
#[must_use]
pub fn cors(allowed: &[String]) -> CrossOrigin {
    let origins = allowed.iter().filter_map(|origin| origin.parse().ok());
    let origins: Vec<HeaderValue> = origins.collect();
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID])
        .max_age(CORS_AGE);
    CrossOrigin(cors)
}

/// The layer that [`cors`] makes.
#[derive(Clone, Debug)]
pub struct CrossOrigin(CorsLayer);

impl CrossOrigin {
    /// Adds the CORS headers to a response made before the routes, except one to OPTIONS, which the layer would
    /// answer itself.
    pub(super) async fn add_headers(&self, request: Request, response: Response) -> Response {
        if request.method() == Method::OPTIONS {
            return response;
        }
        let mut made = Some(response);
        let respond = service_fn(move |_: Request| {
            let response = made.take().unwrap_or_default();
            ready(Ok::<_, Infallible>(response))
        });
        let Ok(response) = self.0.layer(respond).oneshot(request).await;
        response
    }
}

impl<S> Layer<S> for CrossOrigin {
    type Service = CrossOriginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CrossOriginService(self.0.layer(inner))
    }
}

/// Routes with [`CrossOrigin`] around them.
#[derive(Clone, Debug)]
pub struct CrossOriginService<S>(Cors<S>);

impl<S> Service<Request> for CrossOriginService<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == Method::OPTIONS && !is_preflight(&request) {
            Box::pin(self.0.get_mut().call(request))
        } else {
            Box::pin(self.0.call(request))
        }
    }
}

/// Whether the request is a browser's preflight (Fetch, 4.8).
fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
