//! The gateway's books: payments and what may happen to them.
//!
//! Everything takes the time as an argument. What changed is collected, so that the caller stores it and
//! sends webhooks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use shared::clock::UnixMillis;

use super::cancel::{Cancel, check_cancel};
use super::codes::Code;
use super::payment::{
    Account, BookedCancel, CancelStatus, Capture, Change, ChangeKind, How, Payment, Status,
};
use super::transactions::{Transaction, Transactions};

/// A session that is not confirmed expires after this time.
const SESSION_TIME: Duration = Duration::from_secs(30 * 60);

/// After the customer has agreed, a confirm comes within this time.
const CONFIRM_TIME: Duration = Duration::from_secs(10 * 60);

/// A transfer comes within this time.
const DEPOSIT_TIME: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What a customer has agreed to.
#[derive(Debug)]
pub(super) struct Agreed<'a> {
    pub(super) order_id: &'a str,
    pub(super) order_name: &'a str,
    pub(super) amount: i64,
    pub(super) how: How,
}

/// The payments.
#[derive(Debug)]
pub(super) struct Books {
    payments: HashMap<String, Payment>,
    /// The keys by age.
    ages: BTreeMap<u64, String>,
    by_order: HashMap<String, Vec<String>>,
    deadlines: BTreeSet<(UnixMillis, String)>,
    pub(super) transactions: Transactions,
    changes: Vec<Change>,
    payments_max: usize,
}

impl Books {
    /// Books of so many payments at most; a further one replaces the oldest without captured money, or the oldest.
    pub(super) fn new(payments_max: usize) -> Self {
        Self {
            payments: HashMap::new(),
            ages: BTreeMap::new(),
            by_order: HashMap::new(),
            deadlines: BTreeSet::new(),
            transactions: Transactions::default(),
            changes: Vec::new(),
            payments_max,
        }
    }

    /// Takes over the payments of a file.
    pub(super) fn restore(&mut self, payments: impl IntoIterator<Item = Payment>) {
        for payment in payments {
            self.insert(payment);
        }
        let rows = self.payments.values().flat_map(Transaction::all_of);
        self.transactions = Transactions::sorted(rows.collect());
    }

