//! Metrics of presence: which members are connected to the site.

use prometheus::IntCounter;

/// Counters of the registry of members and of what rooms show of it.
#[derive(Debug)]
pub struct PresenceMetrics {
    /// Members that this node found to have come online for the whole site.
    pub online: IntCounter,
    /// Members that this node found to have gone offline for the whole site.
    pub offline: IntCounter,
    /// Changes that the members' rooms were shown; those of no room, too.
    pub shown: IntCounter,
    /// Changes that rooms were not shown: too many at a time, or the registry or the store was away.
    pub dropped: IntCounter,
    /// Failed requests to the registry.
    pub errors: IntCounter,
    /// Times the registry went up; less the next one, whether it is.
    pub connects: IntCounter,
    /// Times the registry went away.
    pub disconnects: IntCounter,
}

impl PresenceMetrics {
    pub(super) fn new(counter: impl Fn(&str, &str) -> IntCounter) -> Self {
        Self {
            online: counter(
                "chat_presence_online_total",
                "Members found to have come online",
            ),
            offline: counter(
                "chat_presence_offline_total",
                "Members found to have gone offline",
            ),
            shown: counter(
                "chat_presence_shown_total",
                "Changes of presence that rooms were shown",
            ),
            dropped: counter(
                "chat_presence_dropped_total",
                "Changes of presence that rooms were not shown",
            ),
            errors: counter(
                "chat_presence_errors_total",
                "Failed requests to the registry of presence",
            ),
            connects: counter(
                "chat_presence_connects_total",
                "Times the registry of presence went up",
            ),
            disconnects: counter(
                "chat_presence_disconnects_total",
                "Times the registry of presence went away",
            ),
        }
    }
}
