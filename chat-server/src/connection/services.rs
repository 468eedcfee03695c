//! What connections share: the services of the node, the bounds, and the permits that keep their
//! number within them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::drain::Drain;
use stomp::SessionConfig;

use super::registry::Connections;
use crate::append::Appender;
use crate::auth::Authenticator;
use crate::hub::Hub;
use crate::inbox::Inboxes;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::rooms::Rooms;
use crate::store::MessageStore;

/// Bounds and times of connections.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Connections of this node.
    pub connections_max: usize,
    /// Characters of a chat message.
    pub message_chars_max: usize,
    /// Time without any progress in writing after which a connection is closed.
    pub send_time_limit: Duration,
    /// Time without input after which the peer is pinged; after as long again without input the
    /// connection is given up.
    pub ping_interval: Duration,
    /// Sends per second, with a burst of five times as many; `None`: unlimited.
    pub sends_per_second: Option<NonZeroU32>,
    /// A connection that logged in by cookie ends at this age at the latest.
    pub age_max: Duration,
    /// Age at which a client that subscribes to `/user/queue/system` is moved to another node, a
    /// quarter more or less; zero: never.
    pub rebalance_age: Duration,
    /// Time that such a client has for the move.
    pub rebalance_margin: Duration,
    /// Whether a room's subscription without a position begins at the read mark.
    pub replay_unread: bool,
    /// Connections of one member on this node.
    pub member_connections_max: usize,
    /// Whether a client that does not subscribe to `/user/queue/system` gets an ERROR before a
    /// planned close.
    pub close_with_error: bool,
}

/// Everything connections use.
#[derive(Debug)]
pub struct Services {
    /// Bounds and times.
    pub config: ConnectionConfig,
    /// The same for STOMP.
    pub session: Arc<SessionConfig>,
    /// Topics with subscriptions here.
    pub hub: Hub,
    /// Stores sends.
    pub appender: Arc<Appender>,
    /// Permission to read and write rooms.
    pub rooms: Arc<Rooms>,
    /// Account status.
    pub members: Arc<Members>,
    /// Members with connections, on all nodes.
    pub presence: Arc<dyn Presence>,
    /// Notifications and alarms.
    pub inboxes: Arc<Inboxes>,
    /// Verifies tokens.
    pub auth: Arc<Authenticator>,
    /// Read by subscriptions that are behind the ring.
    pub store: Arc<dyn MessageStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Waits for connections when the node stops.
    pub drain: Drain,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The list of all connections.
    pub connections: Arc<Connections>,
    /// Seeds the schedules of drains and rebalancing; another one on each node and at each start.
    pub seed: u64,
}

/// The right to one connection; dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    pub(super) services: Arc<Services>,
}

impl Services {
    /// The right to one more connection, unless there are too many.
    #[must_use]
    pub fn admit(self: &Arc<Self>) -> Option<Permit> {
        let is_free = self.connections.reserve(self.config.connections_max);
        is_free.then(|| Permit {
            services: Arc::clone(self),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.services.connections.release();
    }
}
