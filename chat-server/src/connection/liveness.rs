//! Liveness of the peer: when it is pinged, when it is given up, how much idle input it may send.
//!
//! It reads no clock and writes nothing to the socket; STOMP's own heart-beats are the session's.

use std::time::{Duration, Instant};

use super::idle_budget::IdleBudget;

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LivenessLimits {
    /// Time without input after which the peer is pinged, and after as long again given up.
    pub(super) ping_interval: Duration,
    /// Time without progress in writing after which the peer is given up.
    pub(super) send_time_limit: Duration,
}

/// What is due after a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The peer is to be pinged.
    Ping,
    /// It has not answered a ping.
    Lost,
}

/// Signs of life of the peer.
#[derive(Debug)]
pub(super) struct Liveness {
    limits: LivenessLimits,
    received_at: Instant,
    is_pinged: bool,
    written_at: Instant,
    idle: IdleBudget,
}

impl Liveness {
    pub(super) fn new(limits: LivenessLimits, now: Instant) -> Self {
        Self {
            limits,
            received_at: now,
            is_pinged: false,
            written_at: now,
            idle: IdleBudget::new(now),
        }
    }

    /// Input has come.
    pub(super) fn note_received(&mut self, now: Instant) {
        self.received_at = now;
        self.is_pinged = false;
    }

    /// Output has been accepted.
    pub(super) fn note_written(&mut self, now: Instant) {
        self.written_at = now;
    }

    /// Whether so much more input without content is within the budget.
    pub(super) fn allows_idle(&mut self, count: u64, now: Instant) -> bool {
        self.idle.takes(count, now)
    }

    /// When a peer is given up that accepts none of the bytes that wait for it.
    pub(super) fn stalled_due(&self, waiting_bytes: usize) -> Option<Instant> {
        let due = self.written_at.checked_add(self.limits.send_time_limit);
        due.filter(|_| waiting_bytes > 0)
    }

    /// When a silent peer is pinged, and when it is given up after that.
    ///
    /// A peer whose heart-beats are late is pinged before they count as missed, at `probe_due`:
    /// browsers slow down the timers of a page in the background, but still answer pings.
    pub(super) fn silence_due(&self, probe_due: Option<Instant>) -> Instant {
        let due = self.received_at.checked_add(self.limits.ping_interval);
        let due = due.unwrap_or(self.received_at);
        let probe_due = probe_due.filter(|_| !self.is_pinged);
        probe_due.map_or(due, |probe| probe.min(due))
    }

    /// The silence has lasted until its due time.
    pub(super) fn on_silence(&mut self, now: Instant) -> Silence {
        if self.is_pinged {
            return Silence::Lost;
        }
        self.is_pinged = true;
        self.received_at = now;
        Silence::Ping
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    fn liveness(now: Instant) -> Liveness {
        let limits = LivenessLimits {
            ping_interval: Duration::from_secs(10),
            send_time_limit: Duration::from_secs(30),
        };
        Liveness::new(limits, now)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_then_given_up() {
        let start = SystemClock.now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut liveness = liveness(start);
        assert_eq!(liveness.silence_due(None), after(10));
        assert_eq!(liveness.on_silence(after(10)), Silence::Ping);
        assert_eq!(liveness.silence_due(None), after(20));
        liveness.note_received(after(12));
        assert_eq!(liveness.silence_due(None), after(22), "it has answered");
        assert_eq!(liveness.on_silence(after(22)), Silence::Ping);
        assert_eq!(liveness.on_silence(after(32)), Silence::Lost);
    }

    #[test]
    fn late_heart_beats_are_probed_once() {
        let start = SystemClock.now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut liveness = liveness(start);
        assert_eq!(liveness.silence_due(Some(after(4))), after(4));
        assert_eq!(liveness.on_silence(after(4)), Silence::Ping);
        assert_eq!(liveness.silence_due(Some(after(4))), after(14));
    }

    #[test]
    fn only_bytes_that_wait_can_stall() {
        let start = SystemClock.now();
        let mut liveness = liveness(start);
        assert_eq!(liveness.stalled_due(0), None);
        assert_eq!(
            liveness.stalled_due(1),
            Some(start + Duration::from_secs(30))
        );
        let later = start + Duration::from_secs(5);
        liveness.note_written(later);
        assert_eq!(
            liveness.stalled_due(1),
            Some(later + Duration::from_secs(30))
        );
    }
}
