//! Settings of a stop and of rebalancing: the time of each phase, and whether all of them fit into
//! the supervisor's time.

use std::time::Duration;

use clap::Args;
use shared::config::{Mistakes, parse_duration};
use shared::drain::{LAST_WAIT, LEFT_BEHIND_MAX};
use shared::telemetry::FLUSH_MAX;

use super::must;

/// Longest close of a connection: 5 s for the receipts of its sends in flight, the
/// time after which the appender gives up a send; and 5 s for the peer's answer to the close.
pub const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Times of a stop whose clients migrate to other nodes. Notified clients reconnect by themselves;
/// the times spread their arrival at the other nodes.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct StopTimes {
    /// Lame duck: time during which a stopping node serves as before, but is unready at `/readyz`,
    /// so that balancers notice
    #[arg(long, env = "CHAT_LAME_DUCK", default_value = "20s", value_parser = parse_duration,
        value_name = "TIME")]
    pub lame_duck: Duration,

    /// Reconnecting clients that the remaining nodes accept per second: a stopping node spreads the
    /// notices to its clients accordingly
    #[arg(
        long,
        env = "CHAT_RECONNECTS_PER_SECOND",
        default_value_t = 300,
        value_name = "COUNT"
    )]
    pub reconnects_per_second: u32,

    /// Shortest time over which the notices are spread
    #[arg(long, env = "CHAT_NOTICE_MIN", default_value = "5s", value_parser = parse_duration,
        value_name = "TIME")]
    pub notice_min: Duration,

    /// Longest time over which the notices are spread
    #[arg(long, env = "CHAT_NOTICE_MAX", default_value = "90s", value_parser = parse_duration,
        value_name = "TIME")]
    pub notice_max: Duration,

    /// Time after the last notice until remaining connections are closed
    #[arg(long, env = "CHAT_NOTICE_MARGIN", default_value = "5s", value_parser = parse_duration,
        value_name = "TIME")]
    pub notice_margin: Duration,

    /// Longest time over which the remaining connections are closed
    #[arg(long, env = "CHAT_CLOSES_MAX", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub closes_max: Duration,

    /// Time-out for the rest of a stop once no client is left: writes under way, the bus
    #[arg(long, env = "CHAT_STOP_GRACE", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub stop_grace: Duration,

    /// The supervisor's time from the stop signal to the kill (TimeoutStopSec,
    /// terminationGracePeriodSeconds): all times above have to fit into it
    #[arg(long, env = "CHAT_STOP_BUDGET", default_value = "150s", value_parser = parse_duration,
        value_name = "TIME")]
    pub stop_budget: Duration,
}

/// Migration of old connections without a stop: nodes share the clients evenly only if these
/// reconnect some time after a node was added.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Rebalance {
    /// Age at which a connection that subscribes `/user/queue/system` is asked to reconnect, so
    /// that nodes share the clients evenly after one was added; a quarter more or less, at random;
    /// 0: never
    #[arg(long, env = "CHAT_REBALANCE_AGE", default_value = "6h", value_parser = parse_duration,
        value_name = "TIME")]
    pub rebalance_age: Duration,

    /// Time-out for such a client to reconnect; then its connection is closed
    #[arg(long, env = "CHAT_REBALANCE_MARGIN", default_value = "60s", value_parser = parse_duration,
        value_name = "TIME")]
    pub rebalance_margin: Duration,
}

impl StopTimes {
    /// Without any phase before the last, which may take so long: for the only node.
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

    /// The time over which the notices to so many connections are spread.
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
