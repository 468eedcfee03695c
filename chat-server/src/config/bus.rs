//! The settings of the bus.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use shared::config::Mistakes;

use super::{Unreadable, must};
use crate::bus::redis::{BadRedisUrl, RedisUrl, is_prefix};

/// What names in Redis begin with unless somebody says otherwise.
const PREFIX: &str = "dapanda";

/// How nodes hear of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusUrl {
    /// There is no other node.
    Local,
    /// By Redis.
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

/// How a bus of Redis is used.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RedisFlags {
    /// What the names of channels and keys in Redis begin with; nodes with the same hear each other
    #[arg(
        long,
        env = "CHAT_BUS_PREFIX",
        default_value = PREFIX,
        value_name = "NAME"
    )]
    pub bus_prefix: String,

    /// Certificates (PEM) that those of a rediss:// bus are signed with, in the place of the system's
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
