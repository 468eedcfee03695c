//! Measured responses of a scenario: times, counts per result code, and what was expected of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use shared::web::ErrorCode;

use super::client::{Answer, Code};

/// Responses of one batch of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) took: Duration,
    pub(crate) times: Vec<Duration>,
    pub(crate) codes: BTreeMap<Code, usize>,
}

/// The figures of a scenario.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    pub(crate) scenario: &'static str,
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) milliseconds: Milliseconds,
    /// Processor time of the server for one request, in milliseconds, where it is measured.
    pub(crate) cpu_ms: Option<f64>,
    /// Responses by result code; 0 is done.
    pub(crate) codes: BTreeMap<String, usize>,
    /// What should not have been.
    pub(crate) findings: Vec<String>,
}

/// Times of the responses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Milliseconds {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Sample {
    pub(crate) fn add(&mut self, answer: Answer) {
        self.times.push(answer.took);
        *self.codes.entry(answer.code).or_default() += 1;
    }

    /// Adds another batch of the same scenario.
    pub(crate) fn append(&mut self, other: Self) {
        self.took += other.took;
        self.times.extend(other.times);
        for (code, count) in other.codes {
            *self.codes.entry(code).or_default() += count;
        }
    }

    /// Compares the counts with those expected; every other code is a finding.
    pub(crate) fn judge(&self, expected: &[(Code, usize)]) -> Vec<String> {
        let mut findings = Vec::new();
        for (code, wanted) in expected {
            let found = self.codes.get(code).copied().unwrap_or_default();
            if found != *wanted {
                findings.push(format!("code {code}: {found} instead of {wanted}"));
            }
        }
        for (code, count) in &self.codes {
            if expected.iter().all(|(wanted, _)| wanted != code) {
                findings.push(format!("code {code}: {count} unexpected{}", hint(*code)));
            }
        }
        findings
    }

    pub(crate) fn figures(&self, scenario: &'static str, findings: Vec<String>) -> Figures {
        let seconds = self.took.as_secs_f64();
        let codes = self.codes.iter();
        Figures {
            scenario,
            requests: self.times.len(),
            seconds,
            requests_per_second: self.times.len() as f64 / seconds.max(f64::EPSILON),
            milliseconds: Milliseconds::of(&self.times),
            cpu_ms: None,
            codes: codes
                .map(|(code, count)| (code.to_string(), *count))
                .collect(),
            findings,
        }
    }
}

/// What the operator of the run can do about a code.
fn hint(code: Code) -> &'static str {
    if code == Code::of(ErrorCode::TooManyRequests) {
        " (start the server with --address-rate 0 --member-rate 0)"
    } else if code == Code::of(ErrorCode::TokenInvalid) {
        " (--db and --signing-keys must be those of the server)"
    } else {
        ""
    }
}

impl Milliseconds {
    pub(crate) fn of(times: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = times
            .iter()
            .map(|time| time.as_secs_f64() * 1_000.0)
            .collect();
        sorted.sort_by(f64::total_cmp);
        let sum: f64 = sorted.iter().sum();
        Self {
            mean: sum / (sorted.len().max(1) as f64),
            p50: percentile(&sorted, 50),
            p90: percentile(&sorted, 90),
            p99: percentile(&sorted, 99),
            max: percentile(&sorted, 100),
        }
    }
}

/// Nearest rank: the smallest value that at least this many per cent do not exceed. 0 of nothing.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        let at = |percent| percentile(&sorted, percent);
        assert_eq!(
            (at(50), at(90), at(99), at(100)),
            (100.0, 180.0, 198.0, 200.0)
        );
        assert_eq!(percentile(&[7.0], 50), 7.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }

    #[test]
    fn every_count_that_differs_is_a_finding() {
        let sold_out = Code::of(ErrorCode::SoldOut);
        let mut sample = Sample::default();
        for code in [Code::DONE, sold_out, sold_out] {
            let took = Duration::from_millis(1);
            sample.add(Answer { code, took });
        }
        assert_eq!(sample.judge(&[(Code::DONE, 1), (sold_out, 2)]), [""; 0]);
        let found = sample.judge(&[(Code::DONE, 2), (Code::Late, 0)]);
        assert_eq!(found, ["code 0: 1 instead of 2", "code 4003: 2 unexpected"]);
    }
}
