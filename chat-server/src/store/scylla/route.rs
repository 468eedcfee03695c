//! Load-balancing policy for conditional writes and serial reads.
//!
//! The driver sends the batches of appends to any replica, as it does not read their partition. Two
//! servers that propose for one partition at a time hold each other up, so all nodes try the
//! replicas of a topic in one order, the first of them as long as it answers.
//!
//! A server that did not answer comes last for a while: the retry of an append goes to the next
//! replica, and the appends of other topics do not wait for the frozen one in their turn. The
//! driver gives a frozen server's connections up by itself, but only after seconds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use scylla::cluster::{ClusterState, NodeRef};
use scylla::errors::{RequestAttemptError, RequestError};
use scylla::observability::history::{AttemptId, HistoryListener, RequestId, SpeculativeId};
use scylla::policies::load_balancing::{
    DefaultPolicy, FallbackPlan, LoadBalancingPolicy, RoutingInfo,
};
use scylla::policies::retry::RetryDecision;
use scylla::routing::Shard;
use shared::clock::Clock;

/// How long a server that did not answer comes last: by then the driver has noticed whether it is
/// frozen, and one that was only slow has had time.
const SUSPECTED_FOR: Duration = Duration::from_secs(10);

/// Servers remembered; a cluster is smaller.
const SUSPECTS_MAX: usize = 1_024;

/// The servers that did not answer lately, by address, and since when.
#[derive(Debug)]
pub(super) struct Suspects {
    clock: Arc<dyn Clock>,
    since: Mutex<HashMap<IpAddr, Instant>>,
}

impl Suspects {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let since = Mutex::default();
        Arc::new(Self { clock, since })
    }

    /// The last server of a request did not answer.
    pub(super) fn add(&self, asked: &Asked) {
        let now = self.clock.now();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|_, since| now.saturating_duration_since(*since) < SUSPECTED_FOR);
        if let Some(server) = asked.last().filter(|_| since.len() < SUSPECTS_MAX) {
            since.insert(server, now);
        }
    }

    /// Since when the server is under suspicion, if it is.
    fn since(&self, server: IpAddr) -> Option<Instant> {
        let now = self.clock.now();
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let since = since.get(&server).copied();
        since.filter(|since| now.saturating_duration_since(*since) < SUSPECTED_FOR)
    }
}

/// Records the server that the driver sends a request to: the error of a time-out does not name it.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<Option<IpAddr>>);

impl Asked {
    fn last(&self) -> Option<IpAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HistoryListener for Asked {
    fn log_request_start(&self) -> RequestId {
        RequestId(0)
    }

    fn log_request_success(&self, _: RequestId) {}

    fn log_request_error(&self, _: RequestId, _: &RequestError) {}

    fn log_new_speculative_fiber(&self, _: RequestId) -> SpeculativeId {
        SpeculativeId(0)
    }

    fn log_attempt_start(
        &self,
        _: RequestId,
        _: Option<SpeculativeId>,
        server: SocketAddr,
    ) -> AttemptId {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(server.ip());
        AttemptId(0)
    }

    fn log_attempt_success(&self, _: AttemptId) {}

    fn log_attempt_error(&self, _: AttemptId, _: &RequestAttemptError, _: &RetryDecision) {}
}

/// The replicas in the order of the ring, then the other servers; those that did not answer lately
/// at the end, the latest of them last.
#[derive(Debug)]
pub(super) struct InOrder {
    inner: Arc<dyn LoadBalancingPolicy>,
    suspects: Arc<Suspects>,
}

type Target<'a> = (NodeRef<'a>, Option<Shard>);

impl InOrder {
    /// Among the servers of the session's preferred data centre, if it has one.
    pub(super) fn policy(suspects: &Arc<Suspects>) -> Arc<dyn LoadBalancingPolicy> {
        Arc::new(Self {
            inner: DefaultPolicy::builder().build(),
            suspects: Arc::clone(suspects),
        })
    }
}

impl LoadBalancingPolicy for InOrder {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<Target<'a>> {
        let request = in_order(request);
        let (node, shard) = self.inner.pick(&request, cluster)?;
        let node = cluster.get_node_by_host_id(node.host_id)?;
        // With `None` here the driver uses the fallback plan.
        let is_suspect = self.suspects.since(node.address.ip()).is_some();
        (!is_suspect).then_some((node, shard))
    }

    fn fallback<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> FallbackPlan<'a> {
        let request = in_order(request);
        // A plan is as long as the cluster has servers.
        let plan = self.inner.fallback(&request, cluster);
        let mut plan: Vec<Target<'a>> = plan
            .filter_map(|(node, shard)| Some((cluster.get_node_by_host_id(node.host_id)?, shard)))
            .collect();
        // Stable: the order of the ring stays within each part.
        plan.sort_by_cached_key(|(node, _)| self.suspects.since(node.address.ip()));
        Box::new(plan.into_iter())
    }

    fn on_request_success(&self, request: &RoutingInfo<'_>, latency: Duration, node: NodeRef<'_>) {
        self.inner.on_request_success(request, latency, node);
    }

    fn on_request_failure(
        &self,
        request: &RoutingInfo<'_>,
        latency: Duration,
        node: NodeRef<'_>,
        error: &RequestAttemptError,
    ) {
        self.inner.on_request_failure(request, latency, node, error);
    }

    fn name(&self) -> String {
        "InOrder".to_owned()
    }
}

/// The same request, marked as the conditional one that it is.
fn in_order<'a>(request: &RoutingInfo<'a>) -> RoutingInfo<'a> {
    let mut request = request.clone();
    request.is_confirmed_lwt = true;
    request
}

#[cfg(test)]
mod tests {
    use shared::clock::{ManualClock, UnixMillis};

    use super::*;

    fn asked(last: u8) -> Asked {
        let asked = Asked::default();
        asked.log_attempt_start(RequestId(0), None, ([10, 0, 0, last], 9_042).into());
        asked
    }

    #[test]
    fn servers_that_did_not_answer_are_asked_last_for_a_while() {
        let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
        let suspects = Suspects::new(Arc::clone(&clock) as Arc<dyn Clock>);
        suspects.add(&asked(1));
        clock.advance(Duration::from_secs(1));
        suspects.add(&asked(2));
        suspects.add(&Asked::default()); // no request was sent
        let order = || {
            let mut order = [1, 2, 3];
            order.sort_by_cached_key(|last| suspects.since([10, 0, 0, *last].into()));
            order
        };
        assert_eq!(order(), [3, 1, 2]);
        clock.advance(SUSPECTED_FOR - Duration::from_secs(1));
        assert_eq!(order(), [1, 3, 2]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(order(), [1, 2, 3]);
    }
}
