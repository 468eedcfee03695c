//! Metrics of the market's domain events.

use prometheus::{IntCounter, IntCounterVec};

/// See the module.
#[derive(Debug)]
pub struct EventMetrics {
    /// Posts of domain events, by outcome: ok, refused, unavailable, stale, invalid.
    pub posts: IntCounterVec,
    /// Domain events taken, repetitions included.
    pub taken: IntCounter,
    /// Notifications and alarms appended to inboxes.
    pub entries: IntCounter,
}
