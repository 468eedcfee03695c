//! Every metric of the process, in one struct. `infra/docs/metrics.md` explains them to operators.
//!
//! No ids as labels: a label's values are few and known. What comes and goes is a pair of counters
//! instead of a gauge, so that nothing drifts.

mod store;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};
use stomp::Command;

pub use store::{StoreErrorKind, StoreOp, StoreSeconds};

/// From 1 ms to 10 s, about doubling: a wake-up is under the first, a deadline at the last.
const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The frames that ask something of the server.
const COUNTED: [Command; 8] = [
    Command::Connect,
    Command::Send,
    Command::Subscribe,
    Command::Unsubscribe,
    Command::Commit,
    Command::Ack,
    Command::Nack,
    Command::Disconnect,
];

/// A counter with one label, whose values are known.
///
/// The children are resolved once: looking one up by its text takes a lock and a hash, which would
/// be felt on every frame.
#[derive(Debug)]
pub struct CountersBy<L> {
    children: Vec<(L, IntCounter)>,
}

impl<L: Copy + PartialEq> CountersBy<L> {
    /// The counter of this value; counting anything else is lost, and a test sees to it that there
    /// is nothing else.
    pub fn count(&self, label: L) {
        if let Some((_, child)) = self.children.iter().find(|(known, _)| *known == label) {
            child.inc();
        }
    }
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored.
    Ok,
    /// It was stored before.
    Dup,
    /// The sender was told no.
    Rejected,
}

/// The chat server's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// WebSockets opened.
    pub connections_opened: IntCounter,
    /// WebSockets closed, by close code.
    pub connections_closed: IntCounterVec,
    /// Upgrades refused, by reason: limit, origin, draining, request.
    pub connections_refused: IntCounterVec,
    /// Logins accepted.
    pub logins: IntCounter,
    /// Logins refused, by reason.
    pub auth_failures: IntCounterVec,
    /// STOMP frames carried out, by command.
    pub frames_in: CountersBy<Command>,
    /// ERROR frames sent.
    pub stomp_errors: IntCounter,
    /// Connections closed because nothing was heard from them.
    pub heartbeats_missed: IntCounter,
    /// Subscriptions begun.
    pub subscriptions_opened: IntCounter,
    /// Subscriptions ended.
    pub subscriptions_closed: IntCounter,
    /// Sends by outcome.
    pub sends: CountersBy<SendOutcome>,
    /// From taking a SEND in to its outcome.
    pub send_seconds: Histogram,
    /// Messages written towards subscriptions.
    pub deliveries: IntCounter,
    /// Of those, messages that came from the store, not from the ring.
    pub replayed: IntCounter,
    /// Reads of a page for a subscription that is behind the ring.
    pub catch_ups: IntCounter,
    /// Connections closed because they took nothing for too long.
    pub slow_closed: IntCounter,
    /// Questions to the store that failed, by operation.
    pub store_errors: IntCounterVec,
    /// Questions to the distributed store: how long each took.
    pub store_seconds: StoreSeconds,
    /// Of those, questions to a server that failed, by kind.
    pub store_failures: CountersBy<StoreErrorKind>,
    /// Appends that met another head.
    pub store_conflicts: IntCounter,
    /// Whether all of the store's servers are asked by shard: 1 or 0.
    pub store_shard_aware: IntGauge,
    /// Events beside the log that a full connection missed.
    pub events_dropped: IntCounter,
    /// Holes in what arrived, filled from the store.
    pub gaps_filled: IntCounter,
    /// Sends refused for being too many, by limit.
    pub rate_limited: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    ///
    /// # Panics
    /// Never: the names are constants of this file, valid and each used once (a test makes one).
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, a few lines each metric")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help).expect("a valid name");
            registry
                .register(Box::new(metric.clone()))
                .expect("each name is used once");
            metric
        };
        let counters = |name: &str, help: &str, label: &str| {
            let metric = IntCounterVec::new(Opts::new(name, help), &[label]).expect("a valid name");
            registry
                .register(Box::new(metric.clone()))
                .expect("each name is used once");
            metric
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help).expect("a valid name");
            registry
                .register(Box::new(metric.clone()))
                .expect("each name is used once");
            metric
        };
        let histograms = |name: &str, help: &str, label: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let metric = HistogramVec::new(options, &[label]).expect("a valid name");
            registry
                .register(Box::new(metric.clone()))
                .expect("each name is used once");
            metric
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let metric = Histogram::with_opts(options).expect("a valid name");
            registry
                .register(Box::new(metric.clone()))
                .expect("each name is used once");
            metric
        };
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
            store_shard_aware: gauge(
                "chat_store_shard_aware",
                "Whether all servers of the store are asked by shard",
            ),
            events_dropped: counter(
                "chat_events_dropped_total",
                "Unstored events that a full connection missed",
            ),
            gaps_filled: counter("chat_gaps_filled_total", "Holes filled from the store"),
            rate_limited: counters(
                "chat_rate_limited_total",
                "Refused for being too many",
                "limit",
            ),
            registry,
        }
    }

    /// All metrics, and those of the process, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(prometheus::gather());
        let mut text = Vec::new();
        if TextEncoder::new().encode(&families, &mut text).is_err() {
            text.clear(); // writing to memory cannot fail; an empty page is better than none
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

fn by_label<L, const N: usize>(
    family: &IntCounterVec,
    labels: [(L, &'static str); N],
) -> CountersBy<L> {
    let children = labels.map(|(label, text)| (label, family.with_label_values(&[text])));
    CountersBy {
        children: children.into(),
    }
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
