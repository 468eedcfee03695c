//! The gateway's JSON, read into the seam's types.
//!
//! Strict about money: an amount, a currency, a key or the time of a capture that cannot be read makes the whole
//! answer unreadable. Lenient about the rest: unknown fields and what is only shown are left out.

use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use shared::clock::{LocalDateTime, UnixMillis};
use shared::money::Won;

use crate::gateway::{
    Cancel, CancelStatus, GatewayCode, OrderId, Payment, PaymentKey, PaymentStatus, Transaction,
};

/// The currency of the books.
const CURRENCY: &str = "KRW";

/// Bound of an amount; that of the tables.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// Bound of a transaction's key. Documented: 64.
const TRANSACTION_KEY_CHARS_MAX: usize = 200;

/// Bound of the name of a method, in characters.
const METHOD_CHARS_MAX: usize = 64;

/// Bound of the URL of a receipt.
const URL_CHARS_MAX: usize = 2_048;

/// Why an answer cannot be read. No part of it is shown: it has the customer's name and card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answer has {0}")]
pub(super) struct Unreadable(&'static str);

/// An error. The message is in the customer's language, and not needed.
#[derive(Deserialize)]
struct ErrorShape {
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentShape {
    payment_key: PaymentKey,
    order_id: OrderId,
    status: String,
    total_amount: i64,
    currency: String,
    approved_at: Option<String>,
    #[serde(default)]
    cancels: Option<Vec<CancelShape>>,
    #[serde(default)]
    method: Value,
    #[serde(default)]
    virtual_account: Value,
    #[serde(default)]
    receipt: Value,
    #[serde(default)]
    failure: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelShape {
    transaction_key: String,
    cancel_amount: i64,
    #[serde(default)]
    cancel_reason: Value,
    #[serde(default)]
    cancel_status: Value,
    #[serde(default)]
    canceled_at: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransactionShape {
    transaction_key: String,
    payment_key: PaymentKey,
    order_id: OrderId,
    status: String,
    currency: String,
    amount: i64,
    transaction_at: String,
}

/// The code of an error's body, if it is one.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let error: ErrorShape = serde_json::from_slice(body).ok()?;
    Some(error.code)
}

/// The payment in this body.
pub(super) fn payment(body: &[u8]) -> Result<Payment, Unreadable> {
    let shape: PaymentShape =
        serde_json::from_slice(body).map_err(|_detail| Unreadable("no payment"))?;
    check_currency(&shape.currency)?;
    let approved_at = shape.approved_at.as_deref().map(moment).transpose()?;
    let mut status = status(&shape.status);
    let mut cancels = Vec::new();
    for cancel in shape.cancels.unwrap_or_default() {
        cancels.push(cancel.read()?);
    }
    // A virtual account that was cancelled before the deposit: nothing was taken, so nothing was given back.
    let is_over = matches!(
        status,
        PaymentStatus::Canceled | PaymentStatus::PartialCanceled
    );
    if is_over && approved_at.is_none() {
        status = PaymentStatus::Expired;
        cancels.clear();
    }
    let due_at = text_in(&shape.virtual_account, "dueDate").and_then(|text| moment(text).ok());
    let failure = text_in(&shape.failure, "code").map(GatewayCode::of);
    Ok(Payment {
        key: shape.payment_key,
        order: shape.order_id,
        status,
        total: amount(shape.total_amount, 0)?,
        method: shape.method.as_str().and_then(name),
        approved_at,
        due_at,
        receipt_url: text_in(&shape.receipt, "url").and_then(page),
        failure: failure.map(|code| code.as_str().to_owned()),
        cancels,
    })
}

/// The captures and cancels in this body, and the key of its last row, whatever that is.
pub(super) fn transactions(body: &[u8]) -> Result<Listed, Unreadable> {
    let rows: Vec<TransactionShape> =
        serde_json::from_slice(body).map_err(|_detail| Unreadable("no list of transactions"))?;
    let count = rows.len();
    let last = rows.last().map(|row| row.transaction_key.clone());
    let last = last.map(transaction_key).transpose()?;
    let mut transactions = Vec::new();
    for row in rows {
        // The rest moved no money: virtual accounts before their deposit, failures.
        if status(&row.status).is_captured() {
            transactions.push(row.read()?);
        }
    }
    Ok(Listed {
        transactions,
        count,
        last,
    })
}

/// A page of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) transactions: Vec<Transaction>,
    /// Rows, with those that moved no money.
    pub(super) count: usize,
    pub(super) last: Option<String>,
}

impl CancelShape {
    fn read(self) -> Result<Cancel, Unreadable> {
        Ok(Cancel {
            transaction_key: transaction_key(self.transaction_key)?,
            amount: amount(self.cancel_amount, 1)?,
            reason: self.cancel_reason.as_str().unwrap_or_default().to_owned(),
            status: match self.cancel_status.as_str() {
                Some("DONE") => CancelStatus::Done,
                Some("ABORTED") => CancelStatus::Aborted,
                _ => CancelStatus::InProgress,
            },
            canceled_at: self.canceled_at.as_str().and_then(|text| moment(text).ok()),
        })
    }
}

impl TransactionShape {
    fn read(self) -> Result<Transaction, Unreadable> {
        check_currency(&self.currency)?;
        Ok(Transaction {
            key: transaction_key(self.transaction_key)?,
            payment_key: self.payment_key,
            order: self.order_id,
            status: status(&self.status),
            // Whether a cancel's amount is negative is not documented; the status says what the row is.
            amount: amount(self.amount.saturating_abs(), 1)?,
            at: moment(&self.transaction_at)?,
        })
    }
}

fn status(text: &str) -> PaymentStatus {
    match text {
        "READY" => PaymentStatus::Ready,
        "IN_PROGRESS" => PaymentStatus::InProgress,
        "WAITING_FOR_DEPOSIT" => PaymentStatus::WaitingForDeposit,
        "DONE" => PaymentStatus::Done,
        "CANCELED" => PaymentStatus::Canceled,
        "PARTIAL_CANCELED" => PaymentStatus::PartialCanceled,
        "ABORTED" => PaymentStatus::Aborted,
        "EXPIRED" => PaymentStatus::Expired,
        _ => PaymentStatus::Other,
    }
}

fn check_currency(text: &str) -> Result<(), Unreadable> {
    let is_won = text == CURRENCY;
    is_won.then_some(()).ok_or(Unreadable("another currency"))
}

fn amount(won: i64, least: i64) -> Result<Won, Unreadable> {
    let is_good = (least..=AMOUNT_MAX).contains(&won);
    let won = is_good.then_some(Won::new(won));
    won.ok_or(Unreadable("an impossible amount"))
}

fn transaction_key(text: String) -> Result<String, Unreadable> {
    let is_key = (1..=TRANSACTION_KEY_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_key
        .then_some(text)
        .ok_or(Unreadable("no key of a transaction"))
}

/// A time with an offset (RFC 3339); without one, Korean local time.
fn moment(text: &str) -> Result<UnixMillis, Unreadable> {
    let millis = match text.parse::<Timestamp>() {
        Ok(time) => UnixMillis::try_from(time.as_millisecond()).ok(),
        Err(_) => text.parse().ok().map(LocalDateTime::to_unix),
    };
    millis.ok_or(Unreadable("a time of another form"))
}

fn text_in<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str()
}

fn name(text: &str) -> Option<String> {
    let shown: String = text.chars().take(METHOD_CHARS_MAX).collect();
    let is_name = !shown.is_empty() && !shown.chars().any(char::is_control);
    is_name.then_some(shown)
}

/// A page that a browser may be sent to: one that no script runs from.
fn page(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_page = matches!(url.scheme(), "https" | "http") && text.len() <= URL_CHARS_MAX;
    is_page.then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn done() -> Value {
        json!({
            "paymentKey": "key-1", "orderId": "order-1", "status": "DONE", "totalAmount": 1_000, "currency": "KRW",
            "approvedAt": "2026-11-15T12:00:00+09:00", "method": "카드", "cancels": null, "virtualAccount": null,
            "failure": null, "receipt": {"url": "https://pay.example/r/1"},
        })
    }

    fn with(field: &str, value: Value) -> Result<Payment, Unreadable> {
        let mut body = done();
        body[field] = value;
        payment(body.to_string().as_bytes())
    }

    fn without(field: &str) -> Result<Payment, Unreadable> {
        let mut body = done();
        body.as_object_mut().unwrap().remove(field);
        payment(body.to_string().as_bytes())
    }

    #[test]
    fn what_is_about_money_has_to_be_readable() {
        for field in ["paymentKey", "orderId", "status", "totalAmount", "currency"] {
            assert!(without(field).is_err(), "{field}");
            for value in [json!(null), json!([]), json!({}), json!("")] {
                // An unknown status is one of the gateway's future.
                if (field, &value) != ("status", &json!("")) {
                    assert!(with(field, value.clone()).is_err(), "{field} {value}");
                }
            }
        }
        for amount in [
            json!(-1),
            json!(0.5),
            json!("1000"),
            json!(1e300),
            json!(AMOUNT_MAX + 1),
            json!(u64::MAX),
        ] {
            assert!(with("totalAmount", amount.clone()).is_err(), "{amount}");
            let cancel =
                json!([{"transactionKey": "t", "cancelAmount": amount, "cancelStatus": "DONE"}]);
            assert!(with("cancels", cancel).is_err(), "{amount}");
        }
        for time in ["", "yesterday", "2026-11-15", "2026-13-01T00:00:00+09:00"] {
            assert!(with("approvedAt", json!(time)).is_err(), "{time}");
        }
        for currency in ["USD", "krw", ""] {
            assert!(with("currency", json!(currency)).is_err(), "{currency}");
        }
        let twice = done().to_string().replacen('{', r#"{"totalAmount":1,"#, 1);
        assert!(payment(twice.as_bytes()).is_err());
    }

    #[test]
    fn what_is_only_shown_may_be_anything() {
        for field in ["method", "virtualAccount", "receipt", "failure", "future"] {
            assert!(without(field).is_ok() || field == "future", "{field}");
            for value in [
                json!(null),
                json!(7),
                json!([1]),
                json!({"url": 1, "code": []}),
            ] {
                assert!(with(field, value.clone()).is_ok(), "{field} {value}");
            }
        }
        let receipt = with("receipt", json!({"url": "javascript:alert(1)"}));
        assert_eq!(receipt.unwrap().receipt_url, None);
        let failure = with("failure", json!({"code": "x\ny"})).unwrap();
        assert_eq!(failure.failure.as_deref(), Some("OTHER"));
    }

    #[test]
    fn times_have_an_offset_or_are_korean() {
        let noon = UnixMillis::try_from(1_794_711_600_000).unwrap();
        for text in [
            "2026-11-15T12:00:00+09:00",
            "2026-11-15T03:00:00Z",
            "2026-11-15T12:00:00.000+09:00",
            "2026-11-15T12:00:00",
        ] {
            assert_eq!(moment(text), Ok(noon), "{text}");
        }
    }

    #[test]
    fn cancelled_before_the_deposit_was_never_captured() {
        let mut body = done();
        body["status"] = json!("CANCELED");
        body["approvedAt"] = json!(null);
        body["cancels"] =
            json!([{"transactionKey": "t", "cancelAmount": 1_000, "cancelStatus": "DONE"}]);
        let found = payment(body.to_string().as_bytes()).unwrap();
        assert!(!found.status.is_captured(), "{found:?}");
        assert!(found.cancels.is_empty());
        body["approvedAt"] = json!("2026-11-15T12:00:00+09:00");
        let found = payment(body.to_string().as_bytes()).unwrap();
        assert_eq!(found.status, PaymentStatus::Canceled);
        assert_eq!(found.cancels.len(), 1);
    }

    #[test]
    fn cancel_without_a_status_is_not_done() {
        use CancelStatus::{Aborted, Done, InProgress};

        let cancels = json!([
            {"transactionKey": "t1", "cancelAmount": 1},
            {"transactionKey": "t2", "cancelAmount": 1, "cancelStatus": "IN_PROGRESS"},
            {"transactionKey": "t3", "cancelAmount": 1, "cancelStatus": "DONE"},
            {"transactionKey": "t4", "cancelAmount": 1, "cancelStatus": "ABORTED"},
            {"transactionKey": "t5", "cancelAmount": 1, "cancelStatus": "LATER"},
        ]);
        let found = with("cancels", cancels).unwrap();
        let found: Vec<_> = found.cancels.iter().map(|cancel| cancel.status).collect();
        assert_eq!(found, [InProgress, InProgress, Done, Aborted, InProgress]);
    }

    #[test]
    fn a_payment_is_no_error() {
        assert_eq!(error_code(done().to_string().as_bytes()), None);
        assert_eq!(error_code(b""), None);
        let error = error_code(br#"{"code":"X_1","message":"m","data":null}"#);
        assert_eq!(error.as_deref(), Some("X_1"));
    }
}
