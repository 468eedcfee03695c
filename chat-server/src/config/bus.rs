//! Settings of the bus.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use shared::config::Mistakes;

use super::{Unreadable, must};
use crate::bus::redis::{BadRedisUrl, RedisUrl, is_prefix};

/// Default prefix of names in Redis.
const PREFIX: &str = "dapanda";

/// The bus between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusUrl {
    /// In this process: there is no other node.
    Local,
    /// Redis pub/sub.
    Redis(RedisUrl),
}

impl FromStr for BusUrl {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        if text == "local" {
            return Ok(Self::Local);
        }
        let unreadable = Unreadable(
            "local, redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis-cluster://HOST[:PORT],… or \
             redis-sentinel://HOST[:PORT],…/SERVICE (rediss for TLS)",
        );
        text.parse()
            .map(Self::Redis)
            .map_err(|BadRedisUrl| unreadable)
    }
}

/// Options of a Redis bus.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RedisFlags {
    /// Prefix of channels and keys in Redis; nodes with the same prefix form one bus
    #[arg(
        long,
        env = "CHAT_BUS_PREFIX",
        default_value = PREFIX,
        value_name = "NAME"
    )]
    pub bus_prefix: String,

    /// Certificate authorities (PEM) for a rediss:// bus, instead of the system's
    #[arg(long, env = "CHAT_BUS_CA", value_name = "FILE")]
    pub bus_ca: Option<PathBuf>,
}

impl Default for RedisFlags {
    fn default() -> Self {
        Self {
            bus_prefix: PREFIX.to_owned(),
            bus_ca: None,
        }
    }
}

impl RedisFlags {
    pub(super) fn check(&self, bus: &BusUrl, mistakes: &mut Mistakes) {
        let prefix = &self.bus_prefix;
        let right = "1 to 64 of letters, digits, - _ and .";
        must(
            mistakes,
            is_prefix(prefix),
            "bus_prefix",
            prefix.clone(),
            right,
        );
        if let Some(ca) = &self.bus_ca {
            let is_encrypted = matches!(bus, BusUrl::Redis(url) if url.tls);
            let right = "a file only if --bus is rediss://…";
            must(
                mistakes,
                is_encrypted,
                "bus_ca",
                ca.display().to_string(),
                right,
            );
        }
    }
}
