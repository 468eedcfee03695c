//! Construction of a node's parts from its adapters, whichever they are.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::drain::Drain;
use stomp::{Limits, SessionConfig};

use super::Stores;
use crate::append::{Appender, AppenderParts, RoomHeads, RoomHeadsParts};
use crate::auth::Authenticator;
use crate::bus::Bus;
use crate::config::Config;
use crate::connection::{
    ConnectionConfig, Connections, NodeControl, NodeControlParts, PendingChecks, Services,
};
use crate::hub::{Hub, HubParts};
use crate::inbox::{Inboxes, InboxesParts};
use crate::members::{Members, MembersParts};
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::push::Pusher;
use crate::rooms::{Rooms, RoomsParts};

/// The adapters of a node.
pub(super) struct Parts<'s> {
    pub(super) stores: &'s Stores,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) pusher: Pusher,
    pub(super) auth: Arc<Authenticator>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) drain: Drain,
    pub(super) metrics: Arc<Metrics>,
}

impl Parts<'_> {
    pub(super) fn services(self, config: &Config) -> (Services, NodeControl, PendingChecks) {
        let heads = room_heads(self.stores, &self.drain, &self.metrics);
        let hub = self.hub(&heads);
        let appender = Arc::new(self.appender(&heads, hub.clone()));
        let inboxes = Arc::new(self.inboxes(&appender, &hub));
        let Self {
            stores,
            bus,
            presence,
            pusher: _,
            auth,
            clock,
            drain,
            metrics,
        } = self;
        let messages = Arc::clone(&stores.messages);
        let rooms = Arc::clone(&stores.rooms);
        let members = Arc::clone(&stores.members);
        let rooms = Rooms::new(RoomsParts {
            rooms,
            messages: Arc::clone(&messages),
            heads,
            hub: hub.clone(),
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            random: StdRng::from_rng(&mut rand::rng()),
        });
        let (rooms, connections) = (Arc::new(rooms), Arc::<Connections>::default());
        let own_connections = Arc::clone(&connections);
        let members = Arc::new(Members::new(MembersParts {
            store: members,
            records: Arc::clone(&stores.records),
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            close: Box::new(move |ended| own_connections.end(&ended)),
        }));
        let (node_control, checks) = NodeControl::new(NodeControlParts {
            rooms: Arc::clone(&rooms),
            members: Arc::clone(&members),
            connections: Arc::clone(&connections),
            bus,
            metrics: Arc::clone(&metrics),
        });
        let services = Services {
            config: connection_config(config),
            session: Arc::new(session_config(config)),
            hub,
            appender,
            rooms,
            members,
            presence,
            inboxes,
            auth,
            store: messages,
            clock,
            drain,
            metrics,
            connections,
            seed: rand::random(),
        };
        (services, node_control, checks)
    }

    fn hub(&self, heads: &RoomHeads) -> Hub {
        Hub::new(HubParts {
            store: Arc::clone(&self.stores.messages),
            heads: heads.clone(),
            bus: Arc::clone(&self.bus),
            clock: Arc::clone(&self.clock),
            drain: self.drain.clone(),
            metrics: Arc::clone(&self.metrics),
        })
    }

    fn appender(&self, heads: &RoomHeads, hub: Hub) -> Appender {
        let pusher = self.pusher.clone();
        Appender::new(AppenderParts {
            store: Arc::clone(&self.stores.messages),
            heads: heads.clone(),
            bus: Arc::clone(&self.bus),
            clock: Arc::clone(&self.clock),
            drain: self.drain.clone(),
            metrics: Arc::clone(&self.metrics),
            stored: Box::new(move |topic, entries, wakers| hub.take_stored(topic, entries, wakers)),
            placed: Box::new(move |topic, seq, draft| pusher.offer_stored(topic, seq, draft)),
        })
    }

    fn inboxes(&self, appender: &Arc<Appender>, hub: &Hub) -> Inboxes {
        Inboxes::new(InboxesParts {
            messages: Arc::clone(&self.stores.messages),
            records: Arc::clone(&self.stores.records),
            appender: Arc::clone(appender),
            hub: hub.clone(),
            metrics: Arc::clone(&self.metrics),
        })
    }
}

fn room_heads(stores: &Stores, drain: &Drain, metrics: &Arc<Metrics>) -> RoomHeads {
    RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(&stores.rooms),
        messages: Arc::clone(&stores.messages),
        drain: drain.clone(),
        metrics: Arc::clone(metrics),
    })
}

fn connection_config(config: &Config) -> ConnectionConfig {
    ConnectionConfig {
        connections_max: config.limits.connections_max,
        message_chars_max: config.limits.message_chars_max,
        send_time_limit: config.limits.send_time_limit,
        ping_interval: config.limits.ping_interval,
        sends_per_second: config.limits.sends_limit(),
        age_max: config.limits.connection_age_max,
        rebalance_age: config.limits.rebalance.rebalance_age,
        rebalance_margin: config.limits.rebalance.rebalance_margin,
        replay_unread: config.limits.replay_unread,
        member_connections_max: config.limits.bounds.member_connections_max,
        close_with_error: config.limits.bounds.close_with_error,
    }
}

fn session_config(config: &Config) -> SessionConfig {
    SessionConfig {
        after_login: Limits {
            frame_bytes_max: config.limits.frame_bytes_max,
            ..Limits::after_login()
        },
        heart_beat: config.limits.heart_beat,
        login_timeout: config.limits.login_timeout,
        subscriptions_max: config.limits.bounds.subscriptions_max,
        ..SessionConfig::default()
    }
}
