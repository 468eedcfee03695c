//! Whether a cancel may be done.

use std::time::Duration;

use shared::clock::UnixMillis;

use super::codes::Code;
use super::payment::{BookedCancel, CancelStatus, Payment, Status};

/// Of two cancels of one payment within this time only the first is done.
const CANCEL_PAUSE: Duration = Duration::from_secs(1);

/// A cancel, as it is requested.
#[derive(Debug)]
pub(super) struct Cancel<'a> {
    /// All that is left without it.
    pub(super) amount: Option<i64>,
    pub(super) reason: &'a str,
    pub(super) has_account: bool,
    pub(super) by_dashboard: bool,
    /// Whether it is done at once.
    pub(super) status: CancelStatus,
}

/// What a cancel would give back.
pub(super) fn check_cancel(
    payment: &Payment,
    cancel: &Cancel<'_>,
    now: UnixMillis,
) -> Result<i64, Code> {
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
