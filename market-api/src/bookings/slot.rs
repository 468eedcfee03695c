//! The slot rule: which time a request of times means, at a spot with these hours, now.
//!
//! A pure function, because old pages send the wrong dates: the start has today's date always, the end
//! tomorrow's (`money.md`, "Purchases"). Capacity and price are not its matter.

use std::time::Duration;

use shared::clock::{LocalDateTime, UnixMillis};

use crate::products::Hours;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A start so long ago is taken as it is: pages take a while to fill in.
const LATE_MAX: Duration = Duration::from_secs(10 * 60);

/// How far ahead a start may be.
const AHEAD_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Minutes that are charged together once they are started.
const CHARGED_MINUTES: u32 = 10;

/// The times of a request, to the minute. The end is the first occurrence of its time of day after the start;
/// its date does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(super) start: UnixMillis,
    pub(super) end: UnixMillis,
}

/// Time on a spot, half-open: the end is free for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it starts.
    pub starts_at: UnixMillis,
    /// When it ends; later than the start, by less than a day.
    pub ends_at: UnixMillis,
}

/// Why times are no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Start and end have the same time of day: no minutes.
    #[error("no time between start and end")]
    NoTime,
    /// Past, too far ahead, or not inside the opening hours.
    #[error("not a time at which the spot can be used")]
    OutsideHours,
}

impl Wanted {
    /// The times of a request. Seconds are dropped.
    #[must_use]
    pub fn new(start: LocalDateTime, end: LocalDateTime) -> Self {
        let (start, end) = (to_the_minute(start), to_the_minute(end));
        let duration = (end.get() - start.get()).rem_euclid(DAY_MS);
        Self {
            start,
            end: start.saturating_add(millis(duration)),
        }
    }
}

impl Slot {
    /// The slot that these times mean now.
    ///
    /// # Errors
    /// See [`SlotError`].
    pub fn of(wanted: Wanted, hours: Hours, now: UnixMillis) -> Result<Self, SlotError> {
        if wanted.start == wanted.end {
            return Err(SlotError::NoTime);
        }
        let slot = wanted.at(hours, now).ok_or(SlotError::OutsideHours)?;
        let is_ahead = slot.ends_at > now && wanted.start <= now.saturating_add(AHEAD_MAX);
        if is_ahead && slot.is_inside(hours) {
            Ok(slot)
        } else {
            Err(SlotError::OutsideHours)
        }
    }

    /// The minutes, a started one as a whole.
    #[must_use]
    pub fn minutes(self) -> u32 {
        let ms = self.ends_at.saturating_since(self.starts_at).as_millis();
        let minutes = ms.div_ceil(60_000);
        u32::try_from(minutes).unwrap_or(u32::MAX)
    }

    /// How often the spot's price is charged: once for each started ten minutes.
    #[must_use]
    pub fn charged_parts(self) -> u32 {
        self.minutes().div_ceil(CHARGED_MINUTES)
    }

    fn is_inside(self, hours: Hours) -> bool {
        let since = hours.since_opening(minute_of_day(self.starts_at));
        hours.is_all_day() || u32::from(since) + self.minutes() <= u32::from(hours.length())
    }
}

impl Wanted {
    /// The time as it is meant, not yet checked against the hours; `None` for a start of an earlier day, and
    /// for a past slot that has no later occurrence.
    fn at(self, hours: Hours, now: UnixMillis) -> Option<Slot> {
        let as_sent = Slot {
            starts_at: self.start,
            ends_at: self.end,
        };
        if self.start >= now.saturating_sub(LATE_MAX) {
            return Some(as_sent);
        }
        if self.start < midnight_before(now) {
            return None;
        }
        if self.end > now {
            return Some(Slot {
                starts_at: now,
                ends_at: self.end,
            });
        }
        let next = Slot {
            starts_at: self.start.saturating_add(DAY),
            ends_at: self.end.saturating_add(DAY),
        };
        let is_open = hours.since_opening(minute_of_day(self.start)) < hours.length();
        if hours.is_over_midnight() && is_open {
            return Some(next);
        }
        // Open at midnight too: at 23:50 an old page sends 00:10 with the date of the day that ends.
        hours.is_all_day().then_some(next)
    }
}

fn to_the_minute(time: LocalDateTime) -> UnixMillis {
    let ms = time.to_unix();
    ms.saturating_sub(millis(ms.get() % MINUTE_MS))
}

fn midnight_before(now: UnixMillis) -> UnixMillis {
    let minutes = i64::from(minute_of_day(now));
    let since = minutes * MINUTE_MS + now.get() % MINUTE_MS;
    now.saturating_sub(millis(since))
}

