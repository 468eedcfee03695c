//! Output of a run: progress, figures, violations.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::EventsError;
use super::judge::{Inbox, Trades};
use super::schedule::{Deed, Log};
use crate::fault::FaultError;
use crate::fault::board::Counts;
use crate::fault::report::print;
use crate::market::client::since;
use crate::market::sample::Milliseconds;

/// Violations of a kind that are written out; all are counted.
const EXAMPLES_MAX: usize = 3;

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    violations: BTreeMap<String, usize>,
    examples: Vec<String>,
    /// Attempts of purchases that were repeated.
    pub(crate) retries: u64,
    faults: BTreeMap<(Deed, String), usize>,
    counts: Counts,
    trades: usize,
    /// Entries in the logs, and those that sockets received.
    entries: (usize, usize),
}

impl Outcome {
    /// Records a broken promise.
    pub(crate) fn violate(&mut self, kind: &str, what: String) {
        let count = self.violations.entry(kind.to_owned()).or_default();
        *count += 1;
        if *count <= EXAMPLES_MAX {
            self.examples.push(what);
        }
    }

    /// Whether no promise was broken so far.
    pub(crate) fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn note_run(&mut self, log: &Log, counts: Counts, trades: &Trades) {
        for fault in log {
            *self.faults.entry(fault.clone()).or_default() += 1;
        }
        for what in &counts.odd {
            self.violate("odd", what.clone());
        }
        if counts.unrecovered > 0 {
            let what = format!("{} subscriptions were not recovered", counts.unrecovered);
            self.violate("unrecovered", what);
        }
        self.counts = counts;
        self.trades = trades.committed.len();
    }

    pub(crate) fn note_entries(&mut self, inboxes: &[Inbox]) {
        let sum = |of: fn(&Inbox) -> usize| inboxes.iter().map(of).sum();
        self.entries = (sum(|inbox| inbox.log.len()), sum(|inbox| inbox.live.len()));
    }

    /// Prints everything.
    ///
    /// # Errors
    /// A promise was broken.
    pub(crate) fn print(&self, took: Duration) -> Result<(), EventsError> {
        let done = |deed| {
            let of = self.faults.iter().filter(|((found, _), _)| *found == deed);
            let parts: Vec<_> = of
                .map(|((_, part), count)| format!("{part} {count}"))
                .collect();
            parts.join(", ")
        };
        print(&format!("killed: {}", done(Deed::Kill)))?;
        print(&format!("frozen: {}", done(Deed::Freeze)))?;
        let counts = &self.counts;
        let failed: u64 = counts.connects_failed.values().sum();
        let closes: u64 = counts.closes.values().sum();
        print(&format!(
            "sockets: {} connects, {failed} failed, {} turned away, {closes} closed; \
             purchases: {} committed, {} attempts repeated",
            counts.connects, counts.turned_away, self.trades, self.retries,
        ))?;
        let (stored, live) = self.entries;
        print(&format!(
            "{stored} entries in all inboxes, {live} received by sockets; {:.1} s in all",
            took.as_secs_f64()
        ))?;
        let broken: usize = self.violations.values().sum();
        if broken == 0 {
            return Ok(print(
                "every inbox equals the committed trades, once each, in order",
            )?);
        }
        print(&format!("BROKEN: {:?}", self.violations))?;
        for example in &self.examples {
            print(&format!("    {example}"))?;
        }
        Err(EventsError::Broken(broken))
    }
}

/// A line with the time since the start.
pub(crate) fn print_progress(begun: Instant, what: &str) -> Result<(), FaultError> {
    print(&format!("{:>7.1} s  {what}", since(begun).as_secs_f64()))
}

/// Times from the answer to a purchase to the MESSAGE at its buyer's socket. What they do not have: the
/// time between COMMIT and the answer, a network, and processors that nobody else uses.
pub(crate) fn print_latencies(when: &str, times: &[Duration]) -> Result<(), FaultError> {
    let ms = Milliseconds::of(times);
    print(&format!(
        "{when}: answer to MESSAGE of {} purchases, ms: p50 {:.1}, p90 {:.1}, p99 {:.1}, max {:.1} \
         (without COMMIT to answer; all servers on this machine)",
        times.len(),
        ms.p50,
        ms.p90,
        ms.p99,
        ms.max
    ))
}
