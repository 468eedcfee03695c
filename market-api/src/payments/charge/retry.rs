//! The times of a charge's queries: soon at first, then rarer, and for ever while its outcome is unknown.

use std::time::Duration;

use shared::clock::UnixMillis;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Pauses after the first queries.
const FIRST: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), MINUTE];

/// The pause after them, until an hour has passed: the gateway ends a payment that nobody confirms after half an
/// hour, and some queries after that may have no answer.
const WITHIN_HOUR: Duration = Duration::from_secs(5 * 60);

/// The pause after so many queries, of something first sent at that time. Hourly after an hour, daily after a day: by
/// then an operator has to look ([`needs_attention`]).
pub(in crate::payments) fn pause(checks: u32, sent_at: UnixMillis, now: UnixMillis) -> Duration {
    let checks = usize::try_from(checks).unwrap_or(usize::MAX);
    let first = FIRST.get(checks).copied();
    first.unwrap_or_else(|| {
        if now.saturating_since(sent_at) < HOUR {
            WITHIN_HOUR
        } else if needs_attention(sent_at, now) {
            DAY
        } else {
            HOUR
        }
    })
}

/// True if the outcome is unknown for a day.
pub(in crate::payments) fn needs_attention(sent_at: UnixMillis, now: UnixMillis) -> bool {
    now.saturating_since(sent_at) >= DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(checks: u32, hours: u64, expected: Duration) {
        let sent = UnixMillis::try_from(1_794_711_600_000).unwrap();
        let now = sent.saturating_add(HOUR * u32::try_from(hours).unwrap());
        assert_eq!(pause(checks, sent, now), expected, "{checks} {hours}");
    }

    #[test]
    fn queries_get_rarer() {
        check(0, 0, Duration::from_secs(5));
        check(1, 0, Duration::from_secs(30));
        check(2, 0, MINUTE);
        check(3, 0, 5 * MINUTE);
        check(7, 0, 5 * MINUTE);
        // Webhooks ask for queries, too.
        check(70, 0, 5 * MINUTE);
        check(8, 1, HOUR);
        check(31, 23, HOUR);
        check(32, 24, DAY);
        check(u32::MAX, 10_000, DAY);
    }
}
