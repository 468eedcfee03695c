//! Heart-beats: negotiation, and the timers for sending and for detecting silence.

use std::time::{Duration, Instant};

/// Longest interval that counts as a heart-beat: this side sends at least this often, and expects
/// nothing from a peer that promises less.
const INTERVAL_MS_MAX: u64 = 60 * 60 * 1_000;

/// The two numbers of a `heart-beat` header, in milliseconds; 0 = not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartBeat {
    /// The smallest interval at which the header's sender can send.
    pub can_send_ms: u64,
    /// The interval at which it wants to receive something.
    pub wants_ms: u64,
}

impl HeartBeat {
    /// Reads the header's value: two non-negative integers with a comma between. `None` for any
    /// other text; numbers beyond 64 bits count as the largest.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (can_send, wants) = value.split_once(',')?;
        Some(Self {
            can_send_ms: parse_ms(can_send)?,
            wants_ms: parse_ms(wants)?,
        })
    }

    /// The offer of this side to a peer that offers `theirs`: it requests the peer's own interval,
    /// if that is between the shortest interval of this side and the preferred one.
    ///
    /// The peer beats at the greater of both numbers, so one that can beat every 2 s would not if
    /// 25 s were requested.
    #[must_use]
    pub fn towards(self, theirs: Self) -> Self {
        let wished = match theirs.can_send_ms {
            0 => self.wants_ms,
            wish => wish.max(self.can_send_ms).min(self.wants_ms),
        };
        Self {
            wants_ms: wished,
            ..self
        }
    }

    /// The header's value.
    #[must_use]
    pub fn header(self) -> String {
        format!("{},{}", self.can_send_ms, self.wants_ms)
    }
}

fn parse_ms(text: &str) -> Option<u64> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The peer sent nothing for twice the agreed interval.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed;

/// One side's timers. Any data counts as a heart-beat, in both directions.
///
/// Each direction beats every MAX(what the sender can, what the receiver wants), or not at all if
/// either is 0 (STOMP 1.2, "Heart-beating"). We send at 0.8 of the interval, so that a late timer
/// still meets the interval, and allow the peer twice its interval, as its timers are late too.
#[derive(Debug, Default)]
pub struct HeartBeatTimers {
    send_every: Option<Duration>,
    hear_within: Option<Duration>,
    sent_at: Option<Instant>,
    heard_at: Option<Instant>,
}

impl HeartBeatTimers {
    /// Timers of the side that offered `ours` to a peer that offered `theirs`.
    #[must_use]
    pub fn new(ours: HeartBeat, theirs: HeartBeat, now: Instant) -> Self {
        let send_ms = agreed_ms(ours.can_send_ms, theirs.wants_ms);
        let hear_ms = agreed_ms(theirs.can_send_ms, ours.wants_ms);
        Self {
            send_every: send_ms.map(|ms| percent_of(ms.min(INTERVAL_MS_MAX), 80)),
            hear_within: hear_ms
                .filter(|ms| *ms <= INTERVAL_MS_MAX)
                .map(|ms| percent_of(ms, 200)),
            sent_at: Some(now),
            heard_at: Some(now),
        }
    }

    /// Something was written to the peer.
    pub fn handle_sent(&mut self, now: Instant) {
        self.sent_at = Some(now);
    }

