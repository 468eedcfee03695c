//! Routes of a node, and the task of its stop.
//!
//! It names no adapter.

use std::sync::Arc;

use axum::Router;

use super::Node;
use crate::http;
use crate::stopping::{Stop, Stopping};
use crate::transport::websocket::{self, Upgrades};

impl Node {
    /// Routes for clients: the WebSocket and REST.
    pub fn public_router(&self) -> Router {
        let services = Arc::clone(&self.services);
        let upgrades = Upgrades {
            services,
            allowed_origins: Arc::clone(&self.http.allowed_origins),
            health: Arc::clone(&self.http.health),
        };
        http::public_router(self.http.clone()).merge(websocket::router(upgrades))
    }

    /// Routes for the market and operators; never public.
    pub fn admin_router(&self) -> Router {
        let internal = http::internal_router(self.http.clone());
        internal.merge(http::admin_router(self.http.clone()).reset_fallback())
    }

    /// The route that stops this node at an operator's request; never public, and not logged.
    pub fn stop_router(&self, stop: &Stop) -> Router {
        http::stop_router(self.http.clone(), stop.clone())
    }

    /// Starts the task that runs the phases of a stop once it is requested.
    pub fn stop_by(&self, stop: &Stop) {
        let services = Arc::clone(&self.services);
        let drain = services.drain.clone();
        let stopping = Stopping {
            services,
            health: Arc::clone(&self.http.health),
            times: self.stop_times.clone(),
        };
        drop(drain.spawn("stopping", stopping.run(stop.clone())));
    }
}
