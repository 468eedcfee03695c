//! List cache in Redis, shared by all instances.
//!
//! A call fails at once while Redis is disconnected, and at its deadline when Redis does not respond; the
//! client reconnects by itself. Redis may evict values (any `maxmemory-policy`), and versions, too.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::prelude::ReconnectPolicy;
use fred::types::config::{ConnectionConfig, Options, UnresponsiveConfig};
use fred::types::{Builder, Expiration, SetOptions};
use shared::redis::{RedisUrl, connection_config};

use super::{Cache, CacheError, Namespace, Version};

/// Bound of calls that wait for the connection; more fail at once.
const CALLS_MAX: usize = 4_096;

/// Maximum back-off between two connection attempts, in milliseconds.
const RECONNECT_MS_MAX: u32 = 2_000;

/// A client of Redis, connected or reconnecting.
#[derive(Clone)]
pub struct RedisCache {
    client: Client,
    answer_max: Duration,
}

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").finish_non_exhaustive()
    }
}

impl RedisCache {
    /// The default deadline of a call. A page from the database takes less: a longer wait gains nothing.
    pub const ANSWER_MAX: Duration = Duration::from_millis(200);

    /// Starts to connect in the background. No call takes longer than `answer_max`.
    ///
    /// # Errors
    /// With TLS: the system has no certificates that can be read.
    pub fn connect(url: &RedisUrl, answer_max: Duration) -> Result<Self, CacheError> {
        let mut config = url.client_config(None).map_err(away)?;
        // Otherwise a Redis that is unreachable at the start would never be retried.
        config.fail_fast = false;
        let connection = ConnectionConfig {
            connection_timeout: Duration::from_secs(2),
            internal_command_timeout: Duration::from_secs(2),
            max_command_buffer_len: CALLS_MAX,
            // Closes a connection without responses, so that the client reconnects.
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(Duration::from_secs(5)),
                ..UnresponsiveConfig::default()
            },
            ..connection_config()
        };
        let client = Builder::from_config(config)
            .with_performance_config(|performance| {
                performance.default_command_timeout = answer_max;
            })
            .set_connection_config(connection)
            .set_policy(ReconnectPolicy::new_exponential(0, 50, RECONNECT_MS_MAX, 2))
            .build()
            .map_err(away)?;
        // The connection task ends with `close`.
        drop(client.connect());
        Ok(Self { client, answer_max })
    }

    /// Disconnects from Redis.
    pub async fn close(&self) {
        // An error means that the connection is already closed.
        self.client.quit().await.ok();
    }

    fn asking(&self) -> fred::clients::WithOptions<Client> {
        self.client.with_options(&Options {
            max_attempts: Some(1),
            timeout: Some(self.answer_max),
            fail_fast: true,
            ..Options::default()
        })
    }
}

fn away(error: fred::error::Error) -> CacheError {
    CacheError(error.to_string())
}

fn version_key(space: Namespace) -> String {
    format!("list:{}:version", space.0)
}

#[async_trait]
impl Cache for RedisCache {
    fn answer_max(&self) -> Duration {
        self.answer_max
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.asking().get(key).await.map_err(away)
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1);
        let expiration = Some(Expiration::PX(ttl_ms));
        let set = self.asking().set(key, value, expiration, None, false).await;
        set.map_err(away)
    }

    async fn version(&self, space: Namespace) -> Result<Version, CacheError> {
        let key = version_key(space);
        let known: Option<u64> = self.asking().get(&key).await.map_err(away)?;
        if let Some(version) = known {
            return Ok(Version(version));
        }
        // Evicted, or never set. Of concurrent callers one wins (`NX`), and all read its version.
        let Version(fresh) = Version::fresh();
        let asking = self.asking();
        let first = asking.set::<(), _, _>(&key, fresh, None, Some(SetOptions::NX), false);
        first.await.map_err(away)?;
        let drawn: Option<u64> = self.asking().get(&key).await.map_err(away)?;
        let drawn = drawn.ok_or_else(|| CacheError("a version went at once".to_owned()))?;
        Ok(Version(drawn))
    }

    async fn bump(&self, space: Namespace) -> Result<(), CacheError> {
        let Version(fresh) = Version::fresh();
        let asking = self.asking();
        let set = asking.set(version_key(space), fresh, None, None, false);
        set.await.map_err(away)
    }
}
