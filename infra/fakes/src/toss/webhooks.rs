//! Webhooks: which ones wait, and their bodies.
//!
//! One that is not answered with 200 is sent again, seven times. The ones that wait end with the process.

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::{LocalDateTime, UnixMillis};

use super::codes::Language;
use super::faults::{FaultPlan, WebhookFault};
use super::payment::{Change, ChangeKind, Payment, Status};

/// Pauses before the seven further attempts, in minutes.
const RETRY_MINUTES: [u64; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];

/// Webhooks that wait at most; further ones are lost.
const WAITING_MAX: usize = 65_536;

/// A webhook that waits.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    number: u64,
    pub(super) body: String,
    due: UnixMillis,
    /// Attempts so far.
    attempts: usize,
    /// Later ones overtake it.
    is_late: bool,
}

/// The webhooks that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Vec<Delivery>,
    numbers: u64,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds the webhooks of a change.
    pub(super) fn add(&mut self, change: &Change, plan: &FaultPlan, base: &str, now: UnixMillis) {
        let payment = &change.payment;
        match change.kind {
            ChangeKind::Quiet => {}
            ChangeKind::Status => self.put(payment, plan, status_body(payment, base, now), now),
            ChangeKind::Deposit => {
                self.put(payment, plan, deposit_body(payment, now), now);
                self.put(payment, plan, status_body(payment, base, now), now);
            }
        }
    }

    fn put(&mut self, payment: &Payment, plan: &FaultPlan, mut body: Value, now: UnixMillis) {
        self.numbers += 1;
        let kind = body["eventType"].as_str().unwrap_or("DEPOSIT_CALLBACK");
        let names = [kind, &payment.order_id, payment.status.as_str()];
        let fault = plan.webhook_fault(&names, payment.cancels.len());
        let copies = match fault {
            Some(WebhookFault::Lost) => return,
            Some(WebhookFault::Duplicated) => 2,
            Some(WebhookFault::Contradictory(how)) => {
                contradict(&mut body, how);
                1
            }
            Some(WebhookFault::Reordered) | None => 1,
        };
        let delivery = Delivery {
            number: self.numbers,
            body: body.to_string(),
            due: now,
            attempts: 0,
            is_late: fault == Some(WebhookFault::Reordered),
        };
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        let copies = std::iter::repeat_n(delivery, copies.min(room));
        self.waiting.extend(copies);
    }

    /// Takes out what is due, in the order to send it.
    pub(super) fn take_due(&mut self, now: UnixMillis) -> Vec<Delivery> {
        let waiting = std::mem::take(&mut self.waiting);
        let (mut due, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|one| one.due <= now);
        self.waiting = later;
        due.sort_by_key(|one| (one.is_late, one.number));
        let late = due.partition_point(|one| !one.is_late);
        due[late..].reverse();
        due
    }

    /// Puts one back that was not accepted; after the last attempt it is lost.
    pub(super) fn retry(&mut self, mut delivery: Delivery, now: UnixMillis) {
        if let Some(minutes) = RETRY_MINUTES.get(delivery.attempts) {
            delivery.attempts += 1;
            delivery.due = now.saturating_add(Duration::from_secs(minutes * 60));
            self.waiting.push(delivery);
        }
    }
}

fn status_body(payment: &Payment, base: &str, now: UnixMillis) -> Value {
    json!({
        "eventType": "PAYMENT_STATUS_CHANGED",
        "createdAt": created_at(now),
        "data": payment.json(base, Language::Korean),
    })
}

/// Unlike the other kind it has neither a type nor an inner object.
fn deposit_body(payment: &Payment, now: UnixMillis) -> Value {
    json!({
        "createdAt": created_at(now),
        "secret": payment.secret,
        "status": payment.status.as_str(),
        "transactionKey": payment.last_transaction,
        "orderId": payment.order_id,
    })
}

/// Makes the body wrong: another status, or ten times the amount.
fn contradict(body: &mut Value, how: u64) {
    let is_flat = body["data"].is_null();
    let data = match is_flat {
        true => body,
        false => &mut body["data"],
    };
    if is_flat || how.is_multiple_of(2) {
        let wrong = match data["status"] == Status::Done.as_str() {
            true => Status::Aborted,
            false => Status::Done,
        };
        data["status"] = json!(wrong.as_str());
    } else {
        let amount = data["totalAmount"].as_i64().unwrap_or_default();
        data["totalAmount"] = json!(amount.saturating_mul(10));
        data["balanceAmount"] = json!(amount.saturating_mul(10));
    }
}

/// Korean time without an offset, in microseconds.
fn created_at(now: UnixMillis) -> String {
    format!("{}000", LocalDateTime::from_unix(now))
}
