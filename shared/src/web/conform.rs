//! Outermost layer: checks each request before routing and completes each response.
//!
//! It also covers unknown routes and responses that a framework makes by itself: request id,
//! envelope, cache headers, `nosniff`. Limits of handlers are in `guard`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    EXPECT, HOST, IF_NONE_MATCH, RETRY_AFTER, TRANSFER_ENCODING, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use hyper::body::Body as _;
use tower::ServiceExt as _;

use super::codes::ErrorCode;
use super::cors::CrossOrigin;
use super::error::ApiError;
use super::guard::RETRY_AFTER_SECONDS;
use super::headers::{self, has_token, is_known, last, media_type};
use super::hosts::Hosts;
use super::request_id::{REQUEST_ID, RequestIds, named};

/// Methods that a page may use on any route of this server.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Settings of the layer.
#[derive(Debug)]
pub(super) struct Rules {
    /// Ids for requests that come without one.
    pub(super) ids: Arc<RequestIds>,
    /// The names that this server answers to; `None` is any.
    pub(super) hosts: Option<Hosts>,
    /// CORS for errors of these rules.
    pub(super) cors: Option<CrossOrigin>,
}

/// The answer to a request.
pub(super) async fn conform(router: Router, mut request: Request, rules: &Rules) -> Response {
    let name = named(request.headers()).unwrap_or_else(|| rules.ids.next());
    request.headers_mut().insert(REQUEST_ID, name.clone());
    let known = known(&request);
    let is_options = request.method() == Method::OPTIONS;
    let response = match check(&mut request, rules) {
        Ok(()) => {
            let Ok(response) = router.oneshot(request).await;
            response
        }
        Err(response) => match &rules.cors {
            Some(cors) => cors.add_headers(request, *response).await,
            None => *response,
        },
    };
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => response,
        StatusCode::OK => complete(unless_known(response, known), name),
        StatusCode::NO_CONTENT if is_options => complete(with_options(response), name),
        _ => complete(response, name),
    }
}

/// The `If-None-Match` headers of a request that may be answered with 304.
fn known(request: &Request) -> Option<HeaderMap> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let tags = request.headers().get_all(IF_NONE_MATCH).iter();
    let tags: HeaderMap = tags.map(|tag| (IF_NONE_MATCH, tag.clone())).collect();
    Some(tags).filter(|tags| is_read && !tags.is_empty())
}

/// Answers 304 if the client has this version already.
fn unless_known(mut response: Response, known: Option<HeaderMap>) -> Response {
    let tag = response.headers().get(ETAG);
    let is_known = tag
        .zip(known)
        .is_some_and(|(tag, known)| is_known(&known, tag));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// Checks a request before routing, and moves its host to the `Host` header, whatever form it came
/// in.
fn check(request: &mut Request, rules: &Rules) -> Result<(), Box<Response>> {
    let refuse = |code: ErrorCode| Box::new(last(code.into_response()));
    let host = host(request).map_err(|()| refuse(ErrorCode::InvalidParameter))?;
    check_body(request)?;
    if !headers::all(request.headers(), &EXPECT)
        .all(|value| value.eq_ignore_ascii_case(b"100-continue"))
    {
        let error = ApiError::of_status(StatusCode::EXPECTATION_FAILED);
        return Err(Box::new(last(error.into_response())));
    }
    if let Some(hosts) = &rules.hosts {
        let is_own = host.as_ref().is_some_and(|host| hosts.contain(host));
        // HTTP/1.0 may omit the host; no browser uses it.
        if !is_own && (host.is_some() || request.version() == Version::HTTP_11) {
            return Err(refuse(ErrorCode::HostUnknown));
        }
    }
    match (request.uri().path(), request.method()) {
        (_, &Method::CONNECT) => Err(refuse(ErrorCode::NotImplemented)),
        ("*", &Method::OPTIONS) => {
            let answer = (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]);
            Err(Box::new(answer.into_response()))
        }
        (path, _) if !path.starts_with('/') => Err(refuse(ErrorCode::InvalidParameter)),
        _ => Ok(()),
    }
}

