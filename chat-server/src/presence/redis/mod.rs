//! Redis registry: per member a sorted set of the nodes that it is connected to, with their expiries.
//!
//! ```text
//! {prefix}:presence:{member:7}   node id → when the entry expires      (by the server's clock)
//!                                "online" → 0: the member was last announced as online
//! {prefix}:claim:{key}           expires by itself
//! ```
//! Nodes renew their entries long before they expire, so a node that died, a server that was emptied
//! and one that was away heal without anybody noticing them. Times are those of the Redis server,
//! read within each script: clocks of nodes may differ by more than an entry lives. A cluster's
//! servers may differ, too; each judges the keys that it set.
//!
//! Writes are queued, coalesced per member, and sent many at a time by one task (`session`); reads go
//! to the same connection beside them. Only `connection` names the client library, fred. It does not
//! notify nodes: they read.

mod connection;
mod members;
mod session;
mod status;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::clock::Clock;
use shared::drain::{Drain, Task};
use shared::ids::MemberId;
use shared::redis::RedisUrl;
use shared::redis::link::LinkError;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::connection::Command;
use self::members::Members;
use self::status::Status;
use super::changes::Changes;
use super::{GRACE, Presence, PresenceChange, PresenceError, PresenceState};
use crate::metrics::Metrics;

/// Members read by one pipeline: those of the largest room.
const READS_MAX: usize = 1_000;

/// A start waits so long for the registry: without it nodes work, too.
const OPEN_MAX: Duration = Duration::from_secs(1);

/// Time-outs and intervals of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceTuning {
    /// For a connection, with its login.
    pub connect_max: Duration,
    /// For the answer to any command.
    pub command_max: Duration,
    /// From one sign of life of an idle connection to the next.
    pub probe_every: Duration,
    /// The longest pause between two attempts to connect. The first is a fortieth.
    pub retry_max: Duration,
    /// From one renewal of a node's entries to the next.
    pub renew_every: Duration,
    /// Life of an entry without renewal. Three renewals, so that two may fail.
    pub ttl: Duration,
    /// See [`GRACE`].
    pub grace: Duration,
}

impl Default for PresenceTuning {
    fn default() -> Self {
        Self {
            connect_max: Duration::from_secs(3),
            command_max: Duration::from_secs(2),
            probe_every: Duration::from_secs(2),
            retry_max: Duration::from_secs(2),
            renew_every: Duration::from_secs(20),
            ttl: Duration::from_secs(60),
            grace: GRACE,
        }
    }
}

/// Dependencies and configuration of a [`RedisPresence`].
#[derive(Debug)]
pub struct RedisPresenceParts {
    /// The address of Redis.
    pub url: RedisUrl,
    /// File of certificates (PEM) that sign those of its servers; the system's without.
    pub ca: Option<PathBuf>,
    /// Prefix of all keys: nodes with the same one share a registry.
    pub prefix: String,
    /// Time-outs and intervals.
    pub tuning: PresenceTuning,
    /// Times of renewals and departures; entries go by the server's clock.
    pub clock: Arc<dyn Clock>,
    /// Counters of the registry.
    pub metrics: Arc<Metrics>,
    /// For the node's number and the pauses between attempts.
    pub random: StdRng,
}

/// A node's part of the registry. Dropping it ends its tasks; its entries then expire.
pub struct RedisPresence {
    shared: Arc<Shared>,
    sessions: Mutex<Option<Task<()>>>,
}

/// What the adapter and its task share.
struct Shared {
    /// The node's name in sorted sets, another one at each start.
    node: String,
    prefix: String,
    tuning: PresenceTuning,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Of this adapter alone: its task outlives those of the server, whose members it removes.
    drain: Drain,
    /// Cancelled to end the session once everything is written.
    closing: CancellationToken,
    members: Members,
    changes: Changes,
    status: Status,
}

