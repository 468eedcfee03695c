//! Push notifications of a node: its pusher, and the task behind it.

use std::sync::Arc;

use reqwest::Url;

use crate::config::Config;
use crate::connection::Services;
use crate::metrics::Metrics;
use crate::push::{
    MemberPreferences, Offers, Push, PushServices, Pusher, PusherParts, Targets, TargetsParts,
};
use crate::store::RecordStore;

/// A pusher to these services, and its queue if there are any.
pub(super) fn pusher(services: &PushServices, metrics: &Arc<Metrics>) -> (Pusher, Option<Offers>) {
    if services.is_empty() {
        return (Pusher::none(Arc::clone(metrics)), None);
    }
    let (pusher, offers) = Pusher::new(Arc::clone(metrics));
    (pusher, Some(offers))
}

/// Starts the task that takes the offers, if there is a queue of them.
pub(super) fn start(
    node: &Arc<Services>,
    records: &Arc<dyn RecordStore>,
    services: PushServices,
    (pusher, offers): (Pusher, Option<Offers>),
    config: &Config,
) -> Push {
    let test_url: Option<Url> = config.push.push_test_url.clone();
    let targets = Arc::new(Targets::new(TargetsParts {
        store: Arc::clone(records),
        clock: Arc::clone(&node.clock),
        metrics: Arc::clone(&node.metrics),
        test_url,
    }));
    let (records, clock) = (Arc::clone(records), Arc::clone(&node.clock));
    let metrics = Arc::clone(&node.metrics);
    let preferences = Arc::new(MemberPreferences::new(records, clock, metrics));
    let vapid_key = services.vapid_key.clone();
    if let Some(offers) = offers {
        let connections = Arc::clone(&node.connections);
        let task = PusherParts {
            targets: Arc::clone(&targets),
            preferences: Arc::clone(&preferences),
            rooms: Arc::clone(&node.rooms),
            members: Arc::clone(&node.members),
            presence: Arc::clone(&node.presence),
            online_here: Box::new(move |member| connections.has_member(member)),
            services,
            quiet_time: config.push.push_quiet_time,
            clock: Arc::clone(&node.clock),
            drain: node.drain.clone(),
            metrics: Arc::clone(&node.metrics),
        };
        // Not vital: what it delivers is in the inboxes and rooms.
        drop(node.drain.spawn("pusher", task.run(offers)));
    }
    Push {
        pusher,
        targets,
        preferences,
        vapid_key,
    }
}
