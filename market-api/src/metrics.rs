//! Every metric of the process, in one struct. `infra/docs/metrics.md` explains them to operators.
//!
//! No ids as labels: the values of a label are few and fixed. Items in progress are a pair of counters instead
//! of a gauge, so that no decrement can be missed; gauges are read from their source at the scrape.

mod make;
mod reports;

use prometheus::core::Collector as _;
use prometheus::{
    Encoder as _, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};
use shared::telemetry;

use make::Maker;
pub use reports::ReportMetrics;

/// The market's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests started; those in flight are started minus answered.
    pub requests_started: IntCounter,
    /// Requests answered, by route, method and status.
    pub requests: IntCounterVec,
    /// Time from a request's head to its response, by route.
    pub request_seconds: HistogramVec,
    /// Requests throttled, by limit: address, member.
    pub rate_limited: IntCounterVec,
    /// Requests with invalid credentials, by reason.
    pub auth_failures: IntCounterVec,
    /// Logins by provider and outcome.
    pub logins: IntCounterVec,
    /// Refresh tokens reused after their rotation: theft, or a broken client.
    pub refresh_reuses: IntCounter,
    /// Pages of lists by source: cache, database, shared (another request's look-up), bypass (the database,
    /// while the cache is unavailable), separated (read again for a reader who must not see all of it).
    pub list_pages: IntCounterVec,
    /// Database look-ups of a page, or of the spots near a cell.
    pub list_queries: IntCounter,
    /// Cache calls that failed or missed their deadline, by operation.
    pub cache_failures: IntCounterVec,
    /// Openings of the cache's circuit breaker. It is open while this is ahead of the next.
    pub cache_opened: IntCounter,
    /// Closings of the cache's circuit breaker.
    pub cache_closed: IntCounter,
    /// Runs of scheduled jobs, by name and outcome.
    pub scheduled: IntCounterVec,
    /// Published uploads that could not be removed from the object store.
    pub uploads_left: IntCounter,
    /// Calls to the chat server that create or update a room, by outcome: made, away, taken, refused.
    pub chat_calls: IntCounterVec,
    /// Rooms of which the chat server has outdated names, pictures or hours.
    pub chat_outdated: IntGauge,
    /// Metrics of the payment gateway and the payout provider.
    pub gateway: GatewayMetrics,
    /// Metrics of the database.
    pub db: DbMetrics,
    /// Metrics of the relay of domain events.
    pub relay: RelayMetrics,
    /// Metrics of payments.
    pub payments: PaymentMetrics,
    /// Metrics of reports.
    pub reports: ReportMetrics,
    /// Outbox events not sent yet.
    pub outbox_pending: IntGauge,
    /// Age of the oldest of them in seconds; 0 if there are none.
    pub outbox_oldest: IntGauge,
    /// Events that the chat server refused, and that no operator has resent.
    pub outbox_dead: IntGauge,
}

/// Charges and refunds.
#[derive(Debug)]
pub struct PaymentMetrics {
    /// Calls of the payment gateway about charges, by question (confirm, `confirm_again`, query) and answer (payment,
    /// refused, `not_found`, misconfigured, unknown).
    pub gateway_calls: IntCounterVec,
    /// Rows that the reconciler worked on, by kind (charge, refund, suspense) and outcome (done, failed).
    pub checks: IntCounterVec,
    /// Notifications of the gateway, by whether their order is known or unknown.
    pub webhooks: IntCounterVec,
    /// Payments without an outcome, by kind: charge (confirming or unknown), waiting (for a deposit), refund.
    pub open: IntGaugeVec,
    /// Age of the oldest unknown charge in seconds; 0 if there are none.
    pub oldest: IntGauge,
    /// Charges, refunds and payments in suspense that an operator has to look at.
    pub needs_attention: IntGauge,
    /// Won in suspense.
    pub suspense: IntGauge,
}

