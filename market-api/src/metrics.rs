//! Every metric of the process, in one struct. `infra/docs/metrics.md` explains them to operators.
//!
//! No ids as labels: a label's values are few and known. What comes and goes is a pair of counters
//! instead of a gauge, so that nothing drifts.

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

/// From 1 ms to 10 s, about doubling: a read is under the first few, a deadline at the last.
const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The market's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests begun; those under way are begun less answered.
    pub requests_started: IntCounter,
    /// Requests answered, by route, method, status.
    pub requests: IntCounterVec,
    /// From a request's head to its answer, by route.
    pub request_seconds: HistogramVec,
    /// Requests refused for being too many, by limit: address, member.
    pub rate_limited: IntCounterVec,
    /// Requests that showed a login that is not good, by reason.
    pub auth_failures: IntCounterVec,
    /// Logins by provider and outcome.
    pub logins: IntCounterVec,
    /// Refresh tokens shown again after their time: a stolen one, or a broken client.
    pub refresh_reuses: IntCounter,
    /// Pages of lists by where they came from: cache, database, shared (another's look-up), bypass
    /// (the database, the cache being away).
    pub list_pages: IntCounterVec,
    /// Look-ups of a page, or of what is near a cell, in the database.
    pub list_queries: IntCounter,
    /// Calls that the cache failed or did not answer in time, by operation.
    pub cache_failures: IntCounterVec,
    /// Times the cache was taken to be away. It is away while this is ahead of the next.
    pub cache_opened: IntCounter,
    /// Times it was back, with nothing old in it.
    pub cache_closed: IntCounter,
    /// Due work by name and outcome.
    pub scheduled: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    ///
    /// # Panics
    /// Never: the names are constants of this file, valid and each used once (a test makes one).
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help).expect("a valid name");
            register(&registry, metric.clone());
            metric
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid name");
            register(&registry, metric.clone());
            metric
        };
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let metric = HistogramVec::new(options, labels).expect("a valid name");
            register(&registry, metric.clone());
            metric
        };
        Self {
            requests_started: counter("market_http_requests_started_total", "Requests begun"),
            requests: counters(
                "market_http_requests_total",
                "Requests answered",
                &["route", "method", "status"],
            ),
            request_seconds: seconds(
                "market_http_request_duration_seconds",
                "From a request's head to its answer",
                &["route"],
            ),
            rate_limited: counters(
                "market_rate_limited_total",
                "Requests refused for being too many",
                &["limit"],
            ),
            auth_failures: counters(
                "market_auth_failures_total",
                "Requests with a login that is not good",
                &["reason"],
            ),
            logins: counters("market_logins_total", "Logins", &["provider", "outcome"]),
            refresh_reuses: counter(
                "market_refresh_reuses_total",
                "Refresh tokens shown again after their time",
            ),
            list_pages: counters("market_list_pages_total", "Pages of lists", &["source"]),
            list_queries: counter(
                "market_list_queries_total",
                "Look-ups for lists in the database",
            ),
            cache_failures: counters(
                "market_cache_failures_total",
                "Calls that the cache failed or did not answer in time",
                &["operation"],
            ),
            cache_opened: counter(
                "market_cache_opened_total",
                "Times the cache was taken to be away",
            ),
            cache_closed: counter("market_cache_closed_total", "Times the cache was back"),
            scheduled: counters("market_scheduled_total", "Due work", &["name", "outcome"]),
            registry,
        }
    }

    /// Prometheus' text format, with the process's own metrics.
    #[must_use]
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(prometheus::gather());
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!("the metrics cannot be written: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register(registry: &Registry, metric: impl prometheus::core::Collector + 'static) {
    registry
        .register(Box::new(metric))
        .expect("each name is used once");
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
