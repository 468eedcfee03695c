//! Health of this node, for load balancers and supervisors.
//!
//! Only a fault of this node alone makes it unready. A fault that all nodes share, such as the
//! store's, is reported but does not: otherwise the balancer would have no node left.

use std::sync::atomic::{AtomicBool, Ordering};

/// The state of the node.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
}

impl Health {
    /// Not started yet, not draining.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Marks the node as started: everything is built and served.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Marks the node as draining: load balancers should route no more clients to it.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// True once everything is built and served.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// True once the node is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// True while load balancers should route clients to the node.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_started() && !self.is_draining()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_between_its_start_and_its_drain() {
        let health = Health::new();
        assert!(!health.is_ready());
        health.set_started();
        assert!(health.is_ready());
        health.set_draining();
        assert!(!health.is_ready());
        assert!(health.is_started());
    }
}
