//! The bus contract, for every bus.

use std::sync::Arc;

use crate::contract::bus::{Node, Subject};
use chat_server::bus::local::LocalBus;
use chat_server::bus::redis::{RedisBus, RedisParts, RedisTuning};
use chat_server::bus::{Bus as _, BusState};
use chat_server::metrics::Metrics;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::clock::SystemClock;

mod local {
    use super::{Arc, LocalBus, Node, Subject};

    impl Subject for LocalBus {
        async fn attach(&self, capacity: usize) -> Node {
            let (node, events) = LocalBus::attach(self, capacity);
            Node {
                bus: Arc::new(node),
                events,
            }
        }
    }

    async fn open() -> LocalBus {
        LocalBus::new()
    }

    crate::bus_contract!(open);
}

/// A Redis, shared with others; what a test does there has a prefix of its own.
struct Redis {
    url: String,
    prefix: String,
}

impl Redis {
    /// The service that the environment names; without it the test fails.
    #[expect(clippy::disallowed_methods, reason = "a test finds its services there")]
    fn of_environment(name: &str) -> Self {
        let url = std::env::var(name);
        Self {
            url: url.unwrap_or_else(|_| panic!("{name} is not set: infra/services up")),
            prefix: format!("test-{:016x}", rand::random::<u64>()),
        }
    }
}

impl Subject for Redis {
    async fn attach(&self, capacity: usize) -> Node {
        let parts = RedisParts {
            url: self.url.parse().unwrap(),
            ca: None,
            prefix: self.prefix.clone(),
            tuning: RedisTuning::default(),
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::new()),
            random: StdRng::from_rng(&mut rand::rng()),
        };
        let (bus, events) = RedisBus::open(parts, capacity).await.unwrap();
        assert_eq!(bus.state(), BusState::Up);
        Node {
            bus: Arc::new(bus),
            events,
        }
    }
}

mod redis {
    use super::Redis;

    async fn open() -> Redis {
        Redis::of_environment("TEST_REDIS_URL")
    }

    crate::bus_contract!(open);
}

mod redis_cluster {
    use super::Redis;

    async fn open() -> Redis {
        Redis::of_environment("TEST_REDIS_CLUSTER")
    }

    crate::bus_contract!(open);
}
