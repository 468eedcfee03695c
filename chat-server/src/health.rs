//! Health of this node: readiness for balancers, and the phase of its stop.
//!
//! Only conditions of this node alone make it unready: its stop, and faults of its own parts, such
//! as an embedded store that takes no writes. Faults that all nodes share, such as the distributed
//! store's, are shown and do not: else the balancer would have no node left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// The phase of the node's stop. A stop only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// No stop.
    Serving = 0,
    /// Unready: balancers should send no clients; those that connect are still served.
    LameDuck = 1,
    /// No client is accepted; connections get a migration notice, each at its scheduled time.
    Notice = 2,
    /// Connections that have not migrated are closed.
    Close = 3,
    /// No connection; writes under way are finished.
    Flush = 4,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Serving,
        Self::LameDuck,
        Self::Notice,
        Self::Close,
        Self::Flush,
    ];

    /// Its number in metrics.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::LameDuck => "lame-duck",
            Self::Notice => "notice",
            Self::Close => "close",
            Self::Flush => "flush",
        }
    }
}

/// The state of the node.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    /// A [`Phase`]'s number.
    phase: AtomicU8,
    /// Parts of this node that do not work, and why.
    faults: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// Not started yet, not stopping.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything is built and served.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The node's stop has come to this phase, or further.
    pub fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase.number(), Ordering::AcqRel);
    }

    /// The phase of the node's stop.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let number = self.phase.load(Ordering::Acquire);
        let known = Phase::ALL
            .into_iter()
            .find(|phase| phase.number() == number);
        known.unwrap_or(Phase::Flush)
    }

    /// Whether everything is built and served.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether the node is about to stop: balancers should send no clients.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// Whether new connections are still accepted.
    #[must_use]
    pub fn takes_clients(&self) -> bool {
        self.phase() < Phase::Notice
    }

    /// A part of this node does not work, for this reason.
    pub fn set_fault(&self, part: &'static str, why: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.insert(part, why);
    }

    /// The part works again.
    pub fn clear_fault(&self, part: &'static str) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.remove(part);
    }

    /// The reasons of being unready, as text; empty if the node is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = faults.iter().map(|(part, why)| format!("{part}: {why}"));
        let starting = (!self.is_started()).then(|| "it is starting".to_owned());
        let stopping = self.is_draining().then(|| "it is stopping".to_owned());
        starting.into_iter().chain(stopping).chain(faults).collect()
    }

    /// Whether balancers should send clients here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_between_its_start_and_its_stop() {
        let health = Health::new();
        assert!(!health.is_ready());
        health.set_started();
        assert!(health.is_ready());
        health.enter(Phase::LameDuck);
        assert!(!health.is_ready());
        assert!(health.is_started());
    }

    #[test]
    fn a_node_with_a_fault_is_not_ready_and_says_why() {
        let health = Health::new();
        health.set_started();
        health.set_fault("store", "disk full".to_owned());
        assert!(!health.is_ready());
        assert_eq!(health.reasons(), ["store: disk full"]);
        health.clear_fault("store");
        assert!(health.is_ready());
    }

    #[test]
    fn a_stop_only_goes_forward_and_a_lame_duck_still_takes_clients() {
        let health = Health::new();
        assert_eq!(health.phase(), Phase::Serving);
        for (phase, takes) in [
            (Phase::LameDuck, true),
            (Phase::Notice, false),
            (Phase::Close, false),
            (Phase::Flush, false),
        ] {
            health.enter(phase);
            health.enter(Phase::LameDuck);
            assert_eq!((health.phase(), health.takes_clients()), (phase, takes));
        }
    }
}