/// The one host that the request names: in its target, else in its header (RFC 9112, 3.2).
fn host(request: &mut Request) -> Result<Option<Authority>, ()> {
    let mut named = request.headers().get_all(HOST).iter();
    let header = match (named.next(), named.next()) {
        (Some(one), None) => Some(Authority::try_from(one.as_bytes()).map_err(drop)?),
        (None, _) if request.version() < Version::HTTP_11 => None,
        (None, _) | (Some(_), Some(_)) => return Err(()),
    };
    let target = request.uri().authority().cloned();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), None | Some("http" | "https"));
    if !is_http(request.uri()) {
        return Err(());
    }
    let Some(host) = target.or(header) else {
        return Ok(None);
    };
    if !is_host(&host) {
        return Err(());
    }
    let value = HeaderValue::from_str(host.as_str()).map_err(drop)?;
    request.headers_mut().insert(HOST, value);
    Ok(Some(host))
}

/// Whether this is a host and perhaps a port: the parser also accepts users, and any text as a
/// port.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host);
    let is_port = rest.is_some_and(|rest| match rest.strip_prefix(':') {
        None => rest.is_empty(),
        Some("") => true,
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    });
    !host.is_empty() && is_port
}

/// Refuses transfer and content codings other than chunked.
fn check_body(request: &Request) -> Result<(), Box<Response>> {
    let headers = request.headers();
    let mut transfer = headers::all(headers, &TRANSFER_ENCODING);
    let is_chunks_only = match (transfer.next(), transfer.next()) {
        (None, _) => true,
        (Some(one), None) => one.eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if !is_chunks_only {
        return Err(Box::new(last(ErrorCode::NotImplemented.into_response())));
    }
    let is_plain = headers::all(headers, &CONTENT_ENCODING)
        .all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    if !is_plain && !request.body().is_end_stream() {
        let mut response = last(ErrorCode::UnsupportedBody.into_response());
        let identity = HeaderValue::from_static("identity");
        response.headers_mut().insert(ACCEPT_ENCODING, identity);
        return Err(Box::new(response));
    }
    Ok(())
}

/// Adds the headers of every response.
fn complete(response: Response, name: HeaderValue) -> Response {
    let mut response = in_envelope(response);
    let status = response.status();
    let headers: &mut HeaderMap = response.headers_mut();
    let mut add = |header: HeaderName, value: &'static str| {
        headers
            .entry(header)
            .or_insert(HeaderValue::from_static(value));
    };
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(CACHE_CONTROL, "no-store");
    if status == StatusCode::UNAUTHORIZED {
        add(WWW_AUTHENTICATE, "Bearer");
    }
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        headers.entry(RETRY_AFTER).or_insert(RETRY_AFTER_SECONDS);
    }
    headers.entry(REQUEST_ID).or_insert(name);
    response
}

/// Adds OPTIONS to `Allow`: it works on every path, and routers do not list it.
fn with_options(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let is_named = has_token(headers, &ALLOW, "OPTIONS");
    let others = headers.get(ALLOW).and_then(|allow| allow.to_str().ok());
    let all = others.map(|others| HeaderValue::try_from(format!("{others},OPTIONS")));
    if let Some(Ok(all)) = all
        && !is_named
    {
        headers.insert(ALLOW, all);
    }
    response
}

/// Replaces the body of an error that no handler of ours made by the envelope.
fn in_envelope(response: Response) -> Response {
    let status = response.status();
    let is_failure = status.is_client_error() || status.is_server_error();
    let is_json = media_type(response.headers()).is_some_and(|kind| {
        kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
    });
    if !is_failure || is_json {
        return response;
    }
    let mut told = ApiError::of_status(status).into_response();
    let mut headers = response.headers().clone();
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_ENCODING);
    headers.remove(TRANSFER_ENCODING);
    told.headers_mut().extend(headers);
    told
}
