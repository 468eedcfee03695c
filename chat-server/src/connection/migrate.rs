//! Sending clients to other nodes: when each is to go, and how it is told.
//!
//! Clients come back when they are told to, or some fixed time after they were closed, all of them
//! alike (stompjs: 5 s after any close code). So it is this node that spreads them: connections go at
//! even distances, in an order drawn by lot. A client that listens on `/user/queue/system` is told
//! its time and has a while to move by itself; any other is closed at its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stomp::CloseCode;

use super::actor::Actor;
use super::delivery::{Source, Subscription, push_message};
use super::registry::ConnectionEntry;
use super::{RESTART, Services};
use crate::wake_queue::{ConnectionEvent, MoveAt};
use crate::wire::DrainNotice;

/// How an old connection ends whose client was asked to come again and did not: 1001, going away.
const TOO_OLD: (CloseCode, &str) = (CloseCode(1001), "max-age");

/// Keep draws from the same seed apart.
const ORDER_DRAW: u64 = 1;
const PLACE_DRAW: u64 = 2;
const AGE_DRAW: u64 = 3;

/// When the connections of a node that stops are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSchedule {
    /// When it begins.
    pub begins: Instant,
    /// Over how long clients are sent away.
    pub spread: Duration,
    /// How long one that was told may stay beyond the last one's time.
    pub margin: Duration,
    /// Over how long those that stay nevertheless are closed.
    pub closes: Duration,
}

impl DrainSchedule {
    /// When a connection goes whose place among all is this, from 0 to 1.
    #[must_use]
    pub fn at(&self, place: f64) -> MoveAt {
        let after = |time: Duration| self.begins.checked_add(time).unwrap_or(self.begins);
        let closes_begin = self.spread.saturating_add(self.margin);
        MoveAt {
            go_at: after(times(self.spread, place)),
            close_at: after(closes_begin.saturating_add(times(self.closes, place))),
        }
    }

    /// When nobody should be left who could have gone by itself.
    #[must_use]
    pub fn told_until(&self) -> Instant {
        self.at(0.0).close_at
    }

    /// When the last one is closed.
    #[must_use]
    pub fn last_close(&self) -> Instant {
        self.at(1.0).close_at
    }
}

/// Why a client is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The node stops.
    Restart,
    /// The connection is old.
    MaxAge,
}

/// A client is to go to another node.
#[derive(Debug)]
pub(super) struct Migration {
    reason: Reason,
    leave: MoveAt,
    told: bool,
}

impl Services {
    /// Sends all connections away, now and those that were on their way here, each at its time.
    pub fn migrate_all(&self, schedule: DrainSchedule) {
        // First this, then the list: a connection that is not on the list yet finds it.
        if self.connections.schedule.set(schedule).is_err() {
            return;
        }
        let open = &self.connections.open;
        let ids = open.iter().map(|connection| *connection.key()).collect();
        for (id, place) in places(self.seed, ids) {
            if let Some(entry) = open.get(&id) {
                entry
                    .wake_queue()
                    .post(ConnectionEvent::Migrate(schedule.at(place)));
            }
        }
    }

    /// The same for a connection that has just come on the list. It may have had its letter already.
    pub(super) fn migrate_late(&self, entry: &ConnectionEntry) {
        if let Some(schedule) = self.connections.schedule.get() {
            let place = draw(self.seed, PLACE_DRAW, entry.id());
            entry
                .wake_queue()
                .post(ConnectionEvent::Migrate(schedule.at(place)));
        }
    }
}

impl Actor {
    /// The node stops.
    pub(super) fn on_migrate(&mut self, leave: MoveAt) {
        let is_known = |known: &Migration| known.reason == Reason::Restart;
        if self.migration.as_ref().is_some_and(is_known) {
            return;
        }
        self.migrate(Reason::Restart, leave);
    }

    fn migrate(&mut self, reason: Reason, leave: MoveAt) {
        self.migration = Some(Migration {
            reason,
            leave,
            told: false,
        });
        self.announce_migration();
    }

    /// Tells the client to go, once, as soon as it is to and listens.
    pub(super) fn announce_migration(&mut self) {
        if self.is_ending() {
            return;
        }
        let listens = |subscription: &&Subscription| matches!(subscription.source, Source::System);
        let subscription = self.slots.iter().flatten().find(listens);
        let Some((migration, subscription)) = self.migration.as_mut().zip(subscription) else {
            return;
        };
        if std::mem::replace(&mut migration.told, true) {
            return;
        }
        let now = self.services.clock.now();
        let reason = migration.reason.name();
        let notice = DrainNotice {
            kind: "drain",
            reason,
            reconnect_after_ms: millis(migration.leave.go_at, now),
            deadline_ms: millis(migration.leave.close_at, now),
        };
        let body = serde_json::to_vec(&notice).unwrap_or_default(); // numbers and plain words
        self.unstored += 1;
        // The session's name is unique on this node only; clients drop what they saw elsewhere.
        let id = format!("drain-{:016x}-{}", self.services.seed, self.unstored);
        let after = notice.reconnect_after_ms.to_string();
        let headers = [
            ("destination", "/user/queue/system"),
            ("message-id", &*id),
            ("content-type", "application/json"),
            ("type", notice.kind),
            ("reconnect-after-ms", &*after),
            ("reason", reason),
        ];
        let variant = Arc::clone(&subscription.variant);
        push_message(&mut self.socket, &variant, &headers, &body);
        let notices = &self.services.metrics.drain_notices;
        notices.with_label_values(&[reason]).inc();
    }