/// Calls of the payment gateway and the payout provider.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Time of a call of the gateway, by call (confirm, cancel, query, list) and outcome: ok, refused, not_found,
    /// misconfigured, unknown.
    pub seconds: HistogramVec,
    /// Calls of the payout provider, by call (send, find) and outcome: ok, refused, not_found, unknown.
    pub payout_calls: IntCounterVec,
    /// Open differences between the gateway's transactions and the books, by kind.
    pub differences: IntGaugeVec,
}

/// Posts of domain events to the chat server.
#[derive(Debug)]
pub struct RelayMetrics {
    /// Posts, by outcome: stored, refused (events by their ids), too_large, away.
    pub posts: IntCounterVec,
    /// Time of a post.
    pub post_seconds: Histogram,
    /// Events that the chat server has stored.
    pub events: IntCounter,
    /// Events that became dead.
    pub dead: IntCounter,
    /// 1 while this instance holds the relay's lease.
    pub lease_held: IntGauge,
    /// Wakes of the relay, by cause: commit, notification, poll.
    pub wakes: IntCounterVec,
}

/// Outcomes and times of reads and writes.
#[derive(Debug)]
pub struct DbMetrics {
    /// Writes submitted; those queued or running are submitted minus ended.
    pub writes_started: IntCounter,
    /// Writes ended, by outcome: kept, refused (by the market's rules), busy, unavailable, defect, lost
    /// (without a reply).
    pub writes: IntCounterVec,
    /// Time from a write's submission to its end, queueing included.
    pub write_seconds: Histogram,
    /// Commits; on SQLite one covers a group of writes.
    pub commits: IntCounter,
    /// Transactions rerun after a conflict, by reason: deadlock, serialization.
    pub reruns: IntCounterVec,
    /// Time that readers waited for a connection.
    pub read_wait: Histogram,
    /// Connections of the pool by state: used, idle. The writer of SQLite has another one.
    pub connections: IntGaugeVec,
}

impl Metrics {
    /// All metrics at zero, in a new registry.
    #[must_use]
    pub fn new() -> Self {
        let make = Maker(Registry::new());
        Self {
            requests_started: make.counter("market_http_requests_started_total", "Requests begun"),
            requests: make.counters(
                "market_http_requests_total",
                "Requests answered",
                &["route", "method", "status"],
            ),
            request_seconds: make.times(
                "market_http_request_duration_seconds",
                "From a request's head to its answer",
                &["route"],
            ),
            rate_limited: make.counters(
                "market_rate_limited_total",
                "Requests refused for being too many",
                &["limit"],
            ),
            auth_failures: make.counters(
                "market_auth_failures_total",
                "Requests with a login that is not good",
                &["reason"],
            ),
            logins: make.counters("market_logins_total", "Logins", &["provider", "outcome"]),
            refresh_reuses: make.counter(
                "market_refresh_reuses_total",
                "Refresh tokens shown again after their time",
            ),
            list_pages: make.counters("market_list_pages_total", "Pages of lists", &["source"]),
            list_queries: make.counter(
                "market_list_queries_total",
                "Look-ups for lists in the database",
            ),
            cache_failures: make.counters(
                "market_cache_failures_total",
                "Calls that the cache failed or did not answer in time",
                &["operation"],
            ),
            cache_opened: make.counter(
                "market_cache_opened_total",
                "Times the cache was taken to be away",
            ),
            cache_closed: make.counter("market_cache_closed_total", "Times the cache was back"),
            scheduled: make.counters("market_scheduled_total", "Due work", &["name", "outcome"]),
            uploads_left: make.counter(
                "market_uploads_left_total",
                "Uploads that were used and could not be removed",
            ),
            chat_calls: make.counters(
                "market_chat_calls_total",
                "Calls of the chat server that make a room",
                &["outcome"],
            ),
            chat_outdated: make.gauge(
                "market_chat_rooms_outdated",
                "Rooms of which the chat server has old names, pictures or hours",
            ),
            gateway: GatewayMetrics::new(&make),
            db: DbMetrics::new(&make),
            relay: RelayMetrics::new(&make),
            payments: PaymentMetrics::new(&make),
            reports: ReportMetrics::new(&make),
            outbox_pending: make.gauge("market_outbox_pending", "Events not told yet"),
            outbox_oldest: make.gauge(
                "market_outbox_oldest_age_seconds",
                "Since the oldest of them happened",
            ),
            outbox_dead: make.gauge("market_outbox_dead", "Events that the chat server refused"),
            registry: make.0,
        }
    }

