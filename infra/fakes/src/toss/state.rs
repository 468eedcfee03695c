//! Everything behind the gateway's lock, and its file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;

use super::books::Books;
use super::codes::Answer;
use super::faults::Faults;
use super::keys::Keys;
use super::payment::Payment;
use super::requests::Requests;
use super::webhooks::Outbox;
use crate::journal::Journal;

/// Payments in memory at most, the newest: more than the largest test makes.
const PAYMENTS_MAX: usize = 262_144;

/// Recorded requests, the newest.
const SEEN_MAX: usize = 262_144;

/// Payments in a file at most, the newest: for one computer's demo.
const FILED_PAYMENTS_MAX: usize = 10_000;

/// Recorded requests of books in a file.
const FILED_SEEN_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) books: Books,
    pub(super) keys: Keys,
    pub(super) faults: Faults,
    pub(super) requests: Requests,
    pub(super) outbox: Outbox,
    /// Where webhooks are sent.
    pub(super) hook: Option<(reqwest::Client, Url)>,
    journal: Journal,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Payment(Box<Payment>),
    Key {
        scope: String,
        answer: Answer,
        since: UnixMillis,
    },
}

impl State {
    /// Books in memory.
    pub(super) fn new() -> Self {
        Self::of(Books::new(PAYMENTS_MAX), Requests::new(SEEN_MAX))
    }

    /// Books in a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let requests = Requests::new(FILED_SEEN_MAX);
        let mut state = Self::of(Books::new(FILED_PAYMENTS_MAX), requests);
        state.restore(Journal::read(path)?);
        state.journal = Journal::rewrite(path, &state.lines())?;
        Ok(state)
    }

    fn of(books: Books, requests: Requests) -> Self {
        Self {
            books,
            keys: Keys::default(),
            faults: Faults::default(),
            requests,
            outbox: Outbox::default(),
            hook: None,
            journal: Journal::default(),
        }
    }

    /// Takes over a file. The last line of a payment counts.
    fn restore(&mut self, lines: Vec<Line>) {
        let mut payments = BTreeMap::new();
        for line in lines {
            match line {
                Line::Payment(payment) => drop(payments.insert(payment.number, *payment)),
                Line::Key {
                    scope,
                    answer,
                    since,
                } => self.keys.restore(scope, answer, since),
            }
        }
        self.books.restore(payments.into_values());
    }

    fn lines(&self) -> Vec<Line> {
        let key = |(scope, answer, since): (&str, &Answer, UnixMillis)| Line::Key {
            scope: scope.to_owned(),
            answer: answer.clone(),
            since,
        };
        let payments = self.books.all().cloned().map(Box::new).map(Line::Payment);
        payments.chain(self.keys.finished().map(key)).collect()
    }

    /// Stores what has changed, and adds its webhooks. Whether anything has.
    pub(super) fn publish(&mut self, base: &str, now: UnixMillis) -> bool {
        let changes = self.books.take_changes();
        for change in &changes {
            self.outbox.add(change, &self.faults.plan, base, now);
        }
        let is_changed = !changes.is_empty();
        for change in changes {
            self.append(&Line::Payment(Box::new(change.payment)));
        }
        is_changed
    }

    /// Stores the answer of an idempotency key.
    pub(super) fn finish(&mut self, scope: &str, answer: &Answer, since: UnixMillis) {
        self.keys.finish(scope, answer.clone());
        self.append(&Line::Key {
            scope: scope.to_owned(),
            answer: answer.clone(),
            since,
        });
    }

    fn append(&mut self, line: &Line) {
        self.journal.append(line);
        let mut journal = std::mem::take(&mut self.journal);
        journal.compact(|| self.lines());
        self.journal = journal;
    }

    /// Whether the file could not be written.
    pub(super) fn is_broken(&self) -> bool {
        self.journal.is_broken()
    }
}