impl RedisPresence {
    /// Joins the registry; returns when it is up, or after a short while without it: then it is
    /// away, and retried.
    ///
    /// # Errors
    /// The settings cannot be used: no certificates to check an encrypted connection with.
    pub async fn open(
        parts: RedisPresenceParts,
    ) -> Result<(Self, mpsc::Receiver<PresenceChange>), PresenceError> {
        let RedisPresenceParts {
            url,
            ca,
            prefix,
            tuning,
            clock,
            metrics,
            mut random,
        } = parts;
        let settings = connection::settings(&url, ca.as_deref(), tuning)?;
        let (changes, receiver) = Changes::new(Arc::clone(&metrics));
        let shared = Arc::new(Shared {
            node: format!("{:016x}", random.random::<u64>()),
            prefix,
            tuning,
            clock,
            drain: Drain::new(),
            closing: CancellationToken::new(),
            members: Members::default(),
            changes,
            status: Status::new(Arc::clone(&metrics)),
            metrics,
        });
        let mut states = shared.status.states();
        let sessions = Box::pin(session::run(Arc::clone(&shared), settings, random));
        let sessions = shared.drain.hard().run_until_cancelled_owned(sessions);
        let sessions = shared.drain.spawn("presence", async move {
            sessions.await;
        });
        let up = states.wait_for(Option::is_some);
        if timeout(OPEN_MAX, up).await.is_err() {
            tracing::warn!("the presence registry at {url} is away; starting without it");
        }
        let presence = Self {
            shared,
            sessions: Mutex::new(Some(sessions)),
        };
        Ok((presence, receiver))
    }
}

impl Shared {
    fn key(&self, member: MemberId) -> String {
        format!("{}:presence:{{member:{member}}}", self.prefix)
    }

    /// What the caller gets for a failed request, which may end the session.
    fn failed(&self, error: &LinkError) -> PresenceError {
        self.metrics.presence.errors.inc();
        if error.needs_another_connection() {
            self.status.give_up();
        }
        PresenceError(error.to_string())
    }
}

#[async_trait]
impl Presence for RedisPresence {
    fn connected(&self, member: MemberId) {
        if !self.shared.members.connected(member) {
            self.shared.metrics.presence.dropped.inc();
        }
    }

    fn disconnected(&self, member: MemberId) {
        let due = self.shared.clock.now() + self.shared.tuning.grace;
        if !self.shared.members.disconnected(member, due) {
            self.shared.metrics.presence.dropped.inc();
        }
    }

    async fn online(&self, members: &[MemberId]) -> Result<Vec<bool>, PresenceError> {
        let connection = self.shared.status.connection()?;
        let mut online = Vec::with_capacity(members.len());
        for some in members.chunks(READS_MAX) {
            let keys = some.iter().map(|member| self.shared.key(*member));
            let answers = connection.carry_out(keys.map(Command::Count).collect());
            for answer in answers.await {
                let count = answer.map_err(|error| self.shared.failed(&error))?;
                online.push(count > 0);
            }
        }
        if online.len() == members.len() {
            Ok(online)
        } else {
            Err(PresenceError("answers are missing".to_owned()))
        }
    }

    async fn claim(&self, key: &str, ttl: Duration) -> Result<bool, PresenceError> {
        let connection = self.shared.status.connection()?;
        let key = format!("{}:claim:{key}", self.shared.prefix);
        let claimed = connection.claim(key, ttl).await;
        claimed.map_err(|error| self.shared.failed(&error))
    }

    fn state(&self) -> PresenceState {
        match self.shared.status.connection() {
            Ok(_) => PresenceState::Up,
            Err(_) => PresenceState::Away,
        }
    }

    async fn close(&self, time_max: Duration) {
        let started = self.shared.clock.now();
        self.shared.members.disconnect_all();
        self.shared.closing.cancel();
        let sessions = self
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(sessions) = sessions
            && timeout(time_max, sessions).await.is_err()
        {
            tracing::warn!("members were not removed from the presence registry: they will expire");
        }
        let took = self.shared.clock.now().saturating_duration_since(started);
        let left = time_max.saturating_sub(took);
        if let Err(still) = self.shared.drain.wait(left).await {
            tracing::warn!("tasks of the presence registry did not end: {still}");
        }
    }
}

impl Drop for RedisPresence {
    fn drop(&mut self) {
        self.shared.drain.hard().cancel();
    }
}

impl fmt::Debug for RedisPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPresence")
            .field("node", &self.shared.node)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