    /// What has changed since the last time.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Payment> {
        self.payments.get(key)
    }

    /// The captured payment of an order, else its newest one.
    pub(super) fn of_order(&self, order_id: &str) -> Option<&Payment> {
        let keys = self.by_order.get(order_id)?;
        let mut payments = keys.iter().filter_map(|key| self.payments.get(key));
        let captured = payments.clone().find(|payment| payment.capture.is_some());
        captured.or_else(|| payments.next_back())
    }

    /// The payments, the oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Payment> {
        let keys = self.ages.values();
        keys.filter_map(|key| self.payments.get(key))
    }

    /// Ends what has expired.
    pub(super) fn pass(&mut self, now: UnixMillis) {
        while let Some((due, _)) = self.deadlines.first()
            && *due <= now
            && let Some((_, key)) = self.deadlines.pop_first()
        {
            self.expire(&key);
        }
    }

    /// Ends a payment that waits for a confirm or a deposit.
    pub(super) fn expire(&mut self, key: &str) -> bool {
        let Some(payment) = self.payments.get_mut(key) else {
            return false;
        };
        let is_open = matches!(
            payment.status,
            Status::InProgress | Status::WaitingForDeposit
        );
        if is_open {
            payment.status = Status::Expired;
            payment.failure = Some("EXPIRED_PAYMENT".to_owned());
            self.changed(key, ChangeKind::Status);
        }
        is_open
    }

    /// A customer has agreed: a payment in progress.
    pub(super) fn authorize(&mut self, agreed: Agreed<'_>, now: UnixMillis) -> String {
        let number = self.ages.last_key_value().map_or(1, |(last, _)| last + 1);
        let key = format!("dapanda{number:06}{:016x}", rand::random::<u64>());
        self.insert(Payment {
            number,
            key: key.clone(),
            order_id: agreed.order_id.to_owned(),
            order_name: agreed.order_name.to_owned(),
            amount: agreed.amount,
            how: agreed.how,
            status: Status::InProgress,
            requested: now,
            capture: None,
            account: None,
            failure: None,
            secret: format!("ps_{:016x}", rand::random::<u64>()),
            last_transaction: None,
            cancels: Vec::new(),
        });
        self.changed(&key, ChangeKind::Quiet);
        key
    }

    /// The merchant confirms. `Ok` is captured, or an account to transfer to.
    pub(super) fn confirm(
        &mut self,
        key: &str,
        order_id: &str,
        amount: i64,
        now: UnixMillis,
    ) -> Result<(), Code> {
        let payment = self.get(key).ok_or("NOT_FOUND_PAYMENT_SESSION")?;
        match payment.status {
            Status::InProgress => {}
            Status::Expired => return Err("NOT_FOUND_PAYMENT_SESSION".into()),
            Status::WaitingForDeposit
            | Status::Done
            | Status::Canceled
            | Status::PartialCanceled
            | Status::Aborted => return Err("ALREADY_PROCESSED_PAYMENT".into()),
        }
        if payment.order_id != order_id || payment.amount != amount {
            return Err("INVALID_REQUEST".into());
        }
        if now.saturating_since(payment.requested) > CONFIRM_TIME {
            return Err("NOT_FOUND_PAYMENT_SESSION".into());
        }
        let is_paid = |payment: &Payment| payment.capture.is_some();
        if self.of_order(order_id).is_some_and(is_paid) {
            return Err("DUPLICATED_ORDER_ID".into());
        }
        match payment.how.clone() {
            How::Card => self.capture(key, now),
            How::Declined(code) => {
                self.abort(key, &code);
                return Err(code.into());
            }
            How::VirtualAccount => self.await_deposit(key, now),
        }
        Ok(())
    }

    /// Captures a payment that is not captured or cancelled, whatever else it is.
    pub(super) fn capture_open(&mut self, key: &str, now: UnixMillis) -> bool {
        let is_open = self
            .get(key)
            .is_some_and(|payment| payment.capture.is_none() && payment.status != Status::Canceled);
        if is_open {
            self.capture(key, now);
        }
        is_open
    }

    /// The transfer comes.
    pub(super) fn deposit(&mut self, key: &str, now: UnixMillis) -> bool {
        let waits = |payment: &Payment| payment.status == Status::WaitingForDeposit;
        let waits = self.get(key).is_some_and(waits);
        if waits {
            self.capture(key, now);
        }
        waits
    }

    /// Money goes back.
    pub(super) fn cancel(
        &mut self,
        key: &str,
        cancel: &Cancel<'_>,
        now: UnixMillis,
    ) -> Result<(), Code> {
        let payment = self.get(key).ok_or("NOT_FOUND_PAYMENT")?;
        let amount = check_cancel(payment, cancel, now)?;
        let payment = self.payments.get_mut(key).ok_or("NOT_FOUND_PAYMENT")?;
        let transaction_key = transaction_key();
        payment.cancels.push(BookedCancel {
            transaction_key: transaction_key.clone(),
            amount,
            reason: cancel.reason.to_owned(),
            at: now,
            status: CancelStatus::InProgress,
            by_dashboard: cancel.by_dashboard,
        });
        match cancel.status {
            CancelStatus::InProgress => self.changed(key, ChangeKind::Quiet),
            outcome @ (CancelStatus::Done | CancelStatus::Aborted) => {
                self.finish_cancel(key, &transaction_key, outcome, now);
            }
        }
        Ok(())
    }

    /// The outcome of a cancel in progress.
    pub(super) fn finish_cancel(
        &mut self,
        key: &str,
        transaction_key: &str,
        outcome: CancelStatus,
        now: UnixMillis,
    ) -> bool {
        let Some(payment) = self.payments.get_mut(key) else {
            return false;
        };
        let mut cancels = payment.cancels.iter_mut();
        let cancel = cancels.find(|cancel| cancel.transaction_key == transaction_key);
        let Some(cancel) = cancel.filter(|cancel| cancel.status == CancelStatus::InProgress) else {
            return false;
        };
        (cancel.status, cancel.at) = (outcome, now);
        payment.status = payment.status_of_cancels();
        if outcome == CancelStatus::Done {
            payment.last_transaction = Some(transaction_key.to_owned());
        }
        let row = Transaction::of(payment, transaction_key);
        let kind = ChangeKind::of_money(payment);
        if let Some(row) = row {
            self.transactions.push(row);
        }
        self.changed(key, kind);
        true
    }

    fn capture(&mut self, key: &str, now: UnixMillis) {
        let Some(payment) = self.payments.get_mut(key) else {
            return;
        };
        let transaction_key = transaction_key();
        payment.status = Status::Done;
        payment.failure = None;
        payment.last_transaction = Some(transaction_key.clone());
        payment.capture = Some(Capture {
            transaction_key: transaction_key.clone(),
            at: now,
        });
        if let Some(row) = Transaction::of(payment, &transaction_key) {
            self.transactions.push(row);
        }
        let kind = ChangeKind::of_money(payment);
        self.changed(key, kind);
    }

    /// A payment that is not confirmed yet is declined.
    pub(super) fn abort(&mut self, key: &str, code: &str) {
        let payment = self.payments.get_mut(key);
        if let Some(payment) = payment.filter(|payment| payment.status == Status::InProgress) {
            payment.status = Status::Aborted;
            payment.failure = Some(code.to_owned());
            self.changed(key, ChangeKind::Status);
        }
    }

    fn await_deposit(&mut self, key: &str, now: UnixMillis) {
        if let Some(payment) = self.payments.get_mut(key) {
            payment.status = Status::WaitingForDeposit;
            payment.last_transaction = Some(transaction_key());
            payment.account = Some(Account {
                number: format!("{:014}", rand::random::<u64>() % 100_000_000_000_000),
                due: now.saturating_add(DEPOSIT_TIME),
            });
            self.changed(key, ChangeKind::Deposit);
        }
    }

    /// Notes a change, and the payment's new deadline.
    fn changed(&mut self, key: &str, kind: ChangeKind) {
        if let Some(payment) = self.payments.get(key).cloned() {
            self.forget_deadlines(&payment);
            self.deadlines.extend(deadline(&payment));
            self.changes.push(Change { payment, kind });
        }
    }

    fn forget_deadlines(&mut self, payment: &Payment) {
        let session = payment.requested.saturating_add(SESSION_TIME);
        let account = payment.account.as_ref().map(|account| account.due);
        for due in [Some(session), account].into_iter().flatten() {
            self.deadlines.remove(&(due, payment.key.clone()));
        }
    }

    fn insert(&mut self, payment: Payment) {
        if self.payments.len() >= self.payments_max {
            self.drop_oldest();
        }
        let of_order = self.by_order.entry(payment.order_id.clone()).or_default();
        of_order.push(payment.key.clone());
        self.ages.insert(payment.number, payment.key.clone());
        self.deadlines.extend(deadline(&payment));
        self.payments.insert(payment.key.clone(), payment);
    }

    fn drop_oldest(&mut self) {
        let oldest = self.all().find(|payment| payment.capture.is_none());
        let oldest = oldest.or_else(|| self.all().next());
        let Some(key) = oldest.map(|payment| payment.key.clone()) else {
            return;
        };
        let Some(payment) = self.payments.remove(&key) else {
            return;
        };
        self.ages.remove(&payment.number);
        self.forget_deadlines(&payment);
        if let Some(keys) = self.by_order.get_mut(&payment.order_id) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_order.remove(&payment.order_id);
            }
        }
    }
}

