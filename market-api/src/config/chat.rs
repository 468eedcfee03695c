//! Settings of the connection to the chat server.

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use shared::config::{Mistake, Mistakes, parse_duration};

use super::parse_base_url;

/// The connection to the chat server.
#[derive(Clone, Debug, Args)]
pub struct ChatSettings {
    /// Admin address of the chat server (its --admin-listen, or a load balancer of several), where rooms are
    /// created and domain events are posted. Never a public one
    #[arg(
        long,
        env = "MARKET_CHAT_URL",
        default_value = "http://127.0.0.1:9081",
        value_name = "URL",
        value_parser = parse_base_url
    )]
    pub chat_url: Url,

    /// Time-out of a call to the chat server; a failed call is retried once
    #[arg(long, env = "MARKET_CHAT_ANSWER_TIME", default_value = "2s", value_parser = parse_duration,
        value_name = "TIME")]
    pub chat_answer_time: Duration,

    /// Time-out of a post of domain events to the chat server, after which the same events are posted again; at
    /// most 1m. The lease of the instance that relays lasts 10s longer
    #[arg(long, env = "MARKET_RELAY_ANSWER_TIME", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub relay_answer_time: Duration,
}

/// Bound of the relay's time-out: far less than the 5 minutes after which the chat server refuses a post.
const RELAY_ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

impl ChatSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        if self.chat_answer_time.is_zero() {
            let what = "no answer comes in no time".to_owned();
            let right = "a time such as 2s".to_owned();
            mistakes.add("chat_answer_time", Mistake { what, right });
        }
        let relay = self.relay_answer_time;
        if relay.is_zero() || relay > RELAY_ANSWER_TIME_MAX {
            let what = format!("{relay:?} is no time in which events are stored");
            let right = "a time such as 10s, up to 1m".to_owned();
            mistakes.add("relay_answer_time", Mistake { what, right });
        }
    }
}
