//! REST: routes for clients beside the socket, for the market, and for operators.
//!
//! Routes and their OpenAPI are both made from the handlers' `#[utoipa::path]`, so every route is
//! documented. The JSON shapes are those of the first front end.

mod admin;
mod docs;
mod error;
mod events;
mod extract;
mod internal;
mod messages;
mod notifications;
mod ops;
mod preferences;
mod push;
mod rooms;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use shared::web;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Authenticator;
use crate::connection::{Connections, NodeControl};
use crate::events::Events;
use crate::health::Health;
use crate::hub::Hub;
use crate::inbox::Inboxes;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::push::Push;
use crate::rooms::Rooms;
use crate::stopping::Stop;

/// 64 KiB: the longest body of a client is a few hundred bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// 4 MiB: a room of 1,000 members with the longest names and pictures, or 200 events.
const ROOM_BYTES_MAX: usize = 4 << 20;

/// Shared state of the handlers.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// Rooms, messages, marks.
    pub rooms: Arc<Rooms>,
    /// Account status of members.
    pub members: Arc<Members>,
    /// Members with connections, on all nodes.
    pub presence: Arc<dyn Presence>,
    /// Notifications and alarms.
    pub inboxes: Arc<Inboxes>,
    /// Receiver of the market's events.
    pub events: Arc<Events>,
    /// Push notifications, and what members want of them.
    pub push: Push,
    /// Open connections.
    pub connections: Arc<Connections>,
    /// Carries out control messages of operators.
    pub node_control: Arc<NodeControl>,
    /// Topics with subscribers.
    pub hub: Hub,
    /// Authentication of requests.
    pub auth: Arc<Authenticator>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Pages of these origins may call with a member's cookies; the server's own origin always may.
    pub allowed_origins: Arc<[String]>,
    /// Readiness.
    pub health: Arc<Health>,
    /// For the line in the log.
    pub log: web::Log,
}

/// What clients call, with its documentation at `/docs/chat`. It answers unknown paths, too: reset
/// the fallback to merge it with a router that has one.
pub fn public_router(state: HttpState) -> Router {
    let (routes, document) = public_routes().split_for_parts();
    let routes = routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let routes = routes.fallback(web::unknown_path);
    let guarded = web::guarded(routes, BODY_BYTES_MAX);
    let cors = web::cors(&state.allowed_origins);
    let logged = web::logged(guarded.layer(cors), state.log.clone());
    logged.with_state(state).merge(docs::router(document))
}

/// What the market calls, with a service's token. Never public.
pub fn internal_router(state: HttpState) -> Router {
    let (routes, _) = internal_routes().split_for_parts();
    let routes = routes.layer(DefaultBodyLimit::max(ROOM_BYTES_MAX));
    let guarded = web::guarded(routes, ROOM_BYTES_MAX);
    web::logged(guarded, state.log.clone()).with_state(state)
}

/// Routes for operators and balancers. Never public. Not logged: balancers poll every second.
pub fn admin_router(state: HttpState) -> Router {
    let (routes, _) = admin_routes().split_for_parts();
    web::guarded(routes, BODY_BYTES_MAX).with_state(state)
}

/// The route that stops this node. Never public, and not where clients and operators share a port.
pub fn stop_router(state: HttpState, stop: Stop) -> Router {
    let (routes, _) = stop_routes().split_for_parts();
    let health = state.health;
    web::guarded(routes, BODY_BYTES_MAX).with_state(ops::StopState { health, stop })
}

fn public_routes() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(docs::public())
        .routes(routes!(rooms::list))
        .routes(routes!(rooms::members))
        .routes(routes!(messages::history))
        .routes(routes!(messages::mark_read))
        .routes(routes!(messages::delete))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::unread_count))
        .routes(routes!(notifications::mark_read))
        .routes(routes!(notifications::delete))
        .routes(routes!(push::save_token))
        .routes(routes!(push::remove_token))
        .routes(routes!(push::subscribe, push::unsubscribe))
        .routes(routes!(push::vapid_key))
        .routes(routes!(preferences::get, preferences::put))
        .routes(routes!(preferences::mute, preferences::unmute))
}

fn internal_routes() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(docs::internal())
        .routes(routes!(internal::put_room))
        .routes(routes!(internal::create_room))
        .routes(routes!(internal::message))
        .routes(routes!(events::take))
}

fn admin_routes() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(docs::internal())
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::live))
        .routes(routes!(ops::ready))
        .routes(routes!(ops::started))
        .routes(routes!(admin::connections))
        .routes(routes!(admin::topics))
        .routes(routes!(admin::disconnect))
        .routes(routes!(admin::block))
        .routes(routes!(admin::unblock))
}

fn stop_routes() -> OpenApiRouter<ops::StopState> {
    OpenApiRouter::with_openapi(docs::internal()).routes(routes!(ops::drain))
}

/// The OpenAPI of everything that the internal, the admin and the stop router answer.
#[must_use]
pub fn internal_document() -> utoipa::openapi::OpenApi {
    let mut document = internal_routes().merge(admin_routes()).into_openapi();
    document.merge(stop_routes().into_openapi());
    document
}

/// The OpenAPI of the public router.
#[must_use]
pub fn public_document() -> utoipa::openapi::OpenApi {
    public_routes().into_openapi()
}
