//! Where the bus is.

use std::str::FromStr;

use super::Unreadable;
use crate::bus::redis::{BadRedisUrl, RedisUrl};

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
