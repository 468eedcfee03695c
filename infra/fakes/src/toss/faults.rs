//! What goes wrong with calls and webhooks: by a script for one order, or by a plan with a seed for all.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::chance::{choose, draw};

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A payment is confirmed.
    Confirm,
    /// A payment is cancelled.
    Cancel,
    /// A payment is queried, by its key or its order.
    Get,
    /// The list of transactions.
    Transactions,
}

impl Call {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Get => "get",
            Self::Transactions => "transactions",
        }
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is processed after this time.
    Delay(Duration),
    /// The connection closes; nothing was processed.
    LostBefore,
    /// The call is processed, then the connection closes.
    LostAfter,
    /// 500; nothing was processed, and the idempotency key is free.
    ServerError,
    /// 500 though the call is processed; the key replays the 500.
    ServerErrorAfter,
    /// 429; nothing was processed, and the idempotency key is free.
    TooManyRequests,
    /// The call is processed; the answer's JSON is cut short.
    Malformed,
    /// Refused for certain with this code, which the key replays. A payment that was to be confirmed is aborted.
    Refused(&'static str),
    /// A cancel is accepted with the status `IN_PROGRESS`; other calls have no fault.
    CancelPending,
}

/// How often calls go wrong, each per mille of the calls of one kind; together at most 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::Delay`], between nothing and the plan's longest.
    pub delay: u16,
    /// [`Fault::LostBefore`].
    pub lost_before: u16,
    /// [`Fault::LostAfter`].
    pub lost_after: u16,
    /// [`Fault::ServerError`].
    pub server_error: u16,
    /// [`Fault::ServerErrorAfter`].
    pub server_error_after: u16,
    /// [`Fault::TooManyRequests`].
    pub too_many_requests: u16,
    /// [`Fault::Malformed`].
    pub malformed: u16,
    /// [`Fault::Refused`], of confirms and cancels.
    pub refused: u16,
    /// [`Fault::CancelPending`], of cancels.
    pub cancel_pending: u16,
}

/// How often webhooks go wrong, each per mille; together at most 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookRates {
    /// It is never sent.
    pub lost: u16,
    /// It is sent twice.
    pub duplicated: u16,
    /// Later ones overtake it.
    pub reordered: u16,
    /// It has a wrong status or a wrong amount.
    pub contradictory: u16,
}

/// Faults of all calls, the same ones for the same seed: a fault depends on the seed, the kind of the call, the
/// order and how many such calls there were for it. The default has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The seed.
    pub seed: u64,
    /// Of confirms.
    pub confirm: Rates,
    /// Of cancels.
    pub cancel: Rates,
    /// Of queries, by key or by order, and of the list of transactions.
    pub get: Rates,
    /// Of webhooks.
    pub webhooks: WebhookRates,
    /// The longest delay, in real time.
    pub delay_max: Duration,
}

/// What goes wrong with a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WebhookFault {
    Lost,
    Duplicated,
    Reordered,
    /// The number says what is wrong in it.
    Contradictory(u64),
}

impl FaultPlan {
    fn fault(&self, call: Call, order_id: &str, count: u64) -> Option<Fault> {
        let rates = match call {
            Call::Confirm => &self.confirm,
            Call::Cancel => &self.cancel,
            Call::Get | Call::Transactions => &self.get,
        };
        let number = draw(self.seed, &[call.as_str(), order_id], count);
        let longest = u64::try_from(self.delay_max.as_millis()).unwrap_or(u64::MAX);
        let refused = match call {
            Call::Confirm => Some((rates.refused, Fault::Refused("REJECT_CARD_PAYMENT"))),
            Call::Cancel => Some((rates.refused, Fault::Refused("NOT_CANCELABLE_PAYMENT"))),
            Call::Get | Call::Transactions => None,
        };
        // Another part of the number than the one that chooses.
        let delay = (number >> 32) % longest.saturating_add(1).max(1);
        choose(
            number,
            &[
                (rates.delay, Fault::Delay(Duration::from_millis(delay))),
                (rates.lost_before, Fault::LostBefore),
                (rates.lost_after, Fault::LostAfter),
                (rates.server_error, Fault::ServerError),
                (rates.server_error_after, Fault::ServerErrorAfter),
                (rates.too_many_requests, Fault::TooManyRequests),
                (rates.malformed, Fault::Malformed),
                (rates.cancel_pending, Fault::CancelPending),
                refused.unwrap_or((0, Fault::Malformed)),
            ],
        )
    }

    /// The fault of the webhook with these names, of which a payment has one for each number of cancels.
    pub(super) fn webhook_fault(&self, names: &[&str], cancels: usize) -> Option<WebhookFault> {
        let rates = &self.webhooks;
        let count = u64::try_from(cancels).unwrap_or(u64::MAX);
        let number = draw(self.seed, names, count);
        let shares = [
            (rates.lost, WebhookFault::Lost),
            (rates.duplicated, WebhookFault::Duplicated),
            (rates.reordered, WebhookFault::Reordered),
            (
                rates.contradictory,
                WebhookFault::Contradictory(number >> 32),
            ),
        ];
        choose(number, &shares)
    }
}

/// The plan, and the scripts of single orders, which come first. A test writes the scripts, as many as it needs.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) plan: FaultPlan,
    scripts: HashMap<(Call, String), VecDeque<Fault>>,
}

impl Faults {
    pub(super) fn script(&mut self, call: Call, order_id: &str, faults: &[Fault]) {
        let script = self.scripts.entry((call, order_id.to_owned())).or_default();
        script.extend(faults);
    }

    pub(super) fn take(&mut self, call: Call, order_id: &str, count: u64) -> Option<Fault> {
        let place = (call, order_id.to_owned());
        let scripted = self.scripts.get_mut(&place).and_then(VecDeque::pop_front);
        scripted.or_else(|| self.plan.fault(call, order_id, count))
    }
}
