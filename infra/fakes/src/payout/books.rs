//! The payouts, by their references, and their file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::clock::UnixMillis;

use crate::journal::Journal;

/// Payouts at most; further ones fail. None is ever forgotten: its reference must not be paid again.
const PAYOUTS_MAX: usize = 262_144;

/// Where a payout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayoutStatus {
    /// It will be paid.
    Accepted,
    /// It is paid.
    Paid,
    /// It is not paid, and never will be.
    Refused,
}

impl PayoutStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Paid => "PAID",
            Self::Refused => "REFUSED",
        }
    }
}

/// A payout as the books have it.
#[derive(Clone, Debug, PartialEq)]
pub struct BookedPayout {
    /// Our reference.
    pub reference: String,
    /// The amount.
    pub amount: i64,
    /// The account, as it was sent.
    pub recipient: Value,
    /// Where it stands.
    pub status: PayoutStatus,
    /// Why it is refused.
    pub code: Option<String>,
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Payout {
    pub(super) reference: String,
    pub(super) amount: i64,
    pub(super) recipient: Value,
    /// From then on it is paid, unless it is refused.
    pub(super) paid: UnixMillis,
    pub(super) refused: Option<String>,
}

impl Payout {
    pub(super) fn status(&self, now: UnixMillis) -> PayoutStatus {
        match self.refused {
            Some(_) => PayoutStatus::Refused,
            None if now < self.paid => PayoutStatus::Accepted,
            None => PayoutStatus::Paid,
        }
    }

    pub(super) fn booked(&self, now: UnixMillis) -> BookedPayout {
        BookedPayout {
            reference: self.reference.clone(),
            amount: self.amount,
            recipient: self.recipient.clone(),
            status: self.status(now),
            code: self.refused.clone(),
        }
    }
}

/// The payouts.
#[derive(Debug, Default)]
pub(super) struct Books {
    payouts: BTreeMap<String, Payout>,
    journal: Journal,
}

impl Books {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let lines: Vec<Payout> = Journal::read(path)?;
        // The last line of a reference counts.
        let payouts: BTreeMap<_, _> = lines
            .into_iter()
            .map(|payout| (payout.reference.clone(), payout))
            .collect();
        let lines: Vec<_> = payouts.values().cloned().collect();
        let journal = Journal::rewrite(path, &lines)?;
        Ok(Self { payouts, journal })
    }

    pub(super) fn get(&self, reference: &str) -> Option<&Payout> {
        self.payouts.get(reference)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Payout> {
        self.payouts.values()
    }

    pub(super) fn is_full(&self) -> bool {
        self.payouts.len() >= PAYOUTS_MAX
    }

    /// Whether the file could not be written.
    pub(super) fn is_broken(&self) -> bool {
        self.journal.is_broken()
    }

    pub(super) fn put(&mut self, payout: Payout) {
        self.journal.append(&payout);
        self.payouts.insert(payout.reference.clone(), payout);
    }

    pub(super) fn reject(&mut self, reference: &str, code: &str) -> bool {
        let there = self.payouts.get(reference);
        let Some(mut payout) = there.filter(|payout| payout.refused.is_none()).cloned() else {
            return false;
        };
        payout.refused = Some(code.to_owned());
        self.put(payout);
        true
    }
}
