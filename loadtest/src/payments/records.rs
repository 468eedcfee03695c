//! What a run leaves for its judge: what clients did and were answered, the books of both sides, and violations.

use std::collections::BTreeMap;

use fakes::payout::{BookedPayout, PayoutStatus};
use fakes::toss::BookedPayment;

use super::books::Books;

/// An answer of the market's to a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Captured, with this amount.
    Captured(i64),
    /// 5001.
    Declined,
    /// 5008.
    BeingVerified,
    /// 5003, of a request that deserves it.
    Mismatch,
    /// No answer, or the server could not do it now.
    None,
    /// An answer that no request of this run deserves.
    Odd(String),
}

/// What a client did with an order, and what it was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) member: u32,
    pub(crate) amount: i64,
    pub(crate) answers: Vec<Answer>,
    /// The market has answered that it is saved.
    pub(crate) is_saved: bool,
    /// The last time at which the payment changed by somebody else: a transfer, the end of its time, a capture.
    pub(crate) changed_at: Option<i64>,
    /// The gateway captured it after its end.
    pub(crate) is_late: bool,
}

/// An order's event at a time: a query that reached the gateway, or a webhook that reached the market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) order: String,
    pub(crate) at: i64,
}

/// A refund that a client has requested, with the amount and the remaining cash of its answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) member: u32,
    pub(crate) request: String,
    pub(crate) amount: i64,
    pub(crate) answers: Vec<RefundAnswer>,
}

/// An answer of the market's to a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefundAnswer {
    /// Accepted, with the amount and the remaining cash.
    Accepted(i64, i64),
    /// 5007 and the like.
    Refused,
    /// No answer, or the server could not do it now.
    None,
    /// An answer that no request of this run deserves.
    Odd(String),
}

/// Everything that a run leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) requests: Vec<Request>,
    pub(crate) books: Books,
    pub(crate) gateway: Vec<BookedPayment>,
    pub(crate) payouts: Vec<BookedPayout>,
    /// Queries, in the order in which they reached the gateway.
    pub(crate) queries: Vec<Arrival>,
    /// Webhooks, in the order in which they reached the market.
    pub(crate) webhooks: Vec<Arrival>,
    /// What the market's own verification of its books found.
    pub(crate) ledger: Vec<String>,
    pub(crate) now: i64,
}

/// What may be missing in the market's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rigour {
    /// What others changed at the gateway, if no webhook has arrived since.
    Webhooks,
    /// Nothing, but the outcome of a part of a refund that was sent less than two minutes ago.
    Soon,
    /// Nothing.
    All,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: &'static str,
    pub(crate) what: String,
}

/// Collects violations.
#[derive(Debug, Default)]
pub(crate) struct Found(pub(crate) Vec<Violation>);

impl Found {
    pub(crate) fn add(&mut self, kind: &'static str, what: String) {
        self.0.push(Violation { kind, what });
    }

    /// A violation unless `holds`.
    pub(crate) fn check(&mut self, holds: bool, kind: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(kind, what());
        }
    }
}

/// The provider has paid.
pub(crate) fn is_paid(payout: &BookedPayout) -> bool {
    match payout.status {
        PayoutStatus::Paid => true,
        // Then its leg is open, and its amount in transit.
        PayoutStatus::Accepted | PayoutStatus::Refused => false,
    }
}
