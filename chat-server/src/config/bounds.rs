//! What one member and one connection may have, and how it is told that it ends.

use clap::{ArgAction, Args};
use shared::config::Mistakes;

use super::must;

/// Bounds of a member and of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Bounds {
    /// Connections of one member on this node; a further login is refused, the others stay. A page
    /// of the first front end opens up to four, and keeps them until it is left
    #[arg(
        long,
        env = "CHAT_MEMBER_CONNECTIONS_MAX",
        default_value_t = 32,
        value_name = "COUNT"
    )]
    pub member_connections_max: usize,

    /// Subscriptions of one connection; a further one is refused, the connection stays. The first
    /// front end subscribes to every room of its member. Each takes 0.3 KiB, and with a room that
    /// nobody else on the node follows 1.6 KiB: 24 MiB for 16,000 over 8,000 such rooms
    #[arg(
        long,
        env = "CHAT_SUBSCRIPTIONS_MAX",
        default_value_t = 16_384,
        value_name = "COUNT"
    )]
    pub subscriptions_max: usize,

    /// A connection that does not listen on `/user/queue/system` gets an ERROR before a close after
    /// which it is to come again: the first front end subscribes to its rooms again only after one
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
