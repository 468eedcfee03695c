//! When connections move to other nodes: at even distances, in random order.
//!
//! Clients reconnect when they are notified, or some fixed time after they were closed, all of them
//! alike (stompjs: 5 s after any close code). So it is this node that spreads them. Pure: the seed
//! decides all draws.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::wake_queue::MoveAt;

/// When the connections of a node that stops move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSchedule {
    /// When it begins.
    pub begins: Instant,
    /// Over how long clients are moved.
    pub spread: Duration,
    /// How long a notified client may stay beyond the last one's time.
    pub margin: Duration,
    /// Over how long those that stay nevertheless are closed.
    pub closes: Duration,
}

impl DrainSchedule {
    /// The times for the connection at the fraction `place` (0 to 1) of the schedule.
    #[must_use]
    pub fn at(&self, place: f64) -> MoveAt {
        let after = |time: Duration| self.begins.checked_add(time).unwrap_or(self.begins);
        let closes_begin = self.spread.saturating_add(self.margin);
        MoveAt {
            go_at: after(times(self.spread, place)),
            close_at: after(closes_begin.saturating_add(times(self.closes, place))),
        }
    }

    /// When the first of the clients that did not move is closed.
    #[must_use]
    pub fn first_close(&self) -> Instant {
        self.at(0.0).close_at
    }

    /// When the last one is closed.
    #[must_use]
    pub fn last_close(&self) -> Instant {
        self.at(1.0).close_at
    }
}

/// What a number is drawn for; draws for different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Fraction for a connection that is opened after the drain began.
    Place,
    /// Age at which a connection is rebalanced.
    Age,
}

/// Assigns each connection a fraction (0 to 1) of the schedule: a random point of one of as many
/// equal parts, in random order. Independent draws would cluster.
pub(super) fn places(seed: u64, mut ids: Vec<u64>) -> Vec<(u64, f64)> {
    ids.sort_unstable(); // whatever the order in which they were found
    let mut random = StdRng::seed_from_u64(seed);
    ids.shuffle(&mut random);
    let count = f64::from(u32::try_from(ids.len()).unwrap_or(u32::MAX));
    let placed = ids.into_iter().zip(0_u32..).map(|(id, at)| {
        let point: f64 = random.random();
        (id, (f64::from(at) + point) / count)
    });
    placed.collect()
}

/// A random number from 0 to below 1, always the same for the same arguments.
pub(super) fn draw(seed: u64, purpose: Purpose, id: u64) -> f64 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&id.to_le_bytes());
    bytes[16] = match purpose {
        Purpose::Place => 0,
        Purpose::Age => 1,
    };
    StdRng::from_seed(bytes).random()
}

/// The age at which a connection is rebalanced, a quarter more or less than the configured one: three
/// quarters of it for a draw of 0, five for 1. Connections that came all at once, after a restart, do
/// not move all at once.
pub(super) fn varied(age: Duration, drawn: f64) -> Duration {
    times(age, 0.75 + 0.5 * drawn)
}

fn times(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    fn schedule() -> DrainSchedule {
        DrainSchedule {
            begins: SystemClock.now(),
            spread: Duration::from_secs(90),
            margin: Duration::from_secs(5),
            closes: Duration::from_secs(10),
        }
    }

    #[test]
    fn notified_clients_are_closed_only_after_the_last_ones_time() {
        let schedule = schedule();
        let check = |place, go, close| {
            let leave = schedule.at(place);
            let after = |seconds| schedule.begins + Duration::from_secs(seconds);
            assert_eq!((leave.go_at, leave.close_at), (after(go), after(close)));
        };
        check(0.0, 0, 95);
        check(0.5, 45, 100);
        check(1.0, 90, 105);
        assert_eq!(schedule.first_close(), schedule.at(0.0).close_at);
        assert_eq!(schedule.last_close(), schedule.at(1.0).close_at);
    }

    /// However many there are and whenever they came: in any stretch of time about as many go as in
    /// any other, and never two more than its share.
    #[test]
    fn connections_go_at_an_even_pace_in_random_order() {
        for (seed, count) in [(1, 1), (2, 7), (3, 1_000), (0, 50_000)] {
            let placed = places(seed, (100..100 + count).collect());
            let mut ids: Vec<u64> = placed.iter().map(|(id, _)| *id).collect();
            let in_order = ids.is_sorted();
            ids.sort_unstable();
            assert!(ids.into_iter().eq(100..100 + count), "each has a place");
            assert!(count < 7 || !in_order, "older ones do not go first");
            for (at, (_, place)) in placed.iter().enumerate() {
                let part = place * count as f64;
                let is_own = at as f64 <= part && part < at as f64 + 1.0;
                assert!(is_own, "seed {seed}: {at} of {count} goes at {place}");
            }
        }
    }

    #[test]
    fn places_depend_on_the_seed_alone() {
        let placed = places(5, (0..50).collect());
        assert_eq!(placed, places(5, (0..50).rev().collect()));
        assert_ne!(placed, places(6, (0..50).collect()));
    }

    #[test]
    fn ages_vary_by_a_quarter() {
        let hour = Duration::from_secs(3_600);
        let seconds = [0.0, 0.5, 1.0].map(|drawn| varied(hour, drawn).as_secs());
        assert_eq!(seconds, [2_700, 3_600, 4_500]);
        assert_eq!(varied(Duration::MAX, 1.0), Duration::MAX);
    }

    #[test]
    fn draws_are_even_and_differ_by_seed_and_purpose() {
        let mut parts = [0; 10];
        for id in 0..10_000 {
            let drawn = draw(7, Purpose::Age, id);
            let part = (0..10).rev().find(|part| drawn >= f64::from(*part) / 10.0);
            parts[usize::try_from(part.unwrap()).unwrap()] += 1;
        }
        assert!(
            parts.iter().all(|part| (850..1_150).contains(part)),
            "{parts:?}"
        );
        let drawn = [(7, Purpose::Age), (7, Purpose::Place), (8, Purpose::Age)];
        let drawn = drawn.map(|(seed, purpose)| draw(seed, purpose, 3));
        assert!(drawn[0] != drawn[1] && drawn[0] != drawn[2], "{drawn:?}");
    }
}
