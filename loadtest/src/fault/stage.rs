//! What a case works on: a cluster, its crowd, and how long faults last.

use std::path::PathBuf;
use std::time::Duration;

use super::cluster::Cluster;
use super::crowd::Crowd;

/// The node with the fault; clients move to the others.
pub(crate) const VICTIM: usize = 0;

/// The cluster and the crowd of a case.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) crowd: Crowd,
    pub(crate) pace: Pace,
    /// The build that replaces the first in a rolling restart.
    pub(crate) next_binary: Option<PathBuf>,
}

/// Durations of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Traffic before the fault, and again after everything delivers.
    pub(crate) around: Duration,
    /// How long Redis or a replica is frozen or down.
    pub(crate) outage: Duration,
    /// How long a chat node is frozen.
    pub(crate) node_freeze: Duration,
    /// Messages that each member sends to a subscriber that does not read.
    pub(crate) burst: u32,
}

impl Pace {
    pub(crate) const FULL: Self = Self {
        around: Duration::from_secs(3),
        outage: Duration::from_secs(10),
        node_freeze: Duration::from_secs(20),
        burst: 1_000,
    };

    /// Longer than a node takes to detect a frozen Redis (7 s) and, for a node, than members and
    /// the balancer take to leave it (6 s).
    pub(crate) const SHORT: Self = Self {
        around: Duration::from_secs(1),
        outage: Duration::from_secs(8),
        node_freeze: Duration::from_secs(9),
        burst: 100,
    };
}
