//! Upgrade at `/conn`: checks of origin and limits, the handshake, and the start of a connection.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CONNECTION, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use hyper::body::Body as _;
use hyper_util::rt::TokioIo;
use shared::web::headers::{all, has_token};
use shared::web::{Credentials, ErrorCode, HttpStream, guarded, is_own_page};
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use crate::connection::Services;
use crate::health::Health;

/// The sub-protocols, best first. They do not decide the version; CONNECT does.
const PROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// Seconds after which a refused client may come back.
const RETRY_AFTER_SECONDS: &str = "1";

/// The one version of the protocol there is (RFC 6455).
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// An upgrade has no body.
const BODY_BYTES_MAX: usize = 0;

/// What an upgrade is checked against.
#[derive(Clone, Debug)]
pub struct Upgrades {
    /// Serves the connection.
    pub services: Arc<Services>,
    /// Pages of these origins may use a member's cookies; the server's own origin always may.
    pub allowed_origins: Arc<[String]>,
    /// Whether clients are still taken in.
    pub health: Arc<Health>,
}

/// `/conn`.
pub fn router(upgrades: Upgrades) -> Router {
    let route = Router::new().route("/conn", get(upgrade));
    guarded(route, BODY_BYTES_MAX).with_state(upgrades)
}

async fn upgrade(State(upgrades): State<Upgrades>, mut request: Request) -> Response {
    let services = &upgrades.services;
    let credentials = Credentials::from_headers(request.headers());
    if upgrades.forbids(request.headers(), &credentials) {
        count_refused(services, "origin");
        return ErrorCode::Forbidden.into_response();
    }
    let mut response = match handshake(&request) {
        Ok(response) => response,
        Err(refusal) => {
            count_refused(services, "request");
            let mut response = refusal.into_response();
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
            if refusal == ErrorCode::WebSocketVersion {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            return response;
        }
    };
    if services.drain.soft().is_cancelled() || !upgrades.health.takes_clients() {
        return refuse(services, "draining");
    }
    let Some(permit) = services.admit() else {
        return refuse(services, "limit");
    };
    if let Some(protocol) = chosen_protocol(request.headers()) {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let on_upgrade = hyper::upgrade::on(&mut request);
    let drain = services.drain.clone();
    let spawner = drain.clone();
    // Two tasks: the first one's memory, which held the request, is freed once the socket is ours.
    drop(drain.spawn("upgrade", async move {
        let Ok(upgraded) = on_upgrade.await else {
            return;
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<HttpStream>>() else {
            return;
        };
        let Some(tcp) = parts.io.into_inner().into_tcp() else {
            return;
        };
        let early = Box::from(&*parts.read_buf);
        drop(parts.read_buf); // or every connection would keep hyper's buffer
        let connection = Services::serve(permit, tcp, early, credentials);
        drop(spawner.spawn("connection", connection));
    }));
    response
}

fn refuse(services: &Services, reason: &'static str) -> Response {
    count_refused(services, reason);
    // A balancer would send the next client on the same connection, and one that stays open takes
    // the slot of one that could be served.
    let headers = [(RETRY_AFTER, RETRY_AFTER_SECONDS), (CONNECTION, "close")];
    (headers, ErrorCode::Unavailable).into_response()
}

fn count_refused(services: &Services, reason: &'static str) {
    let refused = &services.metrics.connections_refused;
    refused.with_label_values(&[reason]).inc();
}

/// The answer to a correct upgrade request (RFC 6455 §4.2), or the error for another. Its headers
/// are lists, on however many lines, and the library reads the plain form only.
fn handshake(request: &Request) -> Result<Response, ErrorCode> {
    let headers = request.headers();
    let is_upgrade = has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket")
        && request.body().is_end_stream();
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (true, Some(key), None) = (is_upgrade, keys.next(), keys.next()) else {
        return Err(ErrorCode::InvalidParameter);
    };
    let mut versions = all(headers, &SEC_WEBSOCKET_VERSION);
    match (versions.next(), versions.next()) {
        (Some(b"13"), None) => {}
        (Some(_), _) => return Err(ErrorCode::WebSocketVersion),
        (None, _) => return Err(ErrorCode::InvalidParameter),
    }
    let mut head = http::Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    let plain = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, VERSION),
        (SEC_WEBSOCKET_KEY, key.clone()),
    ];
    head.headers_mut().extend(plain);
    let response = create_response(&head).map_err(|_wrong| ErrorCode::InvalidParameter)?;
    Ok(response.map(|()| Body::empty()))
}

/// The best of the sub-protocols that the client offers. None is chosen where none was offered.
fn chosen_protocol(headers: &HeaderMap) -> Option<&'static str> {
    let offered = |protocol: &&str| {
        all(headers, &SEC_WEBSOCKET_PROTOCOL).any(|name| name == protocol.as_bytes())
    };
    PROTOCOLS.into_iter().find(offered)
}

impl Upgrades {
    /// A browser sends cookies along from any page, so with cookies the page must be one of ours
    /// (cross-site WebSocket hijacking, RFC 6455 §10.2). Programs send no Origin.
    fn forbids(&self, headers: &HeaderMap, credentials: &Credentials) -> bool {
        let is_page = credentials.has_cookies() && headers.contains_key(ORIGIN);
        is_page && !is_own_page(headers, &self.allowed_origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offered: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in offered {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(SEC_WEBSOCKET_PROTOCOL, value);
        }
        assert_eq!(chosen_protocol(&headers), expected, "{offered:?}");
    }

    #[test]
    fn the_best_offered_sub_protocol_is_chosen() {
        check(&[], None);
        check(&["v10.stomp, v11.stomp, v12.stomp"], Some("v12.stomp"));
        check(&["v10.stomp,v11.stomp"], Some("v11.stomp"));
        check(&["v10.stomp", "v12.stomp"], Some("v12.stomp"));
        check(&["mqtt, v12.stomp"], Some("v12.stomp"));
        check(&["김, v11.stomp ,", "mqtt"], Some("v11.stomp"));
        check(&["mqtt"], None);
    }
}
