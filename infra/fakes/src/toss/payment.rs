//! A payment as it is stored, and as the real service shows it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::{LocalDateTime, UnixMillis};

use super::codes::{Language, message};

/// How the customer pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// By a card that is accepted.
    Card,
    /// By a card that is declined at the confirm, with this code, such as `REJECT_CARD_PAYMENT`.
    Declined(String),
    /// By a bank transfer, later, to an account that is made for the payment.
    VirtualAccount,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The customer has agreed; not confirmed yet.
    InProgress,
    /// Confirmed; the transfer has not come yet.
    WaitingForDeposit,
    /// Captured.
    Done,
    /// All of it is cancelled.
    Canceled,
    /// Some of it is cancelled.
    PartialCanceled,
    /// Declined at the confirm.
    Aborted,
    /// Not confirmed, or not transferred, in time.
    Expired,
}

impl Status {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::WaitingForDeposit => "WAITING_FOR_DEPOSIT",
            Self::Done => "DONE",
            Self::Canceled => "CANCELED",
            Self::PartialCanceled => "PARTIAL_CANCELED",
            Self::Aborted => "ABORTED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// Where a cancel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelStatus {
    /// The money goes back, or will not: the outcome comes later.
    InProgress,
    /// The money has gone back.
    Done,
    /// It has not, and will not.
    Aborted,
}

impl CancelStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Done => "DONE",
            Self::Aborted => "ABORTED",
        }
    }
}

/// A cancel that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedCancel {
    /// Its key.
    pub transaction_key: String,
    /// The amount.
    pub amount: i64,
    /// The reason as it was sent.
    pub reason: String,
    /// When it was accepted, or done.
    pub at: UnixMillis,
    /// Where it stands.
    pub status: CancelStatus,
    /// Whether an operator of the gateway did it, and not a request.
    pub by_dashboard: bool,
}

/// A payment as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedPayment {
    /// Its key.
    pub payment_key: String,
    /// Its order.
    pub order_id: String,
    /// Where it stands.
    pub status: Status,
    /// The amount that the customer has agreed to.
    pub amount: i64,
    /// What was captured: nothing, or the amount.
    pub captured: i64,
    /// What was given back of it.
    pub cancelled: i64,
    /// The cancels, the oldest first.
    pub cancels: Vec<BookedCancel>,
}

impl From<&Payment> for BookedPayment {
    fn from(payment: &Payment) -> Self {
        Self {
            payment_key: payment.key.clone(),
            order_id: payment.order_id.clone(),
            status: payment.status,
            amount: payment.amount,
            captured: payment.captured(),
            cancelled: payment.cancelled(),
            cancels: payment.cancels.clone(),
        }
    }
}

/// Sums over all payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many there are.
    pub payments: u64,
    /// What was captured.
    pub captured: i64,
    /// What was given back of it.
    pub cancelled: i64,
}

impl Totals {
    /// The sums with one payment more.
    pub(super) fn with(self, payment: &Payment) -> Self {
        Self {
            payments: self.payments + 1,
            captured: self.captured + payment.captured(),
            cancelled: self.cancelled + payment.cancelled(),
        }
    }
}

/// The money came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Capture {
    pub(super) transaction_key: String,
    pub(super) at: UnixMillis,
}

/// The account of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) number: String,
    pub(super) due: UnixMillis,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payment {
    /// Its place among all payments.
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) order_id: String,
    pub(super) order_name: String,
    pub(super) amount: i64,
    pub(super) how: How,
    pub(super) status: Status,
    pub(super) requested: UnixMillis,
    pub(super) capture: Option<Capture>,
    pub(super) account: Option<Account>,
    pub(super) failure: Option<String>,
    pub(super) secret: String,
    pub(super) last_transaction: Option<String>,
    pub(super) cancels: Vec<BookedCancel>,
}

impl Payment {
    pub(super) fn captured(&self) -> i64 {
        self.capture.as_ref().map_or(0, |_| self.amount)
    }

    /// What was given back of the captured money.
    pub(super) fn cancelled(&self) -> i64 {
        match self.capture {
            Some(_) => self.sum(|status| status == CancelStatus::Done),
            None => 0,
        }
    }

    /// What can be cancelled yet.
    pub(super) fn balance(&self) -> i64 {
        self.amount - self.sum(|status| status != CancelStatus::Aborted)
    }

    /// The status after a cancel is done, or failed.
    pub(super) fn status_of_cancels(&self) -> Status {
        match self.sum(|status| status == CancelStatus::Done) {
            0 => self.status,
            all if all == self.amount => Status::Canceled,
            _ => Status::PartialCanceled,
        }
    }

    fn sum(&self, counts: impl Fn(CancelStatus) -> bool) -> i64 {
        let cancels = self.cancels.iter().filter(|cancel| counts(cancel.status));
        cancels.map(|cancel| cancel.amount).sum()
    }

