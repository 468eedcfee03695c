//! When clients are sent to other nodes: how long stopping may take, step by step, and whether the
//! steps fit into the time there is; and when connections are old.

use std::time::Duration;

use clap::Args;
use shared::config::{Mistakes, parse_duration};
use shared::drain::{LAST_WAIT, LEFT_BEHIND_MAX};
use shared::telemetry::FLUSH_MAX;

use super::must;

/// How long a connection that is closed may need: 5 s for the receipts of its sends in flight, the
/// time after which the appender gives up a send; and 5 s for the peer's answer to the close.
pub const CLOSE_MAX: Duration = Duration::from_secs(10);

/// How a node stops that others take over from. Clients that have been told go by themselves; the
/// times are there so that they arrive at the other nodes one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct StopTimes {
    /// How long a node that is to stop goes on as before, but for `/readyz`: as long as balancers
    /// may need to notice
    #[arg(long, env = "CHAT_LAME_DUCK", default_value = "20s", value_parser = parse_duration,
        value_name = "TIME")]
    pub lame_duck: Duration,

    /// Clients that the remaining nodes can take in a second: over as long as that takes, the
    /// connections of a node that stops are sent away
    #[arg(
        long,
        env = "CHAT_RECONNECTS_PER_SECOND",
        default_value_t = 300,
        value_name = "COUNT"
    )]
    pub reconnects_per_second: u32,

    /// Over how long connections are sent away at least
    #[arg(long, env = "CHAT_NOTICE_MIN", default_value = "5s", value_parser = parse_duration,
        value_name = "TIME")]
    pub notice_min: Duration,

    /// Over how long connections are sent away at most
    #[arg(long, env = "CHAT_NOTICE_MAX", default_value = "90s", value_parser = parse_duration,
        value_name = "TIME")]
    pub notice_max: Duration,

    /// How long a client that was told to go may stay beyond the last one's time
    #[arg(long, env = "CHAT_NOTICE_MARGIN", default_value = "5s", value_parser = parse_duration,
        value_name = "TIME")]
    pub notice_margin: Duration,

    /// Over how long those are closed that stay nevertheless, at most
    #[arg(long, env = "CHAT_CLOSES_MAX", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub closes_max: Duration,

    /// How long the rest of stopping may take once no client is left: writes under way, the bus
    #[arg(long, env = "CHAT_STOP_GRACE", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub stop_grace: Duration,

    /// When the supervisor kills a process that it has told to stop (TimeoutStopSec,
    /// terminationGracePeriodSeconds): everything above has to fit into it
    #[arg(long, env = "CHAT_STOP_BUDGET", default_value = "150s", value_parser = parse_duration,
        value_name = "TIME")]
    pub stop_budget: Duration,
}

/// When clients are asked to come again although nothing stops: nodes share them evenly only if they
/// come again some time after a node was added.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Rebalance {
    /// Age at which a connection that listens on `/user/queue/system` is asked to come again, so that
    /// nodes share the clients evenly after one was added; a quarter more or less, by chance; 0: never
    #[arg(long, env = "CHAT_REBALANCE_AGE", default_value = "6h", value_parser = parse_duration,
        value_name = "TIME")]
    pub rebalance_age: Duration,

    /// How long such a client may take before its connection is closed
    #[arg(long, env = "CHAT_REBALANCE_MARGIN", default_value = "60s", value_parser = parse_duration,
        value_name = "TIME")]
    pub rebalance_margin: Duration,
}

impl StopTimes {
    /// Without any phase before the last, which may take so long: for a node that nobody takes
    /// over from.
    #[must_use]
    pub const fn at_once(stop_grace: Duration) -> Self {
        Self {
            lame_duck: Duration::ZERO,
            reconnects_per_second: 1,
            notice_min: Duration::ZERO,
            notice_max: Duration::ZERO,
            notice_margin: Duration::ZERO,
            closes_max: Duration::ZERO,
            stop_grace,
            stop_budget: Duration::MAX,
        }
    }

    /// Over how long so many connections are sent away.
    #[must_use]
    pub fn spread(&self, connections: usize) -> Duration {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        let each = Duration::from_secs(1) / self.reconnects_per_second.max(1);
        let wanted = each.saturating_mul(connections);
        wanted.max(self.notice_min).min(self.notice_max)
    }

    /// How long a stop takes at most, from the signal to the end of the process.
    #[must_use]
    pub fn longest(&self) -> Duration {
        [
            self.lame_duck,
            self.notice_max,
            self.notice_margin,
            self.closes_max,
            CLOSE_MAX,
            self.stop_grace,
            LAST_WAIT,
            LEFT_BEHIND_MAX,
            FLUSH_MAX,
        ]
        .into_iter()
        .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Notes every value that makes no sense.
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let mut must =
            |good, setting, what, right: &str| must(mistakes, good, setting, what, right);
        let rate = self.reconnects_per_second;
        must(
            rate > 0,
            "reconnects_per_second",
            rate.to_string(),
            "1 or more",
        );
        let (min, max) = (self.notice_min, self.notice_max);
        must(
            min <= max,
            "notice_min",
            format!("{min:?}"),
            "--notice-max or less",
        );
        let (longest, budget) = (self.longest(), self.stop_budget);
        let right = format!(
            "{longest:?} or more, which a stop can take with --lame-duck, --notice-max, \
             --notice-margin, --closes-max and --stop-grace as they are, or less for those"
        );
        must(
            longest <= budget,
            "stop_budget",
            format!("{budget:?}"),
            &right,
        );
    }
}

#[cfg(test)]
mod tests {
    use shared::config::{NoSettings, parse};

    use super::*;
    use crate::config::Config;

    fn times(settings: &[&str]) -> StopTimes {
        let parsed = parse::<Config>(["chat-server"].iter().chain(settings));
        parsed.unwrap_or_else(|wrong| panic!("{wrong:?}")).stop
    }

    #[test]
    fn connections_are_sent_away_as_fast_as_the_others_take_them() {
        let check = |connections, expected| {
            let spread = times(&[]).spread(connections);
            let difference = spread.abs_diff(Duration::from_secs(expected));
            assert!(difference < Duration::from_millis(1), "{spread:?}");
        };
        check(0, 5);
        check(1, 5);
        check(1_500, 5);
        check(3_000, 10);
        check(24_000, 80);
        check(27_000, 90);
        check(1_000_000, 90);
        check(usize::MAX, 90);
    }

    #[test]
    fn the_default_steps_just_fit_into_the_default_budget() {
        let times = times(&[]);
        assert_eq!(times.longest(), Duration::from_secs(150));
        assert_eq!(times.stop_budget, Duration::from_secs(150));
    }

    #[test]
    fn steps_that_do_not_fit_are_a_mistake_that_says_what_would() {
        for (args, part) in [
            (["--lame-duck", "21s"], "151s or more"),
            (["--stop-budget", "149s"], "150s or more"),
            (["--notice-min", "91s"], "--notice-max or less"),
            (["--reconnects-per-second", "0"], "1 or more"),
        ] {
            let args = ["chat-server", args[0], args[1]];
            let Err(NoSettings::Wrong(mistakes)) = parse::<Config>(args) else {
                panic!("accepted: {args:?}")
            };
            let report = mistakes.to_string();
            assert!(report.contains(part), "{part} is missing in: {report}");
        }
        assert_eq!(
            times(&["--lame-duck", "60s", "--stop-budget", "190s"]).longest(),
            Duration::from_secs(190)
        );
    }
}
