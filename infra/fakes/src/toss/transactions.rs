//! The list of transactions: a row for each capture and each cancel.

use std::collections::VecDeque;

use serde_json::{Value, json};
use shared::clock::UnixMillis;

use super::payment::{BookedCancel, CancelStatus, Payment, Status, wire_time};

/// Rows at most; a further one replaces the oldest. A test of 10,000 charges has fewer.
const ROWS_MAX: usize = 262_144;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    key: String,
    payment_key: String,
    order_id: String,
    method: Option<&'static str>,
    status: Status,
    amount: i64,
    at: UnixMillis,
}

impl Transaction {
    /// The rows of a payment, in order; none before its capture.
    pub(super) fn all_of(payment: &Payment) -> Vec<Self> {
        let Some(capture) = &payment.capture else {
            return Vec::new();
        };
        let row = |key: &str, status, amount, at| Self {
            key: key.to_owned(),
            payment_key: payment.key.clone(),
            order_id: payment.order_id.clone(),
            method: payment.method(),
            status,
            amount,
            at,
        };
        let mut rows = vec![row(
            &capture.transaction_key,
            Status::Done,
            payment.amount,
            capture.at,
        )];
        let mut left = payment.amount;
        let is_done = |cancel: &&BookedCancel| cancel.status == CancelStatus::Done;
        for cancel in payment.cancels.iter().filter(is_done) {
            left -= cancel.amount;
            let status = match left {
                0 => Status::Canceled,
                _ => Status::PartialCanceled,
            };
            let key = &cancel.transaction_key;
            rows.push(row(key, status, cancel.amount, cancel.at));
        }
        rows
    }

    /// The row with this key.
    pub(super) fn of(payment: &Payment, key: &str) -> Option<Self> {
        let mut rows = Self::all_of(payment).into_iter();
        rows.find(|row| row.key == key)
    }

    fn json(&self) -> Value {
        json!({
            "mId": "dapanda",
            "transactionKey": self.key,
            "paymentKey": self.payment_key,
            "orderId": self.order_id,
            "method": self.method,
            "customerKey": null,
            "useEscrow": false,
            "receiptUrl": null,
            "status": self.status.as_str(),
            "transactionAt": wire_time(self.at),
            "currency": "KRW",
            "amount": self.amount,
        })
    }
}

/// The rows of a page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// The first moment.
    pub(super) from: UnixMillis,
    /// The last moment.
    pub(super) to: UnixMillis,
    /// The key of the last row of the page before.
    pub(super) after: Option<&'a str>,
    /// Rows at most.
    pub(super) limit: usize,
}

/// The rows in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Transactions(VecDeque<Transaction>);

impl Transactions {
    pub(super) fn sorted(mut rows: Vec<Transaction>) -> Self {
        rows.sort_by_key(|row| row.at);
        Self(rows.into())
    }

    /// Adds a row; where the clock went back, among the older ones.
    pub(super) fn push(&mut self, row: Transaction) {
        if self.0.len() >= ROWS_MAX {
            self.0.pop_front();
        }
        let later = self.0.iter().rev().take_while(|other| other.at > row.at);
        let place = self.0.len() - later.count();
        self.0.insert(place, row);
    }

    /// `None` when the page before is not of these rows.
    pub(super) fn page(&self, page: &Page<'_>) -> Option<Vec<Value>> {
        let start = match page.after {
            None => 0,
            Some(after) => 1 + self.0.iter().position(|row| row.key == after)?,
        };
        let rows = self.0.range(start..);
        let inside = rows.filter(|row| (page.from..=page.to).contains(&row.at));
        Some(inside.take(page.limit).map(Transaction::json).collect())
    }
}
