//! In-process registry: the members of the attached nodes.
//!
//! The embedded mode attaches a single node; tests attach several. It stores nothing and is never
//! away.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::MemberId;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::changes::{Changes, Departures, tick};
use super::{Presence, PresenceChange, PresenceError, PresenceState};
use crate::metrics::Metrics;

/// Claims kept at most, the oldest evicted first: some 10 MB.
const CLAIMS_MAX: u64 = 100_000;

/// Departures checked at a time: the lock is held meanwhile.
const BATCH_MAX: usize = 512;

/// A registry of this process. Clones are the same registry.
#[derive(Clone)]
pub struct LocalPresence {
    state: Arc<Mutex<State>>,
    /// Keys with the ends of their claims by the nodes' clock; the cache itself only bounds them.
    claims: Cache<String, Instant>,
}

/// Dependencies of a node's part of a [`LocalPresence`].
#[derive(Debug)]
pub struct LocalPresenceParts {
    /// From the end of a member's last connection to the check; see [`GRACE`](super::GRACE).
    pub grace: Duration,
    /// Ages of claims and departures.
    pub clock: Arc<dyn Clock>,
    /// Ends the task that checks departures.
    pub drain: Drain,
    /// Counts changes.
    pub metrics: Arc<Metrics>,
}

/// A node's part of a [`LocalPresence`].
pub struct LocalMembers {
    registry: LocalPresence,
    node: Arc<Node>,
}

#[derive(Debug, Default)]
struct State {
    /// How many nodes each member is connected to; members of none are absent.
    nodes: HashMap<MemberId, u32>,
    /// Members of whom the last change was that they came online.
    announced: HashSet<MemberId>,
}

#[derive(Debug)]
struct Node {
    grace: Duration,
    clock: Arc<dyn Clock>,
    changes: Changes,
    metrics: Arc<Metrics>,
    /// Taken after the registry's state, if both are.
    departures: Mutex<Departures>,
}

impl Default for LocalPresence {
    fn default() -> Self {
        let claims = Cache::builder()
            .max_capacity(CLAIMS_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            state: Arc::default(),
            claims,
        }
    }
}

impl LocalPresence {
    /// A registry without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches a node, and starts its task.
    #[must_use]
    pub fn attach(
        &self,
        parts: LocalPresenceParts,
    ) -> (LocalMembers, mpsc::Receiver<PresenceChange>) {
        let LocalPresenceParts {
            grace,
            clock,
            drain,
            metrics,
        } = parts;
        let (changes, receiver) = Changes::new(Arc::clone(&metrics));
        let node = Arc::new(Node {
            grace,
            clock,
            changes,
            metrics,
            departures: Mutex::default(),
        });
        let checks = check_departures(self.clone(), Arc::clone(&node));
        let checks = drain.soft().run_until_cancelled_owned(checks);
        drop(drain.spawn("presence", checks));
        let members = LocalMembers {
            registry: self.clone(),
            node,
        };
        (members, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes which of these members are offline and not announced as such.
    fn withdraw(&self, members: Vec<MemberId>, changes: &Changes) {
        let mut state = self.lock();
        for member in members {
            if !state.nodes.contains_key(&member) && state.announced.remove(&member) {
                // Under the lock: changes of a member stay in order.
                changes.push(PresenceChange::Offline(member));
            }
        }
    }
}

async fn check_departures(registry: LocalPresence, node: Arc<Node>) {
    let mut due = interval(tick(node.grace));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        loop {
            let now = node.clock.now();
            let gone = node.departures().take_due(now, BATCH_MAX);
            if gone.is_empty() {
                break;
            }
            registry.withdraw(gone, &node.changes);
        }
    }
}

impl Node {
    fn departures(&self) -> MutexGuard<'_, Departures> {
        self.departures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Presence for LocalMembers {
    fn connected(&self, member: MemberId) {
        let mut state = self.registry.lock();
        *state.nodes.entry(member).or_default() += 1;
        if state.announced.insert(member) {
            self.node.changes.push(PresenceChange::Online(member));
        }
    }

    fn disconnected(&self, member: MemberId) {
        let mut state = self.registry.lock();
        let Some(nodes) = state.nodes.get_mut(&member) else {
            return;
        };
        *nodes -= 1;
        if *nodes > 0 {
            return;
        }
        state.nodes.remove(&member);
        let due = self.node.clock.now() + self.node.grace;
        if !self.node.departures().push(due, member) {
            state.announced.remove(&member);
            self.node.metrics.presence.dropped.inc();
        }
    }

    async fn online(&self, members: &[MemberId]) -> Result<Vec<bool>, PresenceError> {
        let state = self.registry.lock();
        let online = members
            .iter()
            .map(|member| state.nodes.contains_key(member));
        Ok(online.collect())
    }

    async fn claim(&self, key: &str, ttl: Duration) -> Result<bool, PresenceError> {
        let now = self.node.clock.now();
        let claim = self.registry.claims.entry(key.to_owned());
        let claimed = claim.and_compute_with(async |before| match before {
            Some(before) if *before.value() > now => Op::Nop,
            Some(_) | None => Op::Put(now + ttl),
        });
        let is_ours = match claimed.await {
            CompResult::Inserted(_) | CompResult::ReplacedWith(_) => true,
            CompResult::Unchanged(_) | CompResult::StillNone(_) | CompResult::Removed(_) => false,
        };
        Ok(is_ours)
    }

    fn state(&self) -> PresenceState {
        PresenceState::Up
    }

    async fn close(&self, _time_max: Duration) {}
}

impl fmt::Debug for LocalPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPresence")
            .field("claims", &self.claims.entry_count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LocalMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMembers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{ManualClock, UnixMillis};

    use super::*;

    fn attach(registry: &LocalPresence, clock: &Arc<ManualClock>, drain: &Drain) -> LocalMembers {
        let parts = LocalPresenceParts {
            grace: super::super::GRACE,
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            drain: drain.clone(),
            metrics: Arc::new(Metrics::new()),
        };
        registry.attach(parts).0
    }

    #[tokio::test]
    async fn one_claim_of_a_key_succeeds_until_it_has_expired() {
        let (registry, drain) = (LocalPresence::new(), Drain::new());
        let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
        let [a, b] = [(), ()].map(|()| attach(&registry, &clock, &drain));
        let ttl = Duration::from_secs(9);
        assert!(a.claim("k", ttl).await.unwrap());
        assert!(!b.claim("k", ttl).await.unwrap());
        assert!(b.claim("l", ttl).await.unwrap());
        clock.advance(ttl);
        assert!(b.claim("k", ttl).await.unwrap());
        assert!(!a.claim("k", ttl).await.unwrap());
        drain.wait(ttl).await.unwrap();
    }
}