    /// Renders Prometheus' text format, including the process metrics.
    #[must_use]
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(prometheus::gather());
        families.extend(log_lines_dropped().collect());
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!("cannot render the metrics: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The process-wide counter, which is older than the registry.
fn log_lines_dropped() -> IntCounter {
    let name = "market_log_lines_dropped_total";
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

impl PaymentMetrics {
    fn new(make: &Maker) -> Self {
        Self {
            gateway_calls: make.counters(
                "market_gateway_calls_total",
                "Calls of the payment gateway about charges",
                &["question", "answer"],
            ),
            checks: make.counters(
                "market_payment_checks_total",
                "Rows that the reconciler worked on",
                &["kind", "outcome"],
            ),
            webhooks: make.counters(
                "market_gateway_webhooks_total",
                "Notifications of the payment gateway",
                &["order"],
            ),
            open: make.gauges(
                "market_payments_open",
                "Payments without an outcome",
                &["kind"],
            ),
            oldest: make.gauge(
                "market_charge_oldest_unknown_age_seconds",
                "Since the oldest unknown charge was confirmed",
            ),
            needs_attention: make.gauge(
                "market_payments_need_attention",
                "Payments that an operator has to look at",
            ),
            suspense: make.gauge("market_suspense_won", "Captured won that match no order"),
        }
    }
}

impl GatewayMetrics {
    fn new(make: &Maker) -> Self {
        Self {
            seconds: make.times(
                "market_gateway_call_duration_seconds",
                "From a call of the payment gateway to its end",
                &["call", "outcome"],
            ),
            payout_calls: make.counters(
                "market_payout_calls_total",
                "Calls of the payout provider",
                &["call", "outcome"],
            ),
            differences: make.gauges(
                "market_gateway_differences",
                "Differences between the gateway's transactions and the books",
                &["kind"],
            ),
        }
    }
}

impl RelayMetrics {
    fn new(make: &Maker) -> Self {
        Self {
            posts: make.counters(
                "market_relay_posts_total",
                "Posts of events to the chat server",
                &["outcome"],
            ),
            post_seconds: make.time(
                "market_relay_post_duration_seconds",
                "From a post of events to its end",
            ),
            events: make.counter(
                "market_relay_events_total",
                "Events that the chat server has stored",
            ),
            dead: make.counter(
                "market_relay_dead_total",
                "Events that the chat server refused by their ids",
            ),
            lease_held: make.gauge(
                "market_relay_lease_held",
                "Whether this instance holds the lease of the relay",
            ),
            wakes: make.counters("market_relay_wakes_total", "Wakes of the relay", &["by"]),
        }
    }
}

impl DbMetrics {
    fn new(make: &Maker) -> Self {
        Self {
            writes_started: make.counter("market_db_writes_started_total", "Writes asked for"),
            writes: make.counters("market_db_writes_total", "Writes ended", &["outcome"]),
            write_seconds: make.time(
                "market_db_write_duration_seconds",
                "From asking for a write to its end",
            ),
            commits: make.counter("market_db_commits_total", "Commits"),
            reruns: make.counters(
                "market_db_reruns_total",
                "Transactions that collided and were run again",
                &["reason"],
            ),
            read_wait: make.time(
                "market_db_read_wait_seconds",
                "How long readers waited for a connection",
            ),
            connections: make.gauges(
                "market_db_connections",
                "Connections of the pool",
                &["state"],
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let metrics = Metrics::new();
        metrics.requests_started.inc();
        metrics.rate_limited.with_label_values(&["address"]).inc();
        let text = metrics.render();
        assert!(
            text.contains("market_http_requests_started_total 1"),
            "{text}"
        );
        assert!(text.contains(r#"market_rate_limited_total{limit="address"} 1"#));
    }
}
