//! The gateway's books: payments and what may happen to them.
//!
//! Everything takes the time as an argument. What changed is collected, so that the caller stores it and
//! sends webhooks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use shared::clock::UnixMillis;

use super::payment::{Account, BookedCancel, Capture, Change, ChangeKind, How, Payment, Status};
use super::transactions::{Transaction, Transactions};

/// A session that is not confirmed expires after this time.
const SESSION_TIME: Duration = Duration::from_secs(30 * 60);

/// After the customer has agreed, a confirm comes within this time.
const CONFIRM_TIME: Duration = Duration::from_secs(10 * 60);

/// A transfer comes within this time.
const DEPOSIT_TIME: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Of two cancels of one payment within this time only the first is done.
const CANCEL_PAUSE: Duration = Duration::from_secs(1);

/// The code of a refusal.
pub(super) type Code = Cow<'static, str>;

/// What a customer has agreed to.
#[derive(Debug)]
pub(super) struct Agreed<'a> {
    pub(super) order_id: &'a str,
    pub(super) order_name: &'a str,
    pub(super) amount: i64,
    pub(super) how: How,
}

/// A cancel, as it is requested.
#[derive(Debug)]
pub(super) struct Cancel<'a> {
    /// All that is left without it.
    pub(super) amount: Option<i64>,
    pub(super) reason: &'a str,
    pub(super) has_account: bool,
    pub(super) by_dashboard: bool,
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
    /// Books of so many payments at most; a further one replaces the oldest.
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
        payment.last_transaction = Some(transaction_key.clone());
        payment.cancels.push(BookedCancel {
            transaction_key,
            amount,
            reason: cancel.reason.to_owned(),
            at: now,
            by_dashboard: cancel.by_dashboard,
        });
        payment.status = match payment.balance() {
            0 => Status::Canceled,
            _ => Status::PartialCanceled,
        };
        if let Some(row) = Transaction::all_of(payment).pop() {
            self.transactions.push(row);
        }
        let kind = ChangeKind::of_money(payment);
        self.changed(key, kind);
        Ok(())
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
            transaction_key,
            at: now,
        });
        if let Some(row) = Transaction::all_of(payment).pop() {
            self.transactions.push(row);
        }
        let kind = ChangeKind::of_money(payment);
        self.changed(key, kind);
    }

    fn abort(&mut self, key: &str, code: &str) {
        if let Some(payment) = self.payments.get_mut(key) {
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
        let Some((_, key)) = self.ages.pop_first() else {
            return;
        };
        let Some(payment) = self.payments.remove(&key) else {
            return;
        };
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

/// What a cancel would give back.
fn check_cancel(payment: &Payment, cancel: &Cancel<'_>, now: UnixMillis) -> Result<i64, Code> {
    match payment.status {
        Status::Done | Status::PartialCanceled => {}
        Status::Canceled => return Err("ALREADY_CANCELED_PAYMENT".into()),
        Status::WaitingForDeposit => {
            let is_all = cancel.amount.is_none_or(|amount| amount == payment.amount);
            return match is_all {
                true => Ok(payment.amount),
                false => Err("NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT".into()),
            };
        }
        Status::InProgress | Status::Aborted | Status::Expired => {
            return Err("NOT_CANCELABLE_PAYMENT".into());
        }
    }
    let is_early =
        |last: &BookedCancel| now.saturating_since(last.at) < CANCEL_PAUSE && !cancel.by_dashboard;
    if payment.cancels.last().is_some_and(is_early) {
        return Err("FORBIDDEN_CONSECUTIVE_REQUEST".into());
    }
    let amount = cancel.amount.unwrap_or_else(|| payment.balance());
    if amount < 1 || amount > payment.balance() {
        return Err("NOT_CANCELABLE_AMOUNT".into());
    }
    if payment.account.is_some() && !cancel.has_account {
        return Err("INVALID_REFUND_ACCOUNT_INFO".into());
    }
    Ok(amount)
}

fn transaction_key() -> String {
    format!("txrd_{:016x}", rand::random::<u64>())
}
