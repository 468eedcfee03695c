//! Limits of one member and one connection, and the ERROR before a close.

use clap::{ArgAction, Args};
use shared::config::Mistakes;

use super::must;

/// Bounds of a member and of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Bounds {
    /// Connections of one member on this node; a further login is refused, the others stay. A page
    /// of the first front end opens up to four, until it is closed
    #[arg(
        long,
        env = "CHAT_MEMBER_CONNECTIONS_MAX",
        default_value_t = 32,
        value_name = "COUNT"
    )]
    pub member_connections_max: usize,

    /// Subscriptions of one connection; a further one is refused, the connection stays. The first
    /// front end subscribes to every room of its member. Each takes 0.3 KiB, or 1.6 KiB for a room
    /// without other subscribers on the node: 24 MiB for 16,000 over 8,000 such rooms
    #[arg(
        long,
        env = "CHAT_SUBSCRIPTIONS_MAX",
        default_value_t = 16_384,
        value_name = "COUNT"
    )]
    pub subscriptions_max: usize,

    /// Send an ERROR before closing a connection that should reconnect and does not subscribe
    /// `/user/queue/system`: the first front end subscribes to its rooms again only after one
    #[arg(long, env = "CHAT_CLOSE_WITH_ERROR", default_value_t = true, action = ArgAction::Set,
        value_name = "true|false")]
    pub close_with_error: bool,
}

impl Bounds {
    /// Notes every value that makes no sense.
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let counts = [
            ("member_connections_max", self.member_connections_max),
            ("subscriptions_max", self.subscriptions_max),
        ];
        for (setting, count) in counts {
            must(mistakes, count > 0, setting, count.to_string(), "1 or more");
        }
    }
}
