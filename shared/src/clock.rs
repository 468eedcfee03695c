//! Clocks: the seam for a process's monotonic and wall clock, and Korean local time for the wire.
//!
//! This is the one file of ours that reads the operating system's time. Everything else takes `now`
//! as an argument, or a [`Clock`] where it needs the time again later, so that tests control the
//! time.
//!
//! What this file does not do: sleep (tokio does, and its paused test time moves
//! [`SystemClock::now`] with it), and time zones other than Asia/Seoul, which has been UTC+9 without
//! summer time since 1988; the arithmetic is therefore a constant and needs no calendar library.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The two clocks of a process.
///
/// Contract: `now` never goes back and has no meaning outside the process: use it for deadlines and
/// durations. `unix_millis` may jump when the system clock is set: use it for what is stored or
/// sent. Neither blocks.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Monotonic time.
    fn now(&self) -> Instant;

    /// Wall-clock time.
    fn unix_millis(&self) -> UnixMillis;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others ask"
    )]
    fn now(&self) -> Instant {
        // tokio's time, so that a test with paused time sees the same time in its timers and here.
        tokio::time::Instant::now().into_std()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others ask"
    )]
    fn unix_millis(&self) -> UnixMillis {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis::EPOCH.saturating_add(elapsed)
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<ManualTime>,
}

#[derive(Debug)]
struct ManualTime {
    now: Instant,
    wall: UnixMillis,
}

impl ManualClock {
    /// A clock whose wall time is `wall`. Its monotonic time starts at an arbitrary value, as a
    /// real one does.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can be made in no other way"
    )]
    pub fn new(wall: UnixMillis) -> Self {
        Self {
            time: Mutex::new(ManualTime {
                now: Instant::now(),
                wall,
            }),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut time = self.lock();
        time.now += by;
        time.wall = time.wall.saturating_add(by);
    }

    /// Sets the wall clock, forward or back; monotonic time is unaffected.
    pub fn set_wall(&self, wall: UnixMillis) {
        self.lock().wall = wall;
    }

    fn lock(&self) -> MutexGuard<'_, ManualTime> {
        // Two plain assignments under the lock: a poisoned lock holds consistent values.
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn unix_millis(&self) -> UnixMillis {
        self.lock().wall
    }
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z, up to the end of the year 9999 in Seoul.
///
/// The bounds make every moment printable with a four-digit year. As JSON a number.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct UnixMillis(i64);

/// The number is before 1970 or after the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected milliseconds since 1970, from 0 to {}", UnixMillis::MAX.0)]
pub struct InvalidUnixMillis;

impl UnixMillis {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// 9999-12-31T23:59:59.999 in Seoul.
    pub const MAX: Self = Self(253_402_268_399_999);

    /// The milliseconds since 1970, never negative.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The whole seconds since 1970, rounded down: the unit of a token's `iat` and `exp`.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// A moment given in seconds since 1970.
    ///
    /// # Errors
    /// [`InvalidUnixMillis`] outside the bounds of the type.
    pub fn from_seconds(seconds: i64) -> Result<Self, InvalidUnixMillis> {
        seconds
            .checked_mul(1000)
            .ok_or(InvalidUnixMillis)?
            .try_into()
    }

    /// A later moment, at most [`UnixMillis::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(by)).min(Self::MAX)
    }

    /// How long ago `earlier` was; zero if it is later than this.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl TryFrom<i64> for UnixMillis {
    type Error = InvalidUnixMillis;

    fn try_from(millis: i64) -> Result<Self, InvalidUnixMillis> {
        if (Self::EPOCH.0..=Self::MAX.0).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(InvalidUnixMillis)
        }
    }
}

impl From<UnixMillis> for i64 {
    fn from(moment: UnixMillis) -> Self {
        moment.0
    }
}

/// A moment as the wire shows it: ISO local date-time in Korean time, without an offset.
///
/// Written always with milliseconds (`2025-08-07T12:34:56.789`); read with or without a fraction
/// (up to nine digits, cut to milliseconds) and with or without seconds, as the first DaPanDa's
/// Java server did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDateTime(UnixMillis);

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

    /// The calendar month in Seoul as `yyyymm`, for example 202508.
    #[must_use]
    pub fn month_key(self) -> i64 {
        let (year, month, _) = civil_from_days(self.local_ms() / DAY_MS);
        year * 100 + month
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
    use proptest::prelude::*;

    use super::*;

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
        assert_eq!(at("2025-08-31T23:59:59.999").month_key(), 202_508);
        assert_eq!(at("2025-09-01T00:00").month_key(), 202_509);
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
            prop_assert!(local.next_month() > local || local.month_key() == 999_912);
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
