//! Settings of the way to the chat server.

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use shared::config::{Mistake, Mistakes, parse_duration};

use super::parse_base_url;

/// The way to the chat server.
#[derive(Clone, Debug, Args)]
pub struct ChatSettings {
    /// The chat server's admin address (its --admin-listen, or a balancer of several): rooms are made
    /// there. Never a public one
    #[arg(
        long,
        env = "MARKET_CHAT_URL",
        default_value = "http://127.0.0.1:9081",
        value_name = "URL",
        value_parser = parse_base_url
    )]
    pub chat_url: Url,

    /// How long the chat server may take for an answer; a call that fails is made once more
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
