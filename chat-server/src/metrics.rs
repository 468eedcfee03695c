//! Metrics of the process, in one struct. `infra/docs/metrics.md` explains them to operators.
//!
//! No ids as labels: a label has a few, fixed values. Things that begin and end are a pair of
//! counters instead of a gauge, so that nothing drifts. The gauges of a stop are set, never
//! counted.

mod events;
mod labels;
mod make;
mod presence;
mod push;
mod store;

use prometheus::core::Collector as _;
use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};
use shared::telemetry;
use stomp::Command;

pub use events::EventMetrics;
pub use labels::{BlockedAt, BusDirection, ControlKind, CountersBy, HeadRead, SendOutcome};
use labels::{CONTROL_KINDS, COUNTED, HEAD_READS, by_label};
use make::Make;
pub use presence::PresenceMetrics;
pub use push::{
    PushDeliveries, PushDrop, PushKind, PushMetrics, PushOutcome, PushSkip, PushVia, TargetRemoval,
};
pub use store::{StoreErrorKind, StoreOp, StoreSeconds};

/// The chat server's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// WebSockets opened.
    pub connections_opened: IntCounter,
    /// WebSockets closed, by close code.
    pub connections_closed: IntCounterVec,
    /// Upgrades refused, by reason: limit, origin, draining, request; and logins: member.
    pub connections_refused: IntCounterVec,
    /// Logins accepted.
    pub logins: IntCounter,
    /// Logins refused, by reason.
    pub auth_failures: IntCounterVec,
    /// STOMP frames carried out, by command.
    pub frames_in: CountersBy<Command>,
    /// ERROR frames sent.
    pub stomp_errors: IntCounter,
    /// Connections closed after silence of the client.
    pub heartbeats_missed: IntCounter,
    /// Subscriptions begun.
    pub subscriptions_opened: IntCounter,
    /// Subscriptions ended.
    pub subscriptions_closed: IntCounter,
    /// Sends by outcome.
    pub sends: CountersBy<SendOutcome>,
    /// From accepting a SEND to its outcome.
    pub send_seconds: Histogram,
    /// Messages written towards subscriptions.
    pub deliveries: IntCounter,
    /// Of those, messages that came from the store, not from the ring.
    pub replayed: IntCounter,
    /// Reads of a page for a subscription that is behind the ring.
    pub catch_ups: IntCounter,
    /// Connections closed because the client read nothing for too long.
    pub slow_closed: IntCounter,
    /// Failed requests to the store, by operation.
    pub store_errors: IntCounterVec,
    /// Duration of requests to the distributed store.
    pub store_seconds: StoreSeconds,
    /// Of those, failed requests to a server, by kind.
    pub store_failures: CountersBy<StoreErrorKind>,
    /// Appends that found another head.
    pub store_conflicts: IntCounter,
    /// Entries that the distributed store has appended.
    pub store_entries: IntCounter,
    /// Bytes of their bodies.
    pub store_entry_bytes: IntCounter,
    /// Appends refused because too many were in flight.
    pub store_appends_refused: IntCounter,
    /// Holes found in logs: entries that are lost or cannot be read.
    pub store_holes: IntCounter,
    /// Times the embedded store stopped taking writes.
    pub store_outages: IntCounter,
    /// Times it was opened again; outages less these: whether it takes none now.
    pub store_reopens: IntCounter,
    /// Whether requests go to the shard that has the data, on all of the store's servers: 1 or 0.
    pub store_shard_aware: IntGauge,
    /// Domain events of the market.
    pub market_events: EventMetrics,
    /// Events beside the log that a full connection missed.
    pub events_dropped: IntCounter,
    /// Gaps in the received entries, filled from the store.
    pub gaps_filled: IntCounter,
    /// Heads read from the store to find missed entries, by reason.
    pub head_reads: CountersBy<HeadRead>,
    /// Of those, heads that showed entries without a message of the bus.
    pub heads_behind: CountersBy<HeadRead>,
    /// Topics dropped because the store's log ends before a delivered entry.
    pub topics_reset: IntCounter,
    /// Rooms whose record for lists was behind their log.
    pub room_heads_behind: IntCounter,
    /// Control messages to all nodes.
    pub control_sent: CountersBy<ControlKind>,
    /// Control messages of other nodes.
    pub control_received: CountersBy<ControlKind>,
    /// Control messages of other nodes that arrived faster than they could be carried out.
    pub control_dropped: IntCounter,
    /// Blocked members turned away, by where.
    pub close_blocked: CountersBy<BlockedAt>,
    /// Members evicted from subscriptions because a check of the room did not find them in it.
    pub evict: IntCounter,
    /// Refused for being too many, by limit: send, subscriptions, idle.
    pub rate_limited: IntCounterVec,
    /// The phase of the stop: the number of a [`Phase`](crate::health::Phase).
    pub drain_state: IntGauge,
    /// Connections that a node which stops still has; 0 while it does not stop.
    pub drain_remaining: IntGauge,
    /// Whole seconds since the stop began.
    pub drain_seconds: IntGauge,
    /// Migration notices sent to connections, by reason: restart, max-age.
    pub drain_notices: IntCounterVec,
    /// Messages of the bus, by direction.
    pub bus_messages: CountersBy<BusDirection>,
    /// Times the bus went up; less the next one, whether it is.
    pub bus_connects: IntCounter,
    /// Times the bus went away.
    pub bus_disconnects: IntCounter,
    /// Times the heads of all topics had to be compared because of the bus.
    pub bus_lost: IntCounter,
    /// Messages of the bus dropped because this node was too slow.
    pub bus_lagged: IntCounter,
    /// Messages of the bus that this build cannot read.
    pub bus_unreadable: IntCounter,
    /// Failed publishes, whose heads are published later.
    pub bus_owed: IntCounter,
    /// Probes of the bus that were not received.
    pub bus_probe_failures: IntCounter,
    /// From sending a batch to the bus to its last answer.
    pub bus_publish_seconds: Histogram,
    /// Presence of members.
    pub presence: PresenceMetrics,
    /// Push notifications.
    pub push: PushMetrics,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    ///
    /// # Panics
    /// Never: the names are constants of this file, valid and each used once (a test makes one).
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, a few lines each metric")]
    pub fn new() -> Self {
        let make = Make(Registry::new());
        let counter = |name: &str, help: &str| make.counter(name, help);
        let counters = |name, help, label| make.counters(name, help, label);
        let gauge = |name, help| make.gauge(name, help);
        let histograms = |name, help, label| make.histograms(name, help, label);
        let seconds = |name, help| make.seconds(name, help);
        Self {
            connections_opened: counter("chat_connections_opened_total", "WebSockets opened"),
            connections_closed: counters(
                "chat_connections_closed_total",
                "WebSockets closed",
                "code",
            ),
            connections_refused: counters(
                "chat_connections_refused_total",
                "Upgrades refused",
                "reason",
            ),
            logins: counter("chat_logins_total", "Logins accepted"),
            auth_failures: counters("chat_auth_failures_total", "Logins refused", "reason"),
            frames_in: by_label(
                &counters(
                    "chat_stomp_frames_total",
                    "STOMP frames carried out",
                    "command",
                ),
                COUNTED.map(|command| (command, command.as_str())),
            ),
            stomp_errors: counter("chat_stomp_errors_total", "ERROR frames sent"),
            heartbeats_missed: counter(
                "chat_heartbeats_missed_total",
                "Connections closed because nothing was heard from them",
            ),
            subscriptions_opened: counter("chat_subscriptions_opened_total", "Subscriptions begun"),
            subscriptions_closed: counter("chat_subscriptions_closed_total", "Subscriptions ended"),
            sends: by_label(
                &counters("chat_send_total", "Sends by outcome", "outcome"),
                [
                    (SendOutcome::Ok, "ok"),
                    (SendOutcome::Dup, "dup"),
                    (SendOutcome::Rejected, "rejected"),
                ],
            ),
            send_seconds: seconds(
                "chat_send_duration_seconds",
                "From taking a SEND in to its outcome",
            ),
            deliveries: counter("chat_delivery_total", "Messages written to subscriptions"),
            replayed: counter(
                "chat_replay_messages_total",
                "Messages delivered from the store",
            ),
            catch_ups: counter(
                "chat_replay_reads_total",
                "Pages read for late subscriptions",
            ),
            slow_closed: counter(
                "chat_slow_consumers_closed_total",
                "Connections closed because they took nothing for too long",
            ),
            store_errors: counters("chat_store_errors_total", "Failed store requests", "op"),
            store_seconds: StoreSeconds::new(&histograms(
                "chat_store_request_duration_seconds",
                "Questions to the distributed store",
                "op",
            )),
            store_failures: by_label(
                &counters(
                    "chat_store_request_errors_total",
                    "Questions to a server of the store that failed",
                    "kind",
                ),
                StoreErrorKind::ALL.map(|kind| (kind, kind.as_str())),
            ),
            store_conflicts: counter(
                "chat_store_conflicts_total",
                "Appends that met another head",
            ),
            store_entries: counter(
                "chat_store_entries_total",
                "Entries appended to the distributed store",
            ),
            store_entry_bytes: counter(
                "chat_store_entry_bytes_total",
                "Bytes of the bodies of entries appended to the distributed store",
            ),
            store_appends_refused: counter(
                "chat_store_appends_refused_total",
                "Appends refused because too many were in flight",
            ),
            store_holes: counter(
                "chat_store_holes_total",
                "Holes found in logs: entries that are lost or cannot be read",
            ),
            store_outages: counter(
                "chat_store_outages_total",
                "Times the embedded store stopped taking writes",
            ),
            store_reopens: counter(
                "chat_store_reopens_total",
                "Times the embedded store was opened again",
            ),
            store_shard_aware: gauge(
                "chat_store_shard_aware",
                "Whether all servers of the store are asked by shard",
            ),
            market_events: EventMetrics {
                posts: counters("chat_event_posts_total", "Posts of events", "outcome"),
                taken: counter("chat_events_taken_total", "Events taken, also repeated"),
                entries: counter("chat_inbox_entries_total", "Entries appended to inboxes"),
            },
            events_dropped: counter(
                "chat_events_dropped_total",
                "Unstored events that a full connection missed",
            ),
            gaps_filled: counter("chat_gaps_filled_total", "Holes filled from the store"),
            head_reads: by_label(
                &counters("chat_head_reads_total", "Heads read from the store", "why"),
                HEAD_READS,
            ),
            heads_behind: by_label(
                &counters(
                    "chat_heads_behind_total",
                    "Heads read that showed entries the bus had not announced",
                    "why",
                ),
                HEAD_READS,
            ),
            topics_reset: counter(
                "chat_topics_reset_total",
                "Topics whose log in the store ends before what was shown",
            ),
            room_heads_behind: counter(
                "chat_room_heads_behind_total",
                "Rooms whose record for lists was behind their log",
            ),
            control_sent: by_label(
                &counters(
                    "chat_control_messages_sent_total",
                    "Control messages to all nodes",
                    "kind",
                ),
                CONTROL_KINDS,
            ),
            control_received: by_label(
                &counters(
                    "chat_control_messages_received_total",
                    "Control messages of other nodes",
                    "kind",
                ),
                CONTROL_KINDS,
            ),
            control_dropped: counter(
                "chat_control_messages_dropped_total",
                "Control messages of other nodes that came too fast",
            ),
            close_blocked: by_label(
                &counters(
                    "chat_blocked_closed_total",
                    "Blocked members turned away",
                    "at",
                ),
                [
                    (BlockedAt::Login, "login"),
                    (BlockedAt::Open, "open"),
                    (BlockedAt::Rest, "rest"),
                ],
            ),
            evict: counter(
                "chat_evicted_total",
                "Members found to be no longer in a room they heard",
            ),
            rate_limited: counters(
                "chat_rate_limited_total",
                "Refused for being too many",
                "limit",
            ),
            drain_state: gauge("chat_drain_state", "How far a stop has come, 0 to 4"),
            drain_remaining: gauge(
                "chat_drain_remaining_connections",
                "Connections that a stopping node still has",
            ),
            drain_seconds: gauge("chat_drain_seconds", "Since the stop began"),
            drain_notices: counters(
                "chat_drain_notices_total",
                "Connections that got a notice of a planned close",
                "reason",
            ),
            bus_messages: by_label(
                &counters("chat_bus_messages_total", "Bus messages", "direction"),
                [(BusDirection::In, "in"), (BusDirection::Out, "out")],
            ),
            bus_connects: counter("chat_bus_connects_total", "Times the bus went up"),
            bus_disconnects: counter("chat_bus_disconnects_total", "Times the bus went away"),
            bus_lost: counter(
                "chat_bus_lost_total",
                "PendingChecks at all heads because of the bus",
            ),
            bus_lagged: counter("chat_bus_lagged_total", "Bus messages not taken in time"),
            bus_unreadable: counter("chat_bus_unreadable_total", "Bus messages of other builds"),
            bus_owed: counter("chat_bus_owed_total", "Publishes to be made good later"),
            bus_probe_failures: counter(
                "chat_bus_probe_failures_total",
                "Probes of the bus that did not come back",
            ),
            bus_publish_seconds: seconds(
                "chat_bus_publish_duration_seconds",
                "From sending a batch to the bus to its last answer",
            ),
            presence: PresenceMetrics::new(counter),
            push: PushMetrics::new(&make),
            registry: make.0.clone(),
        }
    }

    /// All metrics, and those of the process, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(prometheus::gather());
        families.extend(log_lines_dropped().collect());
        let mut text = Vec::new();
        if TextEncoder::new().encode(&families, &mut text).is_err() {
            text.clear(); // writing to memory cannot fail; an empty page is better than none
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// The count of the process, which begins before there are metrics.
fn log_lines_dropped() -> IntCounter {
    let name = "chat_log_lines_dropped_total";
    let counter = IntCounter::new(name, "Lines of the log that nothing read in time");
    let counter = counter.expect("a valid name");
    counter.inc_by(telemetry::lines_dropped());
    counter
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_was_counted() {
        let metrics = Metrics::new();
        metrics.connections_opened.inc();
        (0..3).for_each(|_| metrics.sends.count(SendOutcome::Ok));
        let page = metrics.render();
        assert!(page.contains("chat_connections_opened_total 1"), "{page}");
        assert!(
            page.contains(r#"chat_send_total{outcome="ok"} 3"#),
            "{page}"
        );
        assert!(page.contains("process_resident_memory_bytes"), "{page}");
    }
}
