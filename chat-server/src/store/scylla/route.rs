//! Which server is asked to do a conditional write.
//!
//! The driver sends the batches of appends to any replica, as it does not look into them. Two
//! servers that propose for one partition at a time hold each other up, so here the replicas of a
//! topic are asked in one order by all nodes, the first of them as long as it answers. A repeat
//! after an unknown outcome goes to the next: the one that did not answer may be frozen.

use std::sync::Arc;
use std::time::Duration;

use scylla::cluster::{ClusterState, NodeRef};
use scylla::errors::RequestAttemptError;
use scylla::policies::load_balancing::{
    DefaultPolicy, FallbackPlan, LoadBalancingPolicy, RoutingInfo,
};
use scylla::routing::Shard;

/// As many turns as a partition usually has replicas; the next one begins anew.
const TURNS: usize = 3;

/// The ways to ask, by how often one was not answered.
#[derive(Debug)]
pub(super) struct Routes([Arc<dyn LoadBalancingPolicy>; TURNS]);

impl Routes {
    /// Among the servers of the session's preferred data centre, if it has one.
    pub(super) fn new() -> Self {
        let inner = DefaultPolicy::builder().build();
        Self(std::array::from_fn(|turn| {
            let inner = Arc::clone(&inner);
            Arc::new(InOrder { inner, turn }) as Arc<dyn LoadBalancingPolicy>
        }))
    }

    /// The way after so many questions without an answer.
    pub(super) fn after(&self, unanswered: u8) -> Arc<dyn LoadBalancingPolicy> {
        let [first, ..] = &self.0;
        let turn = usize::from(unanswered) % TURNS;
        Arc::clone(self.0.get(turn).unwrap_or(first))
    }
}

/// The replicas in the order of the ring, beginning with the one whose turn it is; then the others.
#[derive(Debug)]
struct InOrder {
    inner: Arc<dyn LoadBalancingPolicy>,
    turn: usize,
}

type Target<'a> = (NodeRef<'a>, Option<Shard>);

impl LoadBalancingPolicy for InOrder {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<Target<'a>> {
        if self.turn > 0 {
            return None; // the driver asks for the whole plan then
        }
        let request = in_order(request);
        let (node, shard) = self.inner.pick(&request, cluster)?;
        Some((cluster.get_node_by_host_id(node.host_id)?, shard))
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
        let turn = self.turn % plan.len().max(1);
        plan.rotate_left(turn);
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
