//! The move of one client to another node: because this node stops, or because the connection is
//! old and nodes share clients evenly.
//!
//! A client that subscribes to `/user/queue/system` is notified of its time and has a while to move
//! by itself; any other is closed at its time. State only: the task writes the notice.

use std::time::{Duration, Instant};

use stomp::CloseCode;

use super::drain_schedule::{Purpose, draw, varied};
use super::services::Services;
use crate::wake_queue::{CloseReason, MoveAt};
use crate::wire::DrainNotice;

/// How an old connection ends whose client was notified and did not move: 1001, going away.
const TOO_OLD: CloseReason = CloseReason {
    code: CloseCode(1001),
    text: "max-age",
};

/// Why a client moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The node stops.
    Restart,
    /// The connection is old.
    MaxAge,
}

/// A move that has begun.
#[derive(Debug)]
struct Move {
    why: Why,
    at: MoveAt,
    is_notified: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MigrationStep {
    /// A move has begun: the client is to be notified.
    Notify,
    /// The client's time is over.
    Close(CloseReason),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Migration {
    planned: Option<Move>,
    /// When the connection is old.
    rebalance_at: Option<Instant>,
}

impl Migration {
    /// Of a connection that begins now and is rebalanced at that time; `None`: never.
    pub(super) fn new(rebalance_at: Option<Instant>) -> Self {
        Self {
            planned: None,
            rebalance_at,
        }
    }

    /// The node stops; only the first call counts.
    pub(super) fn begin_restart(&mut self, at: MoveAt) {
        let is_restart = |planned: &Move| planned.why == Why::Restart;
        if !self.planned.as_ref().is_some_and(is_restart) {
            self.plan(Why::Restart, at);
        }
    }

    fn plan(&mut self, why: Why, at: MoveAt) {
        self.planned = Some(Move {
            why,
            at,
            is_notified: false,
        });
    }

    /// The notice to the client, once, when a move has begun. The caller must be able to deliver it.
    pub(super) fn take_notice(&mut self, now: Instant) -> Option<DrainNotice<'static>> {
        let planned = self.planned.as_mut()?;
        if std::mem::replace(&mut planned.is_notified, true) {
            return None;
        }
        Some(DrainNotice {
            kind: "drain",
            reason: planned.why.name(),
            reconnect_after_ms: millis(planned.at.go_at, now),
            deadline_ms: millis(planned.at.close_at, now),
        })
    }

    /// When [`step`](Self::step) is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.planned {
            None => self.rebalance_at,
            Some(planned) if planned.is_notified => Some(planned.at.close_at),
            Some(planned) => match planned.why {
                Why::Restart => Some(planned.at.go_at),
                // A client that cannot be notified would be away for seconds, and may not be able to
                // resume: even shares are not worth that.
                Why::MaxAge => None,
            },
        }
    }

    /// Its time has come; an old connection's client gets `margin` to move.
    pub(super) fn step(&mut self, now: Instant, margin: Duration) -> MigrationStep {
        match &self.planned {
            None => {
                let close_at = now.checked_add(margin).unwrap_or(now);
                let at = MoveAt {
                    go_at: now,
                    close_at,
                };
                self.plan(Why::MaxAge, at);
                MigrationStep::Notify
            }
            Some(planned) => MigrationStep::Close(match planned.why {
                Why::Restart => CloseReason::RESTART,
                Why::MaxAge => TOO_OLD,
            }),
        }
    }
}

impl Why {
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
    now.checked_add(varied(age, draw(services.seed, Purpose::Age, id)))
}

fn millis(at: Instant, now: Instant) -> u64 {
    let left = at.saturating_duration_since(now).as_millis();
    u64::try_from(left).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn a_client_is_notified_once_and_closed_at_its_deadline() {
        let now = SystemClock.now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let at = MoveAt {
            go_at: after(3),
            close_at: after(9),
        };
        let mut migration = Migration::new(Some(after(60)));
        assert_eq!(migration.take_notice(now), None);
        assert_eq!(migration.due(), Some(after(60)));
        migration.begin_restart(at);
        assert_eq!(
            migration.due(),
            Some(after(3)),
            "one that cannot be notified"
        );
        let notice = migration.take_notice(after(1)).unwrap();
        assert_eq!(
            (notice.reason, notice.reconnect_after_ms, notice.deadline_ms),
            ("restart", 2_000, 8_000)
        );
        assert_eq!(migration.take_notice(now), None);
        assert_eq!(migration.due(), Some(after(9)));
        migration.begin_restart(MoveAt {
            go_at: now,
            close_at: now,
        });
        assert_eq!(
            migration.due(),
            Some(after(9)),
            "only the first call counts"
        );
        let step = migration.step(after(9), Duration::ZERO);
        assert_eq!(step, MigrationStep::Close(CloseReason::RESTART));
    }

    #[test]
    fn an_old_connection_is_closed_only_if_its_client_was_notified() {
        let now = SystemClock.now();
        let margin = Duration::from_secs(5);
        let mut migration = Migration::new(Some(now));
        assert_eq!(migration.step(now, margin), MigrationStep::Notify);
        assert_eq!(migration.due(), None);
        assert_eq!(migration.take_notice(now).unwrap().reason, "max-age");
        assert_eq!(migration.due(), Some(now + margin));
        assert_eq!(
            migration.step(now + margin, margin),
            MigrationStep::Close(TOO_OLD)
        );
    }
}
