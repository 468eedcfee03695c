//! The parts of a node that the embedded store reports to.

use std::sync::Arc;

use shared::drain::Drain;

use crate::health::Health;
use crate::metrics::Metrics;

/// Where the store reports its state. The default is a node of its own, for tests and tools.
#[derive(Clone, Debug, Default)]
pub struct NodeContext {
    /// Counters of the store.
    pub metrics: Arc<Metrics>,
    /// Readiness: a store that takes no writes is a fault of its node.
    pub health: Arc<Health>,
    /// The process, which ends if the store cannot be opened again.
    pub drain: Drain,
}