/// When an open payment expires.
fn deadline(payment: &Payment) -> Option<(UnixMillis, String)> {
    let session = payment.requested.saturating_add(SESSION_TIME);
    let due = match payment.status {
        Status::InProgress => Some(session),
        Status::WaitingForDeposit => payment.account.as_ref().map(|account| account.due),
        Status::Done
        | Status::Canceled
        | Status::PartialCanceled
        | Status::Aborted
        | Status::Expired => None,
    };
    due.map(|due| (due, payment.key.clone()))
}

fn transaction_key() -> String {
    format!("txrd_{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_without_money_are_forgotten_first() {
        let mut books = Books::new(3);
        let now = UnixMillis::EPOCH;
        let agree = |books: &mut Books, order_id| {
            let agreed = Agreed {
                order_id,
                order_name: "charge",
                amount: 1_000,
                how: How::Card,
            };
            books.authorize(agreed, now)
        };
        let paid = agree(&mut books, "order-1");
        books.confirm(&paid, "order-1", 1_000, now).unwrap();
        let open = agree(&mut books, "order-2");
        let newer = agree(&mut books, "order-3");
        agree(&mut books, "order-4");
        assert!(books.get(&paid).is_some());
        assert!(books.get(&open).is_none() && books.of_order("order-2").is_none());
        // What is forgotten does not expire, and no number is used twice.
        books.take_changes();
        books.pass(now.saturating_add(SESSION_TIME));
        assert_eq!(books.take_changes().len(), 2);
        assert_eq!(books.get(&newer).unwrap().number, 3);
        let numbers: Vec<_> = books.all().map(|payment| payment.number).collect();
        assert_eq!(numbers, [1, 3, 4]);
    }
}
