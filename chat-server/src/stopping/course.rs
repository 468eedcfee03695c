//! State machine of a stop: the next phase, and its end. Without a clock, tasks or connections.

use std::time::Instant;

use crate::config::{CLOSE_MAX, StopTimes};
use crate::connection::DrainSchedule;
use crate::health::Phase;

/// A stop under way.
#[derive(Debug)]
pub(super) struct Course {
    times: StopTimes,
    phase: Phase,
    /// When the phase is over at the latest.
    ends_at: Instant,
    last_close: Instant,
}

/// What begins now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Connections are sent away.
    Notice(DrainSchedule),
    /// Those that stayed are being closed, by themselves.
    Close,
    /// No connection is waited for any more.
    Flush,
}

impl Course {
    /// A stop that begins now, as a lame duck.
    pub(super) fn begin(times: StopTimes, now: Instant) -> Self {
        Self {
            phase: Phase::LameDuck,
            ends_at: now.checked_add(times.lame_duck).unwrap_or(now),
            last_close: now,
            times,
        }
    }

    /// The step that is due with so many connections left; `None` until time passes or they change.
    pub(super) fn step(&mut self, now: Instant, connections: usize) -> Option<Step> {
        let is_over = self.ends_at <= now;
        match self.phase {
            // No connection yet is no reason to hurry: balancers still send clients.
            Phase::LameDuck if is_over => Some(self.notice(now, connections)),
            Phase::Notice | Phase::Close if connections == 0 => Some(self.flush()),
            Phase::Notice if is_over => {
                self.phase = Phase::Close;
                let closed_by = self.last_close.checked_add(CLOSE_MAX);
                self.ends_at = closed_by.unwrap_or(self.last_close);
                Some(Step::Close)
            }
            Phase::Close if is_over => Some(self.flush()),
            Phase::Serving | Phase::LameDuck | Phase::Notice | Phase::Close | Phase::Flush => None,
        }
    }

    fn notice(&mut self, now: Instant, connections: usize) -> Step {
        let spread = self.times.spread(connections);
        let schedule = DrainSchedule {
            begins: now,
            spread,
            margin: self.times.notice_margin,
            closes: self.times.closes_max.min(spread),
        };
        self.phase = Phase::Notice;
        self.ends_at = schedule.first_close();
        self.last_close = schedule.last_close();
        Step::Notice(schedule)
    }

    fn flush(&mut self) -> Step {
        self.phase = Phase::Flush;
        Step::Flush
    }

    /// When the phase is over at the latest.
    pub(super) const fn ends_at(&self) -> Instant {
        self.ends_at
    }

    /// Whether the phase is over before that when no connection is left.
    pub(super) fn ends_when_empty(&self) -> bool {
        matches!(self.phase, Phase::Notice | Phase::Close)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::clock::{Clock as _, SystemClock};
    use shared::config::parse;
    use shared::drain::{LAST_WAIT, LEFT_BEHIND_MAX};
    use shared::telemetry::FLUSH_MAX;

    use super::*;
    use crate::config::Config;

    /// A row is a call of `step`: seconds since the begin, connections left; and the step that
    /// is due then.
    fn check(settings: &[&str], checks: &[(u64, usize, Option<Phase>)]) {
        let config: Config = parse(["chat-server"].iter().chain(settings)).unwrap();
        let begin = SystemClock.now();
        let mut course = Course::begin(config.stop, begin);
        for (second, connections, expected) in checks {
            let now = begin + Duration::from_secs(*second);
            let phase = course.step(now, *connections).map(|step| match step {
                Step::Notice(schedule) => {
                    assert_eq!(schedule.begins, now);
                    Phase::Notice
                }
                Step::Close => Phase::Close,
                Step::Flush => Phase::Flush,
            });
            assert_eq!(phase, *expected, "after {second} s with {connections}");
        }
    }

    #[test]
    fn a_stop_with_stubborn_clients_goes_through_every_phase() {
        use Phase::{Close, Flush, Notice};
        check(
            &[],
            &[
                (0, 3_000, None),
                (19, 3_000, None),
                (20, 3_000, Some(Notice)), // over 10 s, and 5 s beyond
                (20, 3_000, None),
                (34, 7, None),
                (35, 7, Some(Close)), // over 10 s, and 10 s for the last one
                (54, 2, None),
                (55, 2, Some(Flush)),
                (99, 2, None),
            ],
        );
    }

    #[test]
    fn nobody_is_waited_for_who_has_gone() {
        use Phase::{Close, Flush, Notice};
        let gone_early = [
            (20, 9, Some(Notice)),
            (21, 1, None),
            (22, 0, Some(Flush)),
            (23, 0, None),
        ];
        check(&[], &gone_early);
        let gone_late = [
            (20, 9, Some(Notice)),
            (30, 1, Some(Close)),
            (31, 0, Some(Flush)),
        ];
        check(&[], &gone_late);
    }

    #[test]
    fn an_empty_node_is_a_lame_duck_only() {
        use Phase::{Flush, Notice};
        let checks = [(19, 0, None), (20, 0, Some(Notice)), (20, 0, Some(Flush))];
        check(&[], &checks);
        let checks = [(0, 0, Some(Notice)), (0, 0, Some(Flush))];
        check(&["--lame-duck", "0s"], &checks);
    }

    #[test]
    fn no_stop_takes_longer_than_its_settings_say() {
        let config: Config = parse(["chat-server"]).unwrap();
        let begin = SystemClock.now();
        let mut course = Course::begin(config.stop.clone(), begin);
        for _ in 0..3 {
            let now = course.ends_at();
            assert!(course.step(now, usize::MAX).is_some());
        }
        let last = LAST_WAIT + LEFT_BEHIND_MAX + FLUSH_MAX;
        let rest = config.stop.stop_grace + last;
        assert_eq!(course.ends_at() + rest - begin, config.stop.longest());
    }
}
