//! The place that the comparison has reached, and its times.

use std::fmt;
use std::time::Duration;

use shared::clock::{LocalDateTime, UnixMillis};

/// Nights that are caught up.
const DAYS_MAX: u32 = 31;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The hour of the night, in Seoul.
const NIGHT: Duration = Duration::from_secs(4 * 60 * 60);

/// What happened later may not be in the books or in the list yet.
const PRESENT: Duration = Duration::from_secs(60 * 60);

/// The place reached, as the job's row stores it: `COMPARED REVIEWED`, the second missing between two reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// What was before is compared.
    pub(super) compared: UnixMillis,
    /// Open differences up to this id were looked at again, in the review that goes on.
    pub(super) reviewed: Option<i64>,
}

impl Progress {
    /// Reads the job's row; a new one begins with yesterday.
    pub(super) fn read(body: &str, now: UnixMillis) -> Self {
        let mut numbers = body.split_whitespace().map(str::parse::<i64>);
        let mut number = || numbers.next().and_then(Result::ok);
        let compared = number().and_then(|millis| UnixMillis::try_from(millis).ok());
        let reviewed = number();
        let today = midnight(now);
        let compared = compared.unwrap_or_else(|| today.saturating_sub(DAY));
        let oldest = today.saturating_sub(DAY * DAYS_MAX);
        Self {
            compared: compared.max(oldest),
            reviewed,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.compared.get())?;
        match self.reviewed {
            Some(id) => write!(f, " {id}"),
            None => Ok(()),
        }
    }
}

/// The end of what can be compared: today's first moment, or an hour ago. A whole minute, since the gateway's times
/// are whole seconds.
pub(super) fn horizon(now: UnixMillis) -> UnixMillis {
    let past = now.saturating_sub(PRESENT);
    let minute = Duration::from_millis(u64::try_from(past.get() % 60_000).unwrap_or_default());
    midnight(now).min(past.saturating_sub(minute))
}

/// The first moment of the next day.
pub(super) fn next_midnight(at: UnixMillis) -> UnixMillis {
    midnight(at).saturating_add(DAY)
}

/// The next four o'clock in Seoul.
#[must_use]
pub fn next_night(now: UnixMillis) -> UnixMillis {
    let tonight = midnight(now).saturating_add(NIGHT);
    match tonight > now {
        true => tonight,
        false => tonight.saturating_add(DAY),
    }
}

fn midnight(at: UnixMillis) -> UnixMillis {
    LocalDateTime::from_unix(at).midnight().to_unix()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        text.parse::<LocalDateTime>().unwrap().to_unix()
    }

    #[test]
    fn the_last_hour_and_today_are_not_compared() {
        for (now, expected) in [
            ("2026-11-15T04:00:00", "2026-11-15T00:00:00"),
            ("2026-11-15T01:00:00", "2026-11-15T00:00:00"),
            ("2026-11-15T00:59:59.999", "2026-11-14T23:59:00"),
            ("2026-11-15T00:00:00", "2026-11-14T23:00:00"),
            ("2026-11-15T23:59:59", "2026-11-15T00:00:00"),
        ] {
            assert_eq!(horizon(at(now)), at(expected), "{now}");
        }
    }

    #[test]
    fn the_night_is_the_next_four_o_clock() {
        for (now, expected) in [
            ("2026-11-15T03:59:59.999", "2026-11-15T04:00:00"),
            ("2026-11-15T04:00:00", "2026-11-16T04:00:00"),
            ("2026-11-30T12:00:00", "2026-12-01T04:00:00"),
        ] {
            assert_eq!(next_night(at(now)), at(expected), "{now}");
        }
    }

    #[test]
    fn missed_days_are_caught_up_with_a_bound() {
        let now = at("2026-11-15T04:00:00");
        let compared = |body: &str| Progress::read(body, now).compared;
        assert_eq!(compared(""), at("2026-11-14T00:00:00"));
        assert_eq!(compared("rubbish"), at("2026-11-14T00:00:00"));
        let three = at("2026-11-12T00:00:00");
        assert_eq!(compared(&three.get().to_string()), three);
        assert_eq!(compared("0"), at("2026-10-15T00:00:00"));
    }

    #[test]
    fn progress_is_read_as_it_was_written() {
        let now = at("2026-11-15T04:00:00");
        for reviewed in [None, Some(0), Some(17)] {
            let progress = Progress {
                compared: at("2026-11-14T10:00:00"),
                reviewed,
            };
            assert_eq!(Progress::read(&progress.to_string(), now), progress);
        }
    }
}
