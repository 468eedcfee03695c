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
    /// created. Never a public one
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
}

impl ChatSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        if self.chat_answer_time.is_zero() {
            let what = "no answer comes in no time".to_owned();
            let right = "a time such as 2s".to_owned();
            mistakes.add("chat_answer_time", Mistake { what, right });
        }
    }
}
