//! Nodes on a Redis bus.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_server::bus::redis::{RedisBus, RedisParts, RedisTuning};
use chat_server::bus::{Bus as _, BusEvent, BusState};
use chat_server::log::{Entry, Topic};
use chat_server::metrics::Metrics;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::clock::SystemClock;
use shared::ids::Seq;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::contract::make::{batch, seq};
use crate::redis::server::PATIENCE;

/// The prefix of all names in these tests: each has servers of its own.
pub(crate) const PREFIX: &str = "test";

/// Quick to notice and to come back.
pub(crate) const QUICK: RedisTuning = RedisTuning {
    connect_max: Duration::from_secs(1),
    command_max: Duration::from_secs(1),
    turn_max: Duration::from_millis(250),
    probe_every: Duration::from_millis(50),
    probe_max: Duration::from_secs(1),
    retry_max: Duration::from_millis(200),
    topology_every: Duration::from_millis(200),
    backlog_max: 65_536,
};

/// Gives up nothing within a test.
pub(crate) const PATIENT: RedisTuning = RedisTuning {
    connect_max: PATIENCE,
    command_max: PATIENCE,
    turn_max: PATIENCE,
    probe_every: PATIENCE,
    probe_max: PATIENCE,
    ..QUICK
};

pub(crate) struct Node {
    pub(crate) bus: Arc<RedisBus>,
    pub(crate) events: mpsc::Receiver<BusEvent>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Node {
    pub(crate) async fn join(url: &str, tuning: RedisTuning) -> Self {
        Self::join_trusting(url, None, tuning).await
    }

    /// One that trusts whom this authority (a file) signed, if Redis speaks TLS.
    pub(crate) async fn join_trusting(
        url: &str,
        authority: Option<&Path>,
        tuning: RedisTuning,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let parts = RedisParts {
            url: url.parse().unwrap(),
            ca: authority.map(Path::to_owned),
            prefix: PREFIX.to_owned(),
            tuning,
            clock: Arc::new(SystemClock),
            metrics: Arc::clone(&metrics),
            random: StdRng::from_rng(&mut rand::rng()),
        };
        let (bus, events) = RedisBus::open(parts, 100_000).await.unwrap();
        Self {
            bus: Arc::new(bus),
            events,
            metrics,
        }
    }

    pub(crate) async fn until(&self, state: BusState) {
        let mut states = self.bus.states();
        let reached = timeout(PATIENCE, states.wait_for(|now| *now == state)).await;
        reached
            .unwrap_or_else(|_| panic!("never {state:?}"))
            .unwrap();
    }

    pub(crate) async fn follow(&self, topic: Topic) {
        self.bus.subscribe(topic).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> BusEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event
            .expect("an event within time")
            .expect("the bus is there")
    }

    pub(crate) async fn until_lost(&mut self) {
        while !matches!(self.next().await, BusEvent::Lost) {}
    }

    /// Reads until an event of either kind shows that the topic's log reaches `head`.
    pub(crate) async fn until_head(&mut self, topic: Topic, head: Seq) {
        loop {
            match self.next().await {
                BusEvent::Entries(heard, entries)
                    if heard == topic && entries.last().unwrap().seq >= head =>
                {
                    return;
                }
                BusEvent::Head(heard, at) if heard == topic && at >= head => return,
                _ => {}
            }
        }
    }

    /// `from` publishes until an entry of it arrives: again whenever one may have been lost, and
    /// only then.
    pub(crate) async fn until_heard(&mut self, from: &Self, topic: Topic, first: u64) {
        let mut at = first;
        from.publish(topic, at);
        loop {
            match self.next().await {
                BusEvent::Entries(heard, entries)
                    if heard == topic && entries[0].seq >= seq(first) =>
                {
                    return;
                }
                BusEvent::Head(heard, head) if heard == topic && head >= seq(first) => return,
                BusEvent::Lost => {
                    at += 1;
                    from.publish(topic, at);
                }
                _ => {}
            }
        }
    }

    /// Publishes one entry, at this position.
    pub(crate) fn publish(&self, topic: Topic, at: u64) {
        let entries: Vec<Arc<Entry>> = batch(seq(at - 1), 1, u128::from(at));
        self.bus.publish(topic, entries.into());
    }
}
