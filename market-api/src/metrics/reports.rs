//! Metrics of reports of members.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::make::Maker;

/// Reports of members.
#[derive(Debug)]
pub struct ReportMetrics {
    /// Reports made, by subject: MEMBER, PRODUCT, REVIEW, CHAT.
    pub made: IntCounterVec,
    /// Members blocked by the number of their reports.
    pub blocks: IntCounter,
    /// Reports that no administrator has decided yet.
    pub open: IntGauge,
}

impl ReportMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            made: make.counters("market_reports_total", "Reports of members", &["subject"]),
            blocks: make.counter(
                "market_report_blocks_total",
                "Members blocked by the number of their reports",
            ),
            open: make.gauge("market_reports_open", "Reports that nobody has decided yet"),
        }
    }
}