    /// Something was received.
    pub fn handle_received(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// The peer has announced its end: silence is no longer an error.
    pub(crate) fn expect_silence(&mut self) {
        self.hear_within = None;
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.beat_due(), self.silence_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When to probe a peer without heart-beats at a lower layer: after three quarters of the
    /// allowed silence.
    pub(crate) fn probe_due(&self) -> Option<Instant> {
        let allowed = self.hear_within?;
        let quarter = allowed.checked_div(4)?;
        self.heard_at?.checked_add(allowed.saturating_sub(quarter))
    }

    /// Whether a heart-beat is due; calling this counts as sending it.
    ///
    /// # Errors
    /// The peer has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<bool, Missed> {
        if self.silence_due().is_some_and(|due| due <= now) {
            return Err(Missed);
        }
        let beat = self.beat_due().is_some_and(|due| due <= now);
        if beat {
            self.sent_at = Some(now);
        }
        Ok(beat)
    }

    fn beat_due(&self) -> Option<Instant> {
        self.sent_at?.checked_add(self.send_every?)
    }

    fn silence_due(&self) -> Option<Instant> {
        self.heard_at?.checked_add(self.hear_within?)
    }
}

fn agreed_ms(can_send_ms: u64, wants_ms: u64) -> Option<u64> {
    (can_send_ms > 0 && wants_ms > 0).then(|| can_send_ms.max(wants_ms))
}

/// Exact, so never zero: an interval of 1 ms must not become a timer that is always due.
fn percent_of(ms: u64, percent: u64) -> Duration {
    Duration::from_micros(ms.saturating_mul(percent).saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(can_send_ms: u64, wants_ms: u64) -> Option<HeartBeat> {
        Some(HeartBeat {
            can_send_ms,
            wants_ms,
        })
    }

    fn check_due(ours: &str, theirs: &str, beat_ms: Option<u64>, silence_ms: Option<u64>) {
        let now = crate::session::test_epoch();
        let (ours, theirs) = (
            HeartBeat::parse(ours).unwrap(),
            HeartBeat::parse(theirs).unwrap(),
        );
        let timers = HeartBeatTimers::new(ours, theirs, now);
        let at = |ms: Option<u64>| ms.map(|ms| now + Duration::from_millis(ms));
        let expected = (at(beat_ms), at(silence_ms));
        assert_eq!((timers.beat_due(), timers.silence_due()), expected);
    }

    #[test]
    fn a_header_is_two_non_negative_integers() {
        assert_eq!(HeartBeat::parse("4000,4000"), parsed(4_000, 4_000));
        assert_eq!(HeartBeat::parse("0,0"), parsed(0, 0));
        assert_eq!(HeartBeat::parse("1, 2"), parsed(1, 2));
        assert_eq!(
            HeartBeat::parse("99999999999999999999,1"),
            parsed(u64::MAX, 1)
        );
        for value in [
            "", "1", "1,", ",1", "a,b", "-1,0", "1,2,3", "+1,1", "1.5,2", "0x1,1",
        ] {
            assert_eq!(HeartBeat::parse(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_peer_is_asked_for_its_own_interval_within_bounds() {
        for (ours, theirs, said) in [
            ("1000,25000", "2000,2000", "1000,2000"),
            ("1000,25000", "4000,0", "1000,4000"),
            ("1000,25000", "10,10", "1000,1000"),
            ("1000,25000", "60000,60000", "1000,25000"),
            ("1000,25000", "0,5000", "1000,25000"),
            ("1000,0", "2000,2000", "1000,0"),
            ("0,50", "20,0", "0,20"),
        ] {
            let [ours, theirs] = [ours, theirs].map(|value| HeartBeat::parse(value).unwrap());
            assert_eq!(ours.towards(theirs).header(), said, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn each_direction_takes_the_slower_of_can_and_wants() {
        check_due("1000,25000", "4000,4000", Some(3_200), Some(50_000));
        check_due("1000,1000", "1000,1000", Some(800), Some(2_000));
        check_due("1000,1000", "10,10", Some(800), Some(2_000));
    }

    #[test]
    fn a_zero_on_either_side_turns_a_direction_off() {
        check_due("1000,25000", "0,0", None, None);
        check_due("0,0", "1000,1000", None, None);
        check_due("1000,1000", "0,2000", Some(1_600), None);
        check_due("1000,0", "2000,0", None, None);
    }

    #[test]
    fn absurd_wishes_are_clamped() {
        let hour = INTERVAL_MS_MAX;
        check_due(
            "1000,1000",
            "1000,99999999999999999999",
            Some(hour * 8 / 10),
            Some(2_000),
        );
        check_due("1000,1000", "99999999999999999999,1000", Some(800), None);
    }

    #[test]
    fn the_shortest_interval_still_is_one() {
        let now = crate::session::test_epoch();
        let shortest = HeartBeat::parse("1,1").unwrap();
        let timers = HeartBeatTimers::new(shortest, shortest, now);
        assert_eq!(
            timers.poll_timeout(),
            Some(now + Duration::from_micros(800))
        );
    }

    #[test]
    fn any_data_sent_or_heard_restarts_its_timer() {
        let start = crate::session::test_epoch();
        let at = |ms| start + Duration::from_millis(ms);
        let second = HeartBeat {
            can_send_ms: 1_000,
            wants_ms: 1_000,
        };
        let mut timers = HeartBeatTimers::new(second, second, start);
        assert_eq!(timers.poll_timeout(), Some(at(800)));
        timers.handle_sent(at(500));
        assert_eq!(timers.poll_timeout(), Some(at(1_300)));
        assert_eq!(timers.handle_timeout(at(1_299)), Ok(false));
        assert_eq!(timers.handle_timeout(at(1_300)), Ok(true));
        assert_eq!(timers.handle_timeout(at(1_999)), Ok(false));
        timers.handle_received(at(1_999));
        assert_eq!(timers.handle_timeout(at(3_998)), Ok(true));
        assert_eq!(timers.handle_timeout(at(3_999)), Err(Missed));
    }
}