fn minute_of_day(time: UnixMillis) -> u16 {
    LocalDateTime::from_unix(time).minute_of_day()
}

/// A duration of these milliseconds, which are not negative.
fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::SlotError::{NoTime, OutsideHours};
    use super::*;

    /// `09:00` of the 15th, `16T09:00` of another day of November, or a whole date-time.
    fn time(text: &str) -> LocalDateTime {
        let text = match text.len() {
            5 => format!("2026-11-15T{text}"),
            8 => format!("2026-11-{text}"),
            _ => text.to_owned(),
        };
        text.parse().unwrap()
    }

    fn hours(open: &str) -> Hours {
        let (opens, closes) = open.split_once('-').unwrap();
        Hours::between(time(opens), time(closes))
    }

    fn slot(open: &str, now: &str, wanted: &str) -> Result<Slot, SlotError> {
        let (start, end) = wanted.split_once(' ').unwrap();
        let wanted = Wanted::new(time(start), time(end));
        Slot::of(wanted, hours(open), time(now).to_unix())
    }

    /// At a spot with these hours, at this time of the 15th, these times mean this slot.
    fn check(open: &str, now: &str, wanted: &str, expected: Result<&str, SlotError>) {
        let expected = expected.map(|slot| {
            let (start, end) = slot.split_once(' ').unwrap();
            Slot {
                starts_at: time(start).to_unix(),
                ends_at: time(end).to_unix(),
            }
        });
        let found = slot(open, now, wanted);
        assert_eq!(found, expected, "{open} at {now}: {wanted}");
    }

    #[test]
    fn only_the_time_of_day_of_the_end_counts() {
        let at_ten = |wanted| check("09:00-18:00", "10:00", wanted, Ok("11:00 12:00"));
        at_ten("11:00 12:00");
        at_ten("11:00 16T12:00");
        at_ten("11:00 14T12:00");
        at_ten("11:00 2031-01-01T12:00:00");
        // Seconds are dropped, in both.
        at_ten("2026-11-15T11:00:59.999 2026-11-16T12:00:30");
        check("20:00-02:00", "10:00", "23:00 01:00", Ok("23:00 16T01:00"));
        check("00:00-00:00", "10:00", "11:00 10:59", Ok("11:00 16T10:59"));
    }

    #[test]
    fn equal_times_are_no_time() {
        for wanted in ["11:00 11:00", "11:00 16T11:00", "03:00 03:00"] {
            check("09:00-18:00", "10:00", wanted, Err(NoTime));
        }
        let seconds = "2026-11-15T11:00:01 2026-11-15T11:00:59";
        check("00:00-00:00", "10:00", seconds, Err(NoTime));
    }

    #[test]
    fn start_is_at_most_ten_minutes_ago_and_seven_days_ahead() {
        let check = |now, wanted, expected| check("09:00-18:00", now, wanted, expected);
        check("12:10", "12:00 12:20", Ok("12:00 12:20"));
        let now = "2026-11-15T12:10:00.001";
        check(now, "12:00 12:20", Ok("2026-11-15T12:10:00.001 12:20"));
        check("12:08", "12:00 12:08", Err(OutsideHours));
        check("12:08", "12:00 12:09", Ok("12:00 12:09"));
        check("12:00", "22T12:00 13:00", Ok("22T12:00 22T13:00"));
        check("12:00", "22T12:01 13:00", Err(OutsideHours));
        check("12:00", "9999-12-31T23:59 00:10", Err(OutsideHours));
        check("12:00", "14T13:00 14:00", Err(OutsideHours));
        check("12:00", "1970-01-01T09:00 10:00", Err(OutsideHours));
    }

    #[test]
    fn past_start_means_now_while_the_slot_lasts() {
        let check = |now, wanted, expected| check("09:00-18:00", now, wanted, expected);
        check("12:00", "10:00 13:00", Ok("12:00 13:00"));
        check("12:00", "10:00 11:00", Err(OutsideHours));
        check("12:00", "10:00 12:00", Err(OutsideHours));
        // From now on it is inside the hours.
        check("12:00", "08:00 13:00", Ok("12:00 13:00"));
        check("12:00", "10:00 18:01", Err(OutsideHours));
        check("08:00", "07:00 08:30", Err(OutsideHours));
        let now = "2026-11-15T12:00:30.500";
        check(now, "10:00 12:11", Ok("2026-11-15T12:00:30.500 12:11"));
        let slot = slot("09:00-18:00", now, "10:00 12:11").unwrap();
        assert_eq!((slot.minutes(), slot.charged_parts()), (11, 2));
    }

    #[test]
    fn past_start_at_a_spot_open_over_midnight_means_its_next_occurrence() {
        let check = |now, wanted, expected| check("18:00-02:00", now, wanted, expected);
        check("23:50", "00:10 01:00", Ok("16T00:10 16T01:00"));
        check("23:50", "16T00:10 01:00", Ok("16T00:10 16T01:00"));
        check("23:50", "18:00 19:00", Ok("16T18:00 16T19:00"));
        check("23:50", "23:45 00:30", Ok("23:45 16T00:30"));
        // It has not ended yet: tonight, not tomorrow.
        check("20:20", "20:05 21:00", Ok("20:20 21:00"));
        check("12:00", "01:30 02:00", Ok("16T01:30 16T02:00"));
        check("12:00", "01:30 02:10", Err(OutsideHours));
        // The start is not inside the hours.
        check("23:50", "17:00 00:30", Ok("23:50 16T00:30"));
        check("23:50", "02:00 03:00", Err(OutsideHours));
        check("23:50", "17:00 20:00", Err(OutsideHours));
    }

    #[test]
    fn spot_that_never_closes_is_open_across_its_opening_minute() {
        let check = |now, wanted, expected| check("09:00-09:00", now, wanted, expected);
        check("07:00", "08:00 10:00", Ok("08:00 10:00"));
        check("12:00", "10:00 13:00", Ok("12:00 13:00"));
        check("23:50", "00:10 01:00", Ok("16T00:10 16T01:00"));
    }

    #[test]
    fn slot_lies_inside_the_hours() {
        let day = |wanted, expected| check("09:00-18:00", "07:00", wanted, expected);
        day("09:00 18:00", Ok("09:00 18:00"));
        day("08:59 10:00", Err(OutsideHours));
        day("17:00 18:01", Err(OutsideHours));
        day("18:00 19:00", Err(OutsideHours));
        day("20:00 21:00", Err(OutsideHours));
        // Defect 13: both ends are inside the hours, but the spot closes in between.
        day("17:00 10:00", Err(OutsideHours));
        let night = |wanted, expected| check("18:00-02:00", "07:00", wanted, expected);
        night("18:00 02:00", Ok("18:00 16T02:00"));
        night("23:00 03:00", Err(OutsideHours));
        night("16T01:00 02:00", Ok("16T01:00 16T02:00"));
        night("16T01:00 19:00", Err(OutsideHours));
        night("17:59 19:00", Err(OutsideHours));
        night("16T02:00 02:10", Err(OutsideHours));
    }

    #[test]
    fn started_ten_minutes_are_charged() {
        for (wanted, minutes, parts) in [
            ("10:00 10:01", 1, 1),
            ("10:00 10:10", 10, 1),
            ("10:00 10:11", 11, 2),
            ("10:00 10:30", 30, 3),
            ("10:00 09:59", 1_439, 144),
        ] {
            let slot = slot("00:00-00:00", "09:00", wanted).unwrap();
            assert_eq!((slot.minutes(), slot.charged_parts()), (minutes, parts));
        }
    }

    proptest! {
        /// Whatever the times are: a slot ends in the future, lasts less than a day, ends at the wanted time
        /// of day, and every minute of it is within the hours.
        #[test]
        fn every_slot_is_open_time_ahead(
            opens in 0_i64..1_440, closes in 0_i64..1_440, now_ms in 0_i64..DAY_MS,
            start in -3_000_i64..12_000, end in -3_000_i64..12_000,
        ) {
            let midnight = time("00:00").to_unix().get();
            let at = |ms: i64| UnixMillis::try_from(midnight + ms).unwrap();
            let local = |minute: i64| LocalDateTime::from_unix(at(minute * MINUTE_MS));
            let hours = Hours::between(local(opens), local(closes));
            let wanted = Wanted::new(local(start), local(end));
            if let Ok(slot) = Slot::of(wanted, hours, at(now_ms)) {
                let (from, until) = (slot.starts_at.get(), slot.ends_at.get());
                prop_assert!(from < until && until - from < DAY_MS);
                prop_assert!(until > at(now_ms).get());
                prop_assert!(from >= at(now_ms).get() - 10 * MINUTE_MS);
                prop_assert_eq!(until - midnight - end * MINUTE_MS, (until - midnight - end * MINUTE_MS) / DAY_MS * DAY_MS);
                for moment in (from..until).step_by(60_000) {
                    let minute = minute_of_day(UnixMillis::try_from(moment).unwrap());
                    let since = (i64::from(minute) - opens).rem_euclid(1_440);
                    let length = (closes - opens).rem_euclid(1_440);
                    prop_assert!(length == 0 || since < length);
                }
            }
        }
    }
}
