//! Opening hours of a spot: the rule in Rust and, next to it, in SQL.
//!
//! Only the time of day counts. A spot that closes before it opens is open over midnight, and one whose two
//! minutes are equal all day (`domain.md` §3.2, `money.md`).

use shared::clock::LocalDateTime;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// The opening hours of a spot: two minutes of the day in Seoul. A purchase of time must lie inside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    pub(super) opens: u16,
    pub(super) closes: u16,
}

impl Hours {
    /// The hours between the times of day of two moments.
    #[must_use]
    pub fn between(opens: LocalDateTime, closes: LocalDateTime) -> Self {
        Self {
            opens: opens.minute_of_day(),
            closes: closes.minute_of_day(),
        }
    }

    /// True for a spot that never closes.
    #[must_use]
    pub const fn is_all_day(self) -> bool {
        self.opens == self.closes
    }

    /// True for a spot that closes after midnight.
    #[must_use]
    pub const fn is_over_midnight(self) -> bool {
        self.closes < self.opens
    }

    /// The length of the hours in minutes; a whole day for a spot that never closes.
    #[must_use]
    pub const fn length(self) -> u16 {
        if self.is_all_day() {
            DAY
        } else {
            (DAY + self.closes - self.opens) % DAY
        }
    }

    /// The minutes from the opening before this minute of the day until then: below [`Self::length`] while
    /// the spot is open.
    #[must_use]
    pub const fn since_opening(self, minute: u16) -> u16 {
        (DAY + minute - self.opens) % DAY
    }
}

/// True if the spot is open at this minute of the day in Seoul.
pub(super) const fn is_open(opens: u16, closes: u16, minute: u16) -> bool {
    if opens == closes {
        true
    } else if opens < closes {
        opens <= minute && minute <= closes
    } else {
        minute >= opens || minute <= closes
    }
}

/// [`is_open`] as a condition on `spot s`; `$2` is the minute of the day.
pub(super) const OPEN: &str = "(s.open_minute = s.close_minute \
     or (s.open_minute < s.close_minute and $2 between s.open_minute and s.close_minute) \
     or (s.open_minute > s.close_minute and ($2 >= s.open_minute or $2 <= s.close_minute)))";
