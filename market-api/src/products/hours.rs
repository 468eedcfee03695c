//! Opening hours of a spot: the rule in Rust and, next to it, in SQL.
//!
//! Only the time of day counts. A spot that closes before it opens is open over midnight, and one whose two
//! minutes are equal all day (`domain.md` §3.2, `money.md`).

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
