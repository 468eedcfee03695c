//! The upgrade at `/conn`: who may open a WebSocket, and handing the socket to a connection.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{CONNECTION, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use shared::web::{Credentials, is_own_page};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use crate::connection::{Permit, Services};
use crate::health::Health;

/// The sub-protocols, best first. They do not decide the version; CONNECT does.
const PROTOCOLS: [&str; 3] = ["v12.stomp", "v11.stomp", "v10.stomp"];

/// Seconds after which a refused client may come back.
const RETRY_AFTER_SECONDS: &str = "1";

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
    Router::new()
        .route("/conn", any(upgrade))
        .with_state(upgrades)
}

async fn upgrade(State(upgrades): State<Upgrades>, mut request: Request) -> Response {
    let services = &upgrades.services;
    let credentials = Credentials::from_headers(request.headers());
    if let Some(reason) = upgrades.forbids(request.headers(), &credentials) {
        services
            .metrics
            .connections_refused
            .with_label_values(&["origin"])
            .inc();
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    let mut response = match handshake(&request) {
        Ok(response) => response,
        Err(reason) => {
            services
                .metrics
                .connections_refused
                .with_label_values(&["request"])
                .inc();
            return (StatusCode::BAD_REQUEST, reason).into_response();
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
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return;
        };
        let early = parts.read_buf.to_vec();
        let tcp = parts.io.into_inner();
        drop(parts.read_buf); // or every connection would keep hyper's buffer
        drop(spawner.spawn("connection", serve(permit, tcp, early, credentials)));
    }));
    response
}

async fn serve(permit: Permit, tcp: TcpStream, early: Vec<u8>, credentials: Credentials) {
    Services::serve(permit, tcp, early, credentials).await;
}

fn refuse(services: &Services, reason: &'static str) -> Response {
    services
        .metrics
        .connections_refused
        .with_label_values(&[reason])
        .inc();
    (
        StatusCode::SERVICE_UNAVAILABLE,
        // A balancer would send the next client on the same connection, and one that stays open
        // takes the place of one that could be served.
        [(RETRY_AFTER, RETRY_AFTER_SECONDS), (CONNECTION, "close")],
        reason,
    )
        .into_response()
}

/// The answer to a correct upgrade request (RFC 6455 §4.2), or what is wrong with it.
fn handshake(request: &Request) -> Result<Response, String> {
    let mut head = http::Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    let response = create_response(&head).map_err(|error| error.to_string())?;
    Ok(response.map(|()| Body::empty()))
}

/// The best of the sub-protocols that the client offers. None is chosen where none was offered.
fn chosen_protocol(headers: &HeaderMap) -> Option<&'static str> {
    let offered = |protocol: &&str| {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut names = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|v| v.split(','));
        names.any(|name| name.trim() == *protocol)
    };
    PROTOCOLS.into_iter().find(offered)
}

impl Upgrades {
    /// A browser sends cookies along from any page, so with cookies the page must be one of ours
    /// (cross-site WebSocket hijacking, RFC 6455 §10.2). Programs send no Origin.
    fn forbids(&self, headers: &HeaderMap, credentials: &Credentials) -> Option<&'static str> {
        let cookies = credentials.access_cookie.is_some() || credentials.refresh_cookie.is_some();
        headers.get(ORIGIN).filter(|_| cookies)?;
        let ours = is_own_page(headers, &self.allowed_origins);
        (!ours).then_some("this origin may not use cookies here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offered: &[&'static str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in offered {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
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
        check(&["mqtt"], None);
    }
}
