//! Connections: one task each, from the upgraded socket to the last byte.
//!
//! A connection's task is an `Actor`: `actor` has its loop and its times, `effects` carries out the
//! outputs of the STOMP session, `send` those that store messages. Its state is in parts that own
//! their fields. A file uses only files further down:
//!
//! | file | contents |
//! |---|---|
//! | `effects`, `send`, `transaction` | outputs of the session; SEND and COMMIT |
//! | `actor` | the task |
//! | `subscriptions` | state: the subscriptions, their turns, the page being read |
//! | `in_flight` | state: the frame being worked on, sends without an outcome |
//! | `closing`, `migration` | state: the end of the connection; its move to another node |
//! | `liveness` | state: pings, time limits, idle input |
//! | `login` | state: identity and its end |
//! | `delivery`, `page`, `unstored` | messages from the ring, from the store, from neither |
//! | `subscribe` | permission and start position of a subscription |
//! | `control` | commands of administrators and of other nodes |
//! | `services` | what connections share |
//! | `registry`, `drain_schedule` | the list of all connections; when they move |
//! | `socket`, `readiness` | WebSocket; whether its TCP connection is worth polling |
//! | `idle_budget`, `limiter` | idle input; rate of sends |
//! | `permission` | permission to write into a room, and how long a connection keeps it |
//! | `message`, `error` | SEND to draft; error codes |

mod actor;
mod closing;
mod control;
mod delivery;
mod drain_schedule;
mod effects;
mod error;
mod idle_budget;
mod in_flight;
mod limiter;
mod liveness;
mod login;
mod message;
mod migration;
mod page;
mod permission;
mod readiness;
mod registry;
mod send;
mod services;
mod socket;
mod subscribe;
mod subscriptions;
mod transaction;
mod unstored;

use std::sync::Arc;

use shared::web::Credentials;
use tokio::net::TcpStream;

use crate::wake_queue::{CloseReason, ConnectionEvent};

use actor::Actor;
use registry::ConnectionEntry;
use socket::Socket;

pub use control::{MEMBERS_TICK, NodeControl, NodeControlParts, PendingChecks};
pub use drain_schedule::DrainSchedule;
pub use registry::{Connections, ConnectionsSurvey, SlowConnection};
pub use services::{ConnectionConfig, Permit, Services};

/// A connection's entry in the list of all; dropping it removes the entry.
#[derive(Debug)]
struct Registration {
    permit: Permit,
    entry: Arc<ConnectionEntry>,
}

impl Services {
    /// Serves an upgraded socket to its end. `early` was received after the upgrade request, which
    /// carried `credentials`.
    ///
    /// Not an async function: its arguments would stay in the task's memory beside what they became.
    pub fn serve(
        permit: Permit,
        tcp: TcpStream,
        early: Box<[u8]>,
        credentials: Credentials,
    ) -> impl Future<Output = ()> + Send + use<> {
        let services = Arc::clone(&permit.services);
        services.metrics.connections_opened.inc();
        let registration = Registration::new(permit);
        let entry = &registration.entry;
        services.connections.migrate_late(services.seed, entry);
        if services.drain.soft().is_cancelled() {
            // All connections may have been closed just before this one was in the list.
            let close = ConnectionEvent::Close(CloseReason::RESTART);
            entry.wake_queue().post(close);
        }
        // A whole STOMP frame may come in one message; the session refuses it with an ERROR if it
        // is a little too large, so the WebSocket lets a little more pass.
        let message_bytes_max = services
            .session
            .after_login
            .frame_bytes_max
            .saturating_mul(2);
        let socket = Socket::new(tcp, early, message_bytes_max);
        let mut actor = Actor::new(services, entry, socket, credentials);
        async move {
            let code = actor.run().await;
            let closed = &actor.services.metrics.connections_closed;
            closed.with_label_values(&[code]).inc();
            drop(registration);
        }
    }

    /// Closes all connections, each after its sends in flight.
    pub fn close_all(&self, reason: CloseReason) {
        for entry in self.connections.all() {
            entry.wake_queue().post(ConnectionEvent::Close(reason));
        }
    }

    /// Moves all connections to other nodes, those here and those on their way here, each at its
    /// time.
    pub fn migrate_all(&self, schedule: DrainSchedule) {
        self.connections.migrate_all(self.seed, schedule);
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
        let services = &self.permit.services;
        services
            .connections
            .remove(&self.entry, &*services.presence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function returns.
    fn returned<A, B, C, D, R>(_: impl FnOnce(A, B, C, D) -> R) -> usize {
        size_of::<R>()
    }

    #[test]
    fn a_task_holds_its_connection_once() {
        let (task, actor) = (returned(Services::serve), size_of::<Actor>());
        assert!(task < actor + 512, "{task} bytes for {actor}");
    }
}
