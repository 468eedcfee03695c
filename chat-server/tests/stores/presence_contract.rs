//! The contract of presence, for every registry.

use std::path::PathBuf;
use std::sync::Arc;

use chat_server::metrics::Metrics;
use chat_server::presence::local::{LocalPresence, LocalPresenceParts};
use chat_server::presence::redis::{PresenceTuning, RedisPresence, RedisPresenceParts};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::clock::SystemClock;
use shared::drain::Drain;

use crate::contract::presence::{GRACE, Node, Subject};

mod local {
    use super::{Arc, Drain, GRACE, LocalPresence, LocalPresenceParts, Metrics, Node};
    use super::{Subject, SystemClock};

    impl Subject for LocalPresence {
        async fn attach(&self) -> Node {
            let parts = LocalPresenceParts {
                grace: GRACE,
                clock: Arc::new(SystemClock),
                drain: Drain::new(),
                metrics: Arc::new(Metrics::new()),
            };
            let (presence, changes) = LocalPresence::attach(self, parts);
            Node {
                presence: Arc::new(presence),
                changes,
            }
        }
    }

    async fn open() -> LocalPresence {
        LocalPresence::new()
    }

    crate::presence_contract!(open);
}

/// A Redis with a prefix of a test's own.
pub(crate) struct Redis {
    pub(crate) url: String,
    pub(crate) prefix: String,
    /// Who signed the server's certificate, if it speaks TLS.
    pub(crate) authority: Option<PathBuf>,
    pub(crate) tuning: PresenceTuning,
}

impl Redis {
    /// The service that the environment names; without it the test fails.
    #[expect(clippy::disallowed_methods, reason = "a test finds its services there")]
    fn of_environment(name: &str) -> Self {
        let url = std::env::var(name);
        Self {
            url: url.unwrap_or_else(|_| panic!("{name} is not set: infra/services up")),
            prefix: format!("test-{:016x}", rand::random::<u64>()),
            authority: None,
            tuning: PresenceTuning {
                grace: GRACE,
                ..PresenceTuning::default()
            },
        }
    }

    /// Another node, with its counters.
    pub(crate) async fn join(&self) -> (Node, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let parts = RedisPresenceParts {
            url: self.url.parse().unwrap(),
            ca: self.authority.clone(),
            prefix: self.prefix.clone(),
            tuning: self.tuning,
            clock: Arc::new(SystemClock),
            metrics: Arc::clone(&metrics),
            random: StdRng::from_rng(&mut rand::rng()),
        };
        let (presence, changes) = RedisPresence::open(parts).await.unwrap();
        let node = Node {
            presence: Arc::new(presence),
            changes,
        };
        (node, metrics)
    }
}

impl Subject for Redis {
    async fn attach(&self) -> Node {
        self.join().await.0
    }
}

mod redis {
    use super::Redis;

    async fn open() -> Redis {
        Redis::of_environment("TEST_REDIS_URL")
    }

    crate::presence_contract!(open);
}

mod redis_cluster {
    use super::Redis;

    async fn open() -> Redis {
        Redis::of_environment("TEST_REDIS_CLUSTER")
    }

    crate::presence_contract!(open);
}