    /// When something has to be done about this.
    pub(super) fn migrate_due(&self) -> Option<Instant> {
        if self.is_ending() || self.session.is_closed() {
            return None;
        }
        match &self.migration {
            None => self.rebalance_at,
            Some(Migration { leave, told, .. }) if *told => Some(leave.close_at),
            Some(Migration { reason, leave, .. }) => match reason {
                Reason::Restart => Some(leave.go_at),
                // Who cannot be told would be away for seconds, and may not know how to resume:
                // even shares are not worth that.
                Reason::MaxAge => None,
            },
        }
    }

    pub(super) fn on_migrate_due(&mut self, now: Instant) {
        match &self.migration {
            None => {
                let margin = self.services.config.rebalance_margin;
                let close_at = now.checked_add(margin).unwrap_or(now);
                let leave = MoveAt {
                    go_at: now,
                    close_at,
                };
                self.migrate(Reason::MaxAge, leave);
            }
            Some(migration) => {
                let (code, reason) = match migration.reason {
                    Reason::Restart => RESTART,
                    Reason::MaxAge => TOO_OLD,
                };
                self.close_gracefully(code, reason);
            }
        }
    }
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::MaxAge => "max-age",
        }
    }
}

/// When a connection that begins now is old; `None`: never.
pub(super) fn rebalance_at(services: &Services, id: u64, now: Instant) -> Option<Instant> {
    let age = services.config.rebalance_age;
    if age.is_zero() {
        return None;
    }
    now.checked_add(varied(age, draw(services.seed, AGE_DRAW, id)))
}

/// A quarter more or less: three quarters for a draw of 0, five for 1. Connections that came all at
/// once, after a restart, do not go all at once.
fn varied(age: Duration, drawn: f64) -> Duration {
    times(age, 0.75 + 0.5 * drawn)
}

/// A place between 0 and 1 for each connection: one in each of as many equal parts, at a random
/// point of it, in random order. Drawn one by one they would come in clumps.
fn places(seed: u64, mut ids: Vec<u64>) -> Vec<(u64, f64)> {
    ids.sort_by(|one, other| {
        let lot = |id: &u64| draw(seed, ORDER_DRAW, *id);
        lot(one).total_cmp(&lot(other)).then(one.cmp(other))
    });
    let count = f64::from(u32::try_from(ids.len()).unwrap_or(u32::MAX));
    let placed = ids.into_iter().zip(0_u32..).map(|(id, at)| {
        let place = (f64::from(at) + draw(seed, PLACE_DRAW, id)) / count;
        (id, place)
    });
    placed.collect()
}

/// A number from 0 to below 1 that looks random: the finaliser of SplitMix64 (Steele, Lea, Flood:
/// Fast splittable pseudorandom number generators, 2014).
fn draw(seed: u64, which: u64, id: u64) -> f64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = seed ^ which.wrapping_mul(STEP).rotate_left(32);
    mixed = mixed.wrapping_add(id.wrapping_add(1).wrapping_mul(STEP));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

fn times(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(time)
}

fn millis(at: Instant, now: Instant) -> u64 {
    let left = at.saturating_duration_since(now).as_millis();
    u64::try_from(left).unwrap_or(u64::MAX)
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
    fn who_was_told_is_closed_only_after_the_last_ones_time() {
        let schedule = schedule();
        let check = |place, go, close| {
            let leave = schedule.at(place);
            let after = |seconds| schedule.begins + Duration::from_secs(seconds);
            assert_eq!((leave.go_at, leave.close_at), (after(go), after(close)));
        };
        check(0.0, 0, 95);
        check(0.5, 45, 100);
        check(1.0, 90, 105);
        assert_eq!(schedule.told_until(), schedule.at(0.0).close_at);
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
            let drawn = draw(7, AGE_DRAW, id);
            let part = (0..10).rev().find(|part| drawn >= f64::from(*part) / 10.0);
            parts[usize::try_from(part.unwrap()).unwrap()] += 1;
        }
        assert!(
            parts.iter().all(|part| (850..1_150).contains(part)),
            "{parts:?}"
        );
        let drawn = [(7, ORDER_DRAW), (7, PLACE_DRAW), (8, ORDER_DRAW)];
        let drawn = drawn.map(|(seed, which)| draw(seed, which, 3));
        assert!(drawn[0] != drawn[1] && drawn[0] != drawn[2], "{drawn:?}");
    }
}
