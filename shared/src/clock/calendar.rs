//! Korean local time: the date-times of the wire, and calendar months.
//!
//! A calendar of our own and no crate: Korea has had one offset and no summer time since 1988, and the two
//! formats are the first site's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::UnixMillis;

/// A moment as the wire shows it: ISO local date-time in Korean time, without an offset.
///
/// Written always with milliseconds (`2025-08-07T12:34:56.789`); read with or without a fraction
/// (up to nine digits, cut to milliseconds) and with or without seconds, as the first DaPanDa's
/// Java server did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDateTime(UnixMillis);

/// A calendar month in Seoul, from 1970 to 9999. As a number it is `yyyymm`, for example 202508.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i64);

/// The number is no month, `yyyymm` from 197001 to 999912.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a month: expected yyyymm, from 197001 to 999912")]
pub struct InvalidMonth;

impl Month {
    /// The number `yyyymm`.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Month {
    type Error = InvalidMonth;

    fn try_from(number: i64) -> Result<Self, InvalidMonth> {
        let (year, month) = (number.div_euclid(100), number.rem_euclid(100));
        if (1970..=9999).contains(&year) && (1..=12).contains(&month) {
            Ok(Self(number))
        } else {
            Err(InvalidMonth)
        }
    }
}

/// The text is not an ISO local date-time between 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a local date-time: expected the like of 2025-08-07T12:34:56.789, from 1970 to 9999")]
pub struct InvalidLocalDateTime;

/// Korean time is nine hours ahead of UTC, all year.
const SEOUL_AHEAD_MS: i64 = 9 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

impl LocalDateTime {
    /// The moment in Korean local time.
    #[must_use]
    pub const fn from_unix(moment: UnixMillis) -> Self {
        Self(moment)
    }

    /// The moment itself.
    #[must_use]
    pub const fn to_unix(self) -> UnixMillis {
        self.0
    }

    /// The calendar month in Seoul.
    #[must_use]
    pub fn month(self) -> Month {
        let (year, month, _) = civil_from_days(self.local_ms() / DAY_MS);
        Month(year * 100 + month)
    }

    /// The first moment of the next calendar month in Seoul: when this month's offers expire. At
    /// most [`UnixMillis::MAX`].
    #[must_use]
    pub fn next_month(self) -> Self {
        let (year, month, _) = civil_from_days(self.local_ms() / DAY_MS);
        let days = match month {
            12 => days_from_civil(year + 1, 1, 1),
            _ => days_from_civil(year, month + 1, 1),
        };
        Self(UnixMillis(days * DAY_MS - SEOUL_AHEAD_MS).min(UnixMillis::MAX))
    }

    /// The first moment of its day in Seoul, from 1970-01-01T00:00Z.
    #[must_use]
    pub fn midnight(self) -> Self {
        let start = self.local_ms() - self.local_ms() % DAY_MS - SEOUL_AHEAD_MS;
        Self(UnixMillis(start.max(0)))
    }

    /// The time of day in Seoul, in minutes since midnight: 0 to 1439.
    #[must_use]
    pub fn minute_of_day(self) -> u16 {
        let minutes = self.local_ms() % DAY_MS / 60_000;
        u16::try_from(minutes).expect("a day has 1,440 minutes")
    }

    fn local_ms(self) -> i64 {
        self.0.0 + SEOUL_AHEAD_MS
    }
}

impl fmt::Display for LocalDateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.local_ms() / DAY_MS, self.local_ms() % DAY_MS);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, milli) = (ms / 1000 % 60, ms % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}"
        )
    }
}

impl FromStr for LocalDateTime {
    type Err = InvalidLocalDateTime;

    fn from_str(text: &str) -> Result<Self, InvalidLocalDateTime> {
        let local_ms = parse_local_ms(text).ok_or(InvalidLocalDateTime)?;
        UnixMillis::try_from(local_ms - SEOUL_AHEAD_MS)
            .map(Self)
            .map_err(|_out_of_range| InvalidLocalDateTime)
    }
}

impl Serialize for LocalDateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalDateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Milliseconds since 1970-01-01T00:00 local time.
fn parse_local_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    if parts.next().is_some() || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day past the end of its month comes back as another date.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }

    let mut parts = time.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second_ms = parts.next().map_or(Some(0), parse_second_ms)?;
    if parts.next().is_some() || hour > 23 || minute > 59 {
        return None;
    }
    Some(days * DAY_MS + hour * 3_600_000 + minute * 60_000 + second_ms)
}

