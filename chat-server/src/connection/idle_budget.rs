//! Meter of idle input: WebSocket frames that are empty or only control, and STOMP's line ends. Each
//! costs little, so no other limit bounds their number.
//!
//! [`Meter`] counts the frames while they are read, as tungstenite shows only whole messages;
//! [`IdleBudget`] limits their number. It closes nothing.

use std::time::{Duration, Instant};

/// Idle frames and line ends per second that may come for ever. Heart-beats and pings come once a
/// second at most.
const PER_SECOND: u32 = 50;

/// The same at once: so many heart-beats of one per second gather while this server, or the network,
/// stands still for a quarter of an hour.
const BURST: u64 = 1_000;

/// The longest head of a frame (RFC 6455 §5.2): two bytes, eight of length, four of the mask.
const HEAD_BYTES_MAX: usize = 14;

/// Parses the frames of a peer and counts those without content.
#[derive(Debug, Default)]
pub(super) struct Meter {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// Bytes left of the frame that is being read.
    payload_left: u64,
    idle: u64,
}

impl Meter {
    /// Takes the bytes that were read, in any portions.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
            let skipped = skipped.min(bytes.len());
            self.payload_left -= skipped as u64;
            let Some((first, rest)) = bytes.get(skipped..).and_then(<[u8]>::split_first) else {
                return;
            };
            bytes = rest;
            self.take_head(*first);
        }
    }

    /// The count since the last call.
    pub(super) fn take(&mut self) -> u64 {
        std::mem::take(&mut self.idle)
    }

    fn take_head(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.head_bytes) {
            *place = byte;
            self.head_bytes += 1;
        }
        let [first, second, ..] = self.head;
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        if self.head_bytes < 2 + length_bytes + mask_bytes || self.head_bytes < 2 {
            return;
        }
        let length = self.head.get(2..2 + length_bytes).unwrap_or_default();
        let length = match length {
            [] => u64::from(second & 0x7f),
            length => length
                .iter()
                .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
        };
        let is_control = first & 0x08 != 0;
        if is_control || length == 0 {
            self.idle = self.idle.saturating_add(1);
        }
        self.payload_left = length;
        self.head_bytes = 0;
    }
}

/// A leaky bucket.
#[derive(Debug)]
pub(super) struct IdleBudget {
    level: u64,
    leaked_at: Instant,
}

impl IdleBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: 0,
            leaked_at: now,
        }
    }

    /// Whether so many more are within the budget.
    pub(super) fn takes(&mut self, count: u64, now: Instant) -> bool {
        let drop_every = Duration::from_secs(1) / PER_SECOND;
        let passed = now.saturating_duration_since(self.leaked_at);
        let drops = passed.as_nanos() / drop_every.as_nanos();
        let leaked = u64::try_from(drops).unwrap_or(u64::MAX);
        // Whole drops only, so that many calls leak as much as one.
        if leaked >= self.level {
            self.level = 0;
            self.leaked_at = now;
        } else if let Ok(drops) = u32::try_from(leaked) {
            self.level -= leaked;
            self.leaked_at += drop_every.saturating_mul(drops);
        }
        self.level = self.level.saturating_add(count);
        self.level <= BURST
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    /// Frames of a client: the first byte and how long the payload is.
    fn frames(frames: &[(u8, usize)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (first, length) in frames {
            bytes.push(*first);
            match *length {
                short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
                medium @ 126..0x1_0000 => {
                    bytes.push(0x80 | 126);
                    bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
                }
                long => {
                    bytes.push(0x80 | 127);
                    bytes.extend((long as u64).to_be_bytes());
                }
            }
            bytes.extend([0x80; 4]);
            bytes.extend(vec![0x89; *length]);
        }
        bytes
    }

    #[test]
    fn frames_that_carry_nothing_are_counted_however_they_are_cut() {
        let all = [
            (0x81, 0),
            (0x81, 125),
            (0x01, 126),
            (0x00, 0),
            (0x80, 0),
            (0x82, 70_000),
            (0x89, 0),
            (0x8a, 125),
            (0x81, 1),
        ];
        let bytes = frames(&all);
        for portion in [1, 2, 3, 7, 1_000, bytes.len()] {
            let mut meter = Meter::default();
            bytes.chunks(portion).for_each(|part| meter.feed(part));
            assert_eq!(meter.take(), 5, "in portions of {portion}");
            assert_eq!(meter.take(), 0);
        }
    }

    #[test]
    fn a_beat_a_second_is_never_too_much_and_a_flood_soon_is() {
        let start = SystemClock.now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut budget = IdleBudget::new(start);
        assert!((0..100_000).all(|second| budget.takes(2, after(second * 1_000))));
        let mut budget = IdleBudget::new(start);
        assert!((0..100_000).all(|beat| budget.takes(1, after(beat * 20))));
        let mut budget = IdleBudget::new(start);
        assert!(budget.takes(BURST, start));
        assert!(!budget.takes(1, start));
        assert!(budget.takes(0, after(1_000)) && budget.takes(40, after(1_000)));
        let mut budget = IdleBudget::new(start);
        let taken = (0..10_000).take_while(|beat| budget.takes(1, after(*beat)));
        assert!((1_000..1_100).contains(&taken.count()), "at 1,000 a second");
    }
}
