//! The registry's constructors: each makes a metric and registers it.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Bucket bounds from 1 ms to 10 s, about doubling: reads fall below the first few, deadlines into the last.
const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Registers metrics. Their names are constants of this module, valid and unique: a test registers them all.
pub(super) struct Maker(pub(super) Registry);

impl Maker {
    fn put<M: Collector + Clone + 'static>(&self, made: prometheus::Result<M>) -> M {
        let metric = made.expect("a valid name");
        let put = self.0.register(Box::new(metric.clone()));
        put.expect("each name is used once");
        metric
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.put(IntCounter::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.put(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.put(IntGauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.put(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn time(&self, name: &str, help: &str) -> Histogram {
        self.put(Histogram::with_opts(seconds(name, help)))
    }

    pub(super) fn times(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.put(HistogramVec::new(seconds(name, help), labels))
    }
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(SECONDS.to_vec())
}