/// `56` or `56.789`, in milliseconds.
fn parse_second_ms(text: &str) -> Option<i64> {
    let (second, fraction) = match text.split_once('.') {
        None => (text, "0"),
        Some((second, fraction)) => (second, fraction),
    };
    let second = digits(second, 2).filter(|second| *second <= 59)?;
    if !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let value = digits(fraction, fraction.len())?;
    let unit = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
    Some(second * 1000 + value * 1000 / unit)
}

/// Exactly `count` decimal digits, at most nine.
fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// The date (year, month 1-12, day 1-31) so many days after 1970-01-01; days are not negative.
///
/// `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// <https://howardhinnant.github.io/date_algorithms.html>: years run from March, so that the leap
/// day is the last of a year, and 400 years (146,097 days) repeat.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The days from 1970-01-01 to a date; the inverse of [`civil_from_days`], same source.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Clock as _, ManualClock, SystemClock};

    /// The moment shows as `text`, and the text means the moment.
    fn check(unix_millis: i64, text: &str) {
        let local = LocalDateTime::from_unix(UnixMillis(unix_millis));
        assert_eq!(local.to_string(), text);
        assert_eq!(text.parse(), Ok(local));
        assert_eq!(
            serde_json::to_string(&local).unwrap(),
            format!("\"{text}\"")
        );
        assert_eq!(
            serde_json::from_str::<LocalDateTime>(&format!("\"{text}\"")).unwrap(),
            local
        );
    }

    #[test]
    fn korea_is_nine_hours_ahead() {
        check(0, "1970-01-01T09:00:00.000");
        check(1_754_537_696_789, "2025-08-07T12:34:56.789");
    }

    #[test]
    fn a_day_begins_at_midnight_in_seoul() {
        for (text, expected) in [
            ("2026-11-15T00:00:00", "2026-11-15T00:00:00"),
            ("2026-11-15T08:59:59.999", "2026-11-15T00:00:00"),
            ("2026-11-15T23:59:59.999", "2026-11-15T00:00:00"),
        ] {
            let moment: LocalDateTime = text.parse().unwrap();
            assert_eq!(moment.midnight(), expected.parse().unwrap(), "{text}");
        }
        let epoch = LocalDateTime::from_unix(UnixMillis::EPOCH);
        assert_eq!(epoch.midnight(), epoch);
    }

    #[test]
    fn leap_days_exist_only_in_leap_years() {
        check(951_750_000_000, "2000-02-29T00:00:00.000");
        check(1_709_132_400_000, "2024-02-29T00:00:00.000");
        check(4_107_423_600_000, "2100-02-28T00:00:00.000");
        check(4_107_510_000_000, "2100-03-01T00:00:00.000");
        for text in [
            "2023-02-29T00:00:00",
            "2100-02-29T00:00:00",
            "2024-02-30T00:00:00",
        ] {
            assert_eq!(
                text.parse::<LocalDateTime>(),
                Err(InvalidLocalDateTime),
                "{text}"
            );
        }
    }

    #[test]
    fn year_ends_at_midnight_in_seoul() {
        check(1_767_193_199_999, "2025-12-31T23:59:59.999");
        check(1_767_193_200_000, "2026-01-01T00:00:00.000");
        check(UnixMillis::MAX.get(), "9999-12-31T23:59:59.999");
    }

    #[test]
    fn fraction_and_seconds_may_be_missing() {
        let at = |text: &str| text.parse::<LocalDateTime>().map(|local| local.to_string());
        assert_eq!(at("2025-08-07T12:34").unwrap(), "2025-08-07T12:34:00.000");
        assert_eq!(
            at("2025-08-07T12:34:56").unwrap(),
            "2025-08-07T12:34:56.000"
        );
        assert_eq!(
            at("2025-08-07T12:34:56.7").unwrap(),
            "2025-08-07T12:34:56.700"
        );
        assert_eq!(
            at("2025-08-07T12:34:56.789999999").unwrap(),
            "2025-08-07T12:34:56.789"
        );
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in [
            "",
            "2025-08-07",
            "2025-08-07 12:34:56",
            "2025-08-07T12:34:56Z",
            "2025-08-07T12:34:56+09:00",
            "2025-8-7T12:34:56",
            "2025-13-01T00:00:00",
            "2025-00-01T00:00:00",
            "2025-01-00T00:00:00",
            "2025-08-07T24:00:00",
            "2025-08-07T12:60:00",
            "2025-08-07T12:34:60",
            "2025-08-07T12:34:56.",
            "2025-08-07T12:34:56.1234567890",
            "2025-08-07T12:34:56:00",
            "2025-08-07-01T12:34:56",
            "+025-08-07T12:34:56",
            "10000-01-01T00:00:00",
            "1970-01-01T08:59:59.999",
            "0000-01-01T00:00:00",
        ] {
            assert_eq!(
                text.parse::<LocalDateTime>(),
                Err(InvalidLocalDateTime),
                "{text:?}"
            );
        }
    }

    #[test]
    fn month_turns_at_midnight_in_seoul() {
        let at = |text: &str| text.parse::<LocalDateTime>().unwrap();
        assert_eq!(at("2025-08-31T23:59:59.999").month().get(), 202_508);
        assert_eq!(at("2025-09-01T00:00").month().get(), 202_509);
        assert_eq!(at("2025-08-07T12:34").next_month(), at("2025-09-01T00:00"));
        assert_eq!(at("2025-12-31T23:59").next_month(), at("2026-01-01T00:00"));
        assert_eq!(
            at("9999-12-01T00:00").next_month().to_unix(),
            UnixMillis::MAX
        );
        assert_eq!(at("2025-08-07T12:34").minute_of_day(), 12 * 60 + 34);
    }

    #[test]
    fn moments_stay_within_their_bounds() {
        assert!(UnixMillis::try_from(-1).is_err());
        assert!(UnixMillis::try_from(UnixMillis::MAX.get() + 1).is_err());
        assert!(UnixMillis::from_seconds(i64::MAX).is_err());
        assert_eq!(
            UnixMillis::MAX.saturating_add(Duration::MAX),
            UnixMillis::MAX
        );
        let (early, late) = (UnixMillis(1_000), UnixMillis(2_500));
        assert_eq!(late.saturating_since(early), Duration::from_millis(1_500));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(late.seconds(), 2);
    }

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(UnixMillis(1_000));
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now() - start, Duration::from_secs(2));
        assert_eq!(clock.unix_millis(), UnixMillis(3_000));
        clock.set_wall(UnixMillis(500));
        assert_eq!(clock.now() - start, Duration::from_secs(2));
        assert_eq!(clock.unix_millis(), UnixMillis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn system_clock_follows_paused_time() {
        let start = SystemClock.now();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(SystemClock.now() - start, Duration::from_secs(7));
    }

    #[test]
    fn system_wall_clock_is_in_this_century() {
        let now = LocalDateTime::from_unix(SystemClock.unix_millis()).to_string();
        assert!(now.as_str() > "2025" && now.as_str() < "2100", "{now}");
    }

    proptest! {
        #[test]
        fn every_moment_round_trips(millis in 0..=UnixMillis::MAX.0) {
            let local = LocalDateTime::from_unix(UnixMillis(millis));
            prop_assert_eq!(local.to_string().len(), 23);
            prop_assert_eq!(local.to_string().parse::<LocalDateTime>(), Ok(local));
            prop_assert!(local.next_month() > local || local.month().get() == 999_912);
        }

        #[test]
        fn text_orders_as_time_does(a in 0..=UnixMillis::MAX.0, b in 0..=UnixMillis::MAX.0) {
            let text = |millis| LocalDateTime::from_unix(UnixMillis(millis)).to_string();
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }

        #[test]
        fn next_day_follows(days in 0..2_932_000_i64) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
            let next = civil_from_days(days + 1);
            prop_assert!(next == (year, month, day + 1) || next.2 == 1);
        }

        #[test]
        fn any_text_is_a_time_or_an_error(text in "\\PC{0,32}|[0-9T:.-]{0,32}") {
            if let Ok(local) = text.parse::<LocalDateTime>() {
                prop_assert!(local.to_string().starts_with(&text[..16]));
            }
        }
    }
}
