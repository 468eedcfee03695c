//! Connections: one task each, from the upgraded socket to the last byte.
//!
//! `actor` has the one loop and `time` its clockwork; `effects` carries out what the session
//! wants, in `sending` and `hearing`; `registry` is the list of all, and `orders` finds those in it
//! that have to go; `subscribe` finds where a subscription begins and `delivery` moves its messages
//! from the topic, or from a `page` of the log, to the socket. `retire` sends clients to other nodes,
//! and `farewell` is how connections end.

mod actor;
mod closing;
mod control;
mod delivery;
mod effects;
mod failure;
mod limiter;
mod message;
mod meter;
mod migrate;
mod page;
mod registry;
mod send;
mod socket;
mod subscribe;
mod subscriptions;
mod time;
mod transaction;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::clock::Clock;
use shared::drain::Drain;
use shared::web::Credentials;
use stomp::{CloseCode, SessionConfig};
use tokio::net::TcpStream;

use crate::append::Appender;
use crate::auth::Authenticator;
use crate::hub::Hub;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::rooms::Rooms;
use crate::store::MessageStore;
use crate::wake_queue::ConnectionEvent;

pub use control::{MEMBERS_TICK, NodeControl, NodeControlParts, PendingChecks};
pub use migrate::DrainSchedule;
use registry::ConnectionEntry;
pub use registry::{Connections, ConnectionsSurvey, SlowConnection};

/// How connections end when the node stops: 1012, registered for a restart.
const RESTART: (CloseCode, &str) = (CloseCode(1012), "restart");

/// What connections may do and how long they may take.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Connections of this node.
    pub connections_max: usize,
    /// Characters of a chat message.
    pub message_chars_max: usize,
    /// Without any progress in writing for so long, a connection is closed.
    pub send_time_limit: Duration,
    /// After so long without a sign of life a ping is sent; after as long again the connection is
    /// given up.
    pub ping_interval: Duration,
    /// Sends a second, with a burst of five times as many; `None`: as many as come.
    pub sends_per_second: Option<NonZeroU32>,
    /// A connection that logged in by cookie ends at this age at the latest.
    pub age_max: Duration,
    /// Age at which a connection that can be told to is asked to come again, a quarter more or less;
    /// zero: never.
    pub rebalance_age: Duration,
    /// How long it may then take; nothing hurries.
    pub rebalance_margin: Duration,
    /// Whether a room's subscription without a position begins at the read mark.
    pub replay_unread: bool,
    /// Connections that a member may have on this node.
    pub member_connections_max: usize,
    /// Whether a connection that does not listen for it is told by an ERROR that it is to come again.
    pub close_with_error: bool,
}

/// Everything connections use.
#[derive(Debug)]
pub struct Services {
    /// Bounds and times.
    pub config: ConnectionConfig,
    /// The same for STOMP.
    pub session: Arc<SessionConfig>,
    /// Live topics.
    pub hub: Hub,
    /// Takes sends.
    pub appender: Arc<Appender>,
    /// Who may read and write.
    pub rooms: Arc<Rooms>,
    /// Who may use the site.
    pub members: Arc<Members>,
    /// Who somebody is.
    pub auth: Arc<Authenticator>,
    /// For subscriptions that are behind.
    pub store: Arc<dyn MessageStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Waits for connections when the node stops.
    pub drain: Drain,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// What chance is drawn from: tells nodes and starts apart.
    pub seed: u64,
}

/// The right to one connection; dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    services: Arc<Services>,
}

/// A connection's entry; dropping it takes it off the list.
#[derive(Debug)]
struct Registration {
    permit: Permit,
    entry: Arc<ConnectionEntry>,
}

impl Services {
    /// The right to one more connection, unless there are too many.
    #[must_use]
    pub fn admit(self: &Arc<Self>) -> Option<Permit> {
        let max = self.config.connections_max;
        let one_more = |count: usize| (count < max).then_some(count + 1);
        let count = &self.connections.count;
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Permit {
            services: Arc::clone(self),
        })
    }

    /// Serves an upgraded socket to its end. `early` came behind the upgrade request, which carried
    /// `credentials`.
    pub async fn serve(permit: Permit, tcp: TcpStream, early: Vec<u8>, credentials: Credentials) {
        let services = Arc::clone(&permit.services);
        services.metrics.connections_opened.inc();
        let registration = Registration::new(permit);
        services.migrate_late(&registration.entry);
        if services.drain.soft().is_cancelled() {
            // The connections may have been told just before this one was on the list.
            let (code, reason) = RESTART;
            let wake_queue = registration.entry.wake_queue();
            wake_queue.post(ConnectionEvent::Close { code, reason });
        }
        // A whole STOMP frame may come in one message; the session refuses it with an ERROR if it
        // is a little too large, so the WebSocket lets a little more pass.
        let message_bytes_max = services
            .session
            .after_login
            .frame_bytes_max
            .saturating_mul(2);
        let socket = socket::Socket::new(tcp, early, message_bytes_max).await;
        let mut actor = actor::Actor::new(
            Arc::clone(&services),
            &registration.entry,
            socket,
            credentials,
        );
        let code = actor.run(registration.entry.id()).await;
        services
            .metrics
            .connections_closed
            .with_label_values(&[code])
            .inc();
    }

    /// Asks all connections to close, each after what it has under way.
    pub fn close_all(&self, code: CloseCode, reason: &'static str) {
        for entry in self.connections.all() {
            entry
                .wake_queue()
                .post(ConnectionEvent::Close { code, reason });
        }
    }
}

impl Registration {
    fn new(permit: Permit) -> Self {
        let services = &permit.services;
        let entry = services.connections.add(services.clock.now());
        Self { permit, entry }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.permit.services.connections.remove(&self.entry);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let connections = &self.services.connections;
        if connections.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            connections.emptied.notify_waiters();
        }
    }
}
