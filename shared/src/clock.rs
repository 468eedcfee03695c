//! Clocks: the seam for a process's monotonic and wall clock, and Korean local time for the wire.
//!
//! This is the one file of ours that reads the operating system's time. Everything else takes `now`
//! as an argument, or a [`Clock`] where it needs the time again later, so that tests control the
//! time.
//!
//! What this file does not do: sleep (tokio does, and its paused test time moves
//! [`SystemClock::now`] with it), and time zones other than Asia/Seoul, which has been UTC+9 without
//! summer time since 1988; the arithmetic is therefore a constant and needs no calendar library.

mod calendar;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use calendar::{InvalidLocalDateTime, InvalidMonth, LocalDateTime, Month};

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

    /// An earlier moment, at least [`UnixMillis::EPOCH`].
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(by)).max(Self::EPOCH)
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
