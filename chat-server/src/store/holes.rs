//! The holes of logs: entries that should be there and are not, or cannot be read.
//!
//! Damage, or a hand in the database. Readers pass over a hole, so that one bad row does not take
//! the rest of its log with it; here it is logged and counted, once, so that a person learns of it.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use shared::ids::Seq;

use crate::log::{Entry, Topic};
use crate::metrics::Metrics;

/// Logs with holes that are remembered. With more of them all are reported again, which does not
/// matter then.
const LOGS_MAX: usize = 4_096;

/// Holes of one log that are remembered, likewise.
const HOLES_MAX: usize = 64;

/// First and last missing position.
type Range = (u32, u32);

/// What was found so far.
#[derive(Debug)]
pub(super) struct Holes {
    known: Mutex<HashMap<Topic, Vec<Range>>>,
    metrics: Arc<Metrics>,
}

impl Holes {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            known: Mutex::default(),
            metrics,
        }
    }

    /// The entries at `first..=last` are not there, for this reason.
    pub(super) fn note(&self, topic: Topic, missing: RangeInclusive<u32>, why: &str) {
        let (first, last) = missing.into_inner();
        let is_new = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= LOGS_MAX && !known.contains_key(&topic) {
                known.clear();
            }
            add(known.entry(topic).or_default(), (first, last))
        };
        if is_new {
            self.metrics.store_holes.inc();
            tracing::error!(%topic, first, last, "{topic} has no entries {first} to {last}: {why}");
        }
    }

    /// Notes what is missing of a room before and between `entries`, which begin at `first`.
    pub(super) fn note_between(&self, topic: Topic, first: Seq, entries: &[Arc<Entry>]) {
        let Topic::Room(_) = topic else { return };
        let mut expected = first.get().max(1);
        for entry in entries {
            let found = entry.seq.get();
            if found > expected {
                self.note(topic, expected..=found - 1, "not in the store");
            }
            expected = found + 1;
        }
    }
}

/// Adds a range; whether it is a hole of its own. What touches a known one is a part of that: a
/// long hole is found page by page.
fn add(known: &mut Vec<Range>, (first, last): Range) -> bool {
    let touches = |range: &&mut Range| {
        first <= range.1.saturating_add(1) && range.0 <= last.saturating_add(1)
    };
    if let Some(range) = known.iter_mut().find(touches) {
        *range = (range.0.min(first), range.1.max(last));
        return false;
    }
    if known.len() >= HOLES_MAX {
        known.clear();
    }
    known.push((first, last));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_one_however_it_is_found() {
        let mut known = Vec::new();
        let found = [(5, 5), (5, 5), (6, 9), (1, 3), (4, 4), (20, 30), (25, 40)];
        let new = found.map(|range| add(&mut known, range));
        assert_eq!(new, [true, false, false, true, false, true, false]);
    }
}
