//! Output of a run: a progress line, a table, and JSON.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::since;
use super::error::MarketError;
use super::sample::{Figures, Sample};

/// Interval of the progress line.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) server: String,
    /// `postgres` or `sqlite`.
    pub(crate) database: &'static str,
    pub(crate) scenarios: Vec<Figures>,
    /// Deadlocks that PostgreSQL counted during the run.
    pub(crate) deadlocks: Option<i64>,
    /// Rows that violate an invariant of the ledger.
    pub(crate) violations: Vec<String>,
    pub(crate) ok: bool,
}

impl Report {
    /// Everything that should not have been.
    pub(crate) fn findings(&self) -> Vec<String> {
        let of_scenario = |figures: &Figures| {
            let name = figures.scenario;
            let findings = figures.findings.iter();
            findings
                .map(|finding| format!("{name}: {finding}"))
                .collect::<Vec<_>>()
        };
        let mut findings: Vec<_> = self.scenarios.iter().flat_map(of_scenario).collect();
        if let Some(count) = self.deadlocks.filter(|count| *count > 0) {
            findings.push(format!("deadlocks: {count}"));
        }
        findings.extend(self.violations.iter().map(|row| format!("ledger: {row}")));
        findings
    }

    /// Prints the table and the findings.
    pub(crate) fn print(&self) -> Result<(), MarketError> {
        let mut text = String::from(
            "| scenario | requests | s | per s | mean ms | p50 | p90 | p99 | max | CPU ms | codes |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for figures in &self.scenarios {
            text.push_str(&row(figures));
        }
        let deadlocks = self.deadlocks.map(|count| format!(", {count} deadlocks"));
        let ledger = match self.violations.len() {
            0 => "the ledger holds".to_owned(),
            count => format!("{count} rows violate the ledger"),
        };
        text.push_str(&format!("{ledger}{}\n", deadlocks.unwrap_or_default()));
        for finding in self.findings() {
            text.push_str(&format!("NOT EXPECTED: {finding}\n"));
        }
        let written = std::io::stdout().write_all(text.as_bytes());
        written.map_err(|error| MarketError::File("standard output".into(), error))
    }

    pub(crate) fn write_json(&self, path: &Path) -> Result<(), MarketError> {
        let text = serde_json::to_string_pretty(self).expect("maps have text for keys");
        std::fs::write(path, text + "\n").map_err(|error| MarketError::File(path.to_owned(), error))
    }
}

fn row(figures: &Figures) -> String {
    let ms = figures.milliseconds;
    format!(
        "| {} | {} | {:.2} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} |\n",
        figures.scenario,
        figures.requests,
        figures.seconds,
        figures.requests_per_second,
        ms.mean,
        ms.p50,
        ms.p90,
        ms.p99,
        ms.max,
        figures
            .cpu_ms
            .map_or("-".to_owned(), |ms| format!("{ms:.3}")),
        counts(figures.codes.iter()),
    )
}

fn counts<C: std::fmt::Display, N: std::fmt::Display>(
    codes: impl Iterator<Item = (C, N)>,
) -> String {
    let counts: Vec<_> = codes
        .map(|(code, count)| format!("{code}: {count}"))
        .collect();
    counts.join(", ")
}

/// The progress of a batch, on standard error: a terminal's last line, or a line each time.
#[derive(Debug)]
pub(crate) struct Progress {
    scenario: &'static str,
    requests: usize,
    begun: Instant,
}

impl Progress {
    pub(crate) fn new(scenario: &'static str, requests: usize, begun: Instant) -> Self {
        Self {
            scenario,
            requests,
            begun,
        }
    }

    pub(crate) fn print(&self, so_far: &Sample) {
        let line = format!(
            "{}: {} of {} answered after {:.0} s ({})",
            self.scenario,
            so_far.times.len(),
            self.requests,
            since(self.begun).as_secs_f64(),
            counts(so_far.codes.iter()),
        );
        let mut out = std::io::stderr();
        let is_terminal = out.is_terminal();
        let (before, after) = if is_terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        // A run goes on without its progress line.
        drop(write!(out, "{before}{line}{after}"));
    }

    /// Ends the line, if one was printed on a terminal.
    pub(crate) fn end(&self) {
        let mut out = std::io::stderr();
        if since(self.begun) > EVERY && out.is_terminal() {
            drop(writeln!(out));
        }
    }
}
