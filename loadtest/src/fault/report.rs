//! Results of a run: one line of JSON per repetition, and progress as text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::board::Counts;
use super::cases::CASES;
use super::error::FaultError;

/// Violations of a kind that are written out; all are counted.
const EXAMPLES_MAX: usize = 3;

/// One repetition of a case.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) case: &'static str,
    pub(crate) repetition: u32,
    /// Settings; only results with the same ones are comparable.
    pub(crate) settings: String,
    pub(crate) ok: bool,
    /// Broken promises, by kind.
    pub(crate) violations: BTreeMap<String, usize>,
    pub(crate) examples: Vec<String>,
    /// From the fault's end until every room delivered between nodes.
    pub(crate) recovered_ms: Option<u128>,
    /// How long the fault took.
    pub(crate) fault_ms: u128,
    /// From the end of traffic until every list of rooms agreed with the logs.
    pub(crate) lists_ms: u128,
    /// Entries in the store.
    pub(crate) stored: usize,
    pub(crate) receipts: usize,
    pub(crate) rss_max_mib: Vec<u64>,
    pub(crate) counts: Counts,
}

/// The part of a line that is read back.
#[derive(Debug, Deserialize)]
struct Done {
    case: String,
    repetition: u32,
    settings: String,
    ok: bool,
}

/// The file of results.
#[derive(Debug)]
pub(crate) struct Results {
    file: File,
    /// Earlier repetitions, and whether they passed.
    done: BTreeMap<(String, u32), bool>,
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
}

impl Results {
    /// Opens the file and reads earlier results. A truncated last line, left by a kill, counts as
    /// not run.
    pub(crate) fn open(path: &Path, settings: &str) -> Result<Self, FaultError> {
        let wrong = |error| FaultError::File(path.to_owned(), error);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(error)),
        };
        let mut done = BTreeMap::new();
        for line in text.lines() {
            let Ok(line) = serde_json::from_str::<Done>(line) else {
                continue;
            };
            if line.settings != settings {
                return Err(FaultError::OtherSettings(path.to_owned()));
            }
            done.insert((line.case, line.repetition), line.ok);
        }
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(wrong)?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(wrong)?;
        }
        Ok(Self { file, done })
    }

    /// Whether this repetition was run before, and passed.
    pub(crate) fn before(&self, case: &str, repetition: u32) -> Option<bool> {
        self.done.get(&(case.to_owned(), repetition)).copied()
    }

    pub(crate) fn append(&mut self, path: &Path, outcome: &Outcome) -> Result<(), FaultError> {
        let mut line = serde_json::to_string(outcome).expect("maps have text for keys");
        line.push('\n');
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|error| FaultError::File(path.to_owned(), error))
    }
}

/// A line for people.
pub(crate) fn print(line: &str) -> Result<(), FaultError> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| FaultError::File("standard output".into(), error))
}

pub(crate) fn print_outcome(outcome: &Outcome) -> Result<(), FaultError> {
    let counts = &outcome.counts;
    let recovered = match outcome.recovered_ms {
        Some(ms) => format!("{ms} ms"),
        None => "never".to_owned(),
    };
    let failed: u64 = counts.connects_failed.values().sum();
    let closes: u64 = counts.closes.values().sum();
    print(&format!(
        "{:<36} #{:<2} {:<6} fault {:>6} ms, recovered in {recovered:>8}; {} sent, {} stored, {} seen; \
         {} connects, {failed} failed, {} turned away, {closes} closed, {} moved, {} refused, {} resent; rss max {:?} MiB",
        outcome.case,
        outcome.repetition,
        if outcome.ok { "ok" } else { "BROKEN" },
        outcome.fault_ms,
        counts.sends,
        outcome.stored,
        counts.deliveries,
        counts.connects,
        counts.turned_away,
        counts.moved,
        counts.retryable,
        counts.resends,
        outcome.rss_max_mib,
    ))?;
    if !outcome.ok {
        print(&format!("    {:?}", outcome.violations))?;
        for example in &outcome.examples {
            print(&format!("    {example}"))?;
        }
    }
    Ok(())
}

pub(crate) fn print_names() -> Result<(), FaultError> {
    CASES.iter().try_for_each(|case| print(case.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(repetition: u32) -> Outcome {
        Outcome {
            case: "node-kill",
            repetition,
            settings: "a".to_owned(),
            ok: true,
            ..Outcome::default()
        }
    }

    #[test]
    fn what_was_run_is_known_after_a_restart_although_the_last_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        let mut results = Results::open(&path, "a").unwrap();
        results.append(&path, &outcome(1)).unwrap();
        results.append(&path, &outcome(2)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();

        let mut results = Results::open(&path, "a").unwrap();
        assert_eq!(results.before("node-kill", 1), Some(true));
        assert_eq!(results.before("node-kill", 2), None);
        results.append(&path, &outcome(2)).unwrap();
        let results = Results::open(&path, "a").unwrap();
        assert_eq!(results.before("node-kill", 2), Some(true));
    }

    #[test]
    fn results_of_other_settings_are_not_mixed_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        let mut results = Results::open(&path, "a").unwrap();
        results.append(&path, &outcome(1)).unwrap();
        let other = Results::open(&path, "b");
        assert!(matches!(other, Err(FaultError::OtherSettings(_))));
    }
}