    /// The name of the way to pay; there is none before the confirm.
    pub(super) fn method(&self) -> Option<&'static str> {
        match (&self.how, self.status) {
            (_, Status::InProgress) => None,
            (How::Card | How::Declined(_), _) => Some("카드"),
            (How::VirtualAccount, _) => Some("가상계좌"),
        }
    }

    /// The object of the real service, in its version 2022-11-16.
    pub(super) fn json(&self, base: &str, language: Language) -> Value {
        let vat = self.balance() / 11;
        let receipt = || json!({"url": format!("{base}/receipts/{}", self.key)});
        let failure = |code: &String| json!({"code": code, "message": message(code, language)});
        json!({
            "mId": "dapanda",
            "version": "2022-11-16",
            "paymentKey": self.key,
            "type": "NORMAL",
            "orderId": self.order_id,
            "orderName": self.order_name,
            "currency": "KRW",
            "method": self.method(),
            "totalAmount": self.amount,
            "balanceAmount": self.balance(),
            "suppliedAmount": self.balance() - vat,
            "vat": vat,
            "taxFreeAmount": 0,
            "taxExemptionAmount": 0,
            "status": self.status.as_str(),
            "requestedAt": wire_time(self.requested),
            "approvedAt": self.capture.as_ref().map(|capture| wire_time(capture.at)),
            "useEscrow": false,
            "cultureExpense": false,
            "lastTransactionKey": self.last_transaction,
            "card": self.card(),
            "virtualAccount": self.account.as_ref().map(|account| self.account_json(account)),
            "transfer": null,
            "mobilePhone": null,
            "giftCertificate": null,
            "cashReceipt": null,
            "cashReceipts": null,
            "discount": null,
            "easyPay": null,
            "cancels": self.cancels_json(),
            "secret": self.account.as_ref().map(|_| &self.secret),
            "isPartialCancelable": true,
            "country": "KR",
            "failure": self.failure.as_ref().map(failure),
            "receipt": self.capture.as_ref().map(|_| receipt()),
            "checkout": {"url": format!("{base}/v1/payments/{}/checkout", self.key)},
            "metadata": null,
        })
    }

    fn card(&self) -> Option<Value> {
        let captured = self.how == How::Card && self.capture.is_some();
        captured.then(|| {
            json!({
                "amount": self.amount,
                "issuerCode": "61",
                "acquirerCode": "31",
                "number": "12345678****789*",
                "installmentPlanMonths": 0,
                "approveNo": "00000000",
                "useCardPoint": false,
                "cardType": "신용",
                "ownerType": "개인",
                "acquireStatus": "READY",
                "isInterestFree": false,
                "interestPayer": null,
            })
        })
    }

    fn account_json(&self, account: &Account) -> Value {
        let settled = match self.capture {
            Some(_) => "COMPLETED",
            None => "INCOMPLETED",
        };
        let refunded = match self.cancelled() {
            0 => "NONE",
            _ => "COMPLETED",
        };
        json!({
            "accountNumber": account.number,
            "accountType": "일반",
            "bankCode": "20",
            "customerName": "연습용",
            "depositorName": null,
            "dueDate": wire_time(account.due),
            "expired": self.status == Status::Expired,
            "settlementStatus": settled,
            "refundStatus": refunded,
            "refundReceiveAccount": null,
        })
    }

    /// `null` instead of an empty list.
    fn cancels_json(&self) -> Option<Vec<Value>> {
        let mut left = self.amount;
        let cancels = self.cancels.iter().map(|cancel| {
            if cancel.status != CancelStatus::Aborted {
                left -= cancel.amount;
            }
            json!({
                "transactionKey": cancel.transaction_key,
                "cancelAmount": cancel.amount,
                "cancelReason": cancel.reason,
                "canceledAt": wire_time(cancel.at),
                "cancelStatus": cancel.status.as_str(),
                "refundableAmount": left,
                "taxFreeAmount": 0,
                "taxExemptionAmount": 0,
                "easyPayDiscountAmount": 0,
                "receiptKey": null,
                "cancelRequestId": null,
            })
        });
        let cancels: Vec<_> = cancels.collect();
        (!cancels.is_empty()).then_some(cancels)
    }
}

/// A change of a payment, with the payment as of then.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) payment: Payment,
    pub(super) kind: ChangeKind,
}

/// What its webhooks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    /// None.
    Quiet,
    /// Of the status.
    Status,
    /// Of the status, and of the deposit.
    Deposit,
}

impl ChangeKind {
    /// That of money that comes or goes.
    pub(super) fn of_money(payment: &Payment) -> Self {
        match payment.account {
            Some(_) => Self::Deposit,
            None => Self::Status,
        }
    }
}

/// Korean time in whole seconds, with its offset.
pub(super) fn wire_time(moment: UnixMillis) -> String {
    let local = LocalDateTime::from_unix(moment).to_string();
    let seconds = local.split('.').next().unwrap_or_default();
    format!("{seconds}+09:00")
}
