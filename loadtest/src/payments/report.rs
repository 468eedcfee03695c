//! Output of a run: progress, figures, violations.

use std::collections::BTreeMap;
use std::time::Instant;

use super::PaymentsError;
use super::records::{Answer, Records, RefundAnswer, Violation};
use crate::fault::FaultError;
use crate::fault::report::print;
use crate::market::client::since;

/// Violations of a kind that are written out; all are counted.
const EXAMPLES_MAX: usize = 3;

/// A line with the time since the start.
pub(crate) fn print_progress(begun: Instant, what: &str) -> Result<(), FaultError> {
    print(&format!("{:>7.1} s  {what}", since(begun).as_secs_f64()))
}

/// What a run did.
pub(crate) fn print_records(records: &Records) -> Result<(), FaultError> {
    let mut answers = BTreeMap::<&str, usize>::new();
    let charges = records
        .orders
        .values()
        .flat_map(|order| &order.answers)
        .map(label);
    let refunds = records.requests.iter().flat_map(|request| &request.answers);
    for label in charges.chain(refunds.map(refund_label)) {
        *answers.entry(label).or_default() += 1;
    }
    print(&format!("answers: {answers:?}"))?;
    print(&format!("charges: {:?}", records.books.states()))?;
    if !records.books.legs.is_empty() {
        print(&format!(
            "legs of refunds: {:?}",
            records.books.leg_states()
        ))?;
    }
    let captured: i64 = records.gateway.iter().map(|one| one.captured).sum();
    let cancelled: i64 = records.gateway.iter().map(|one| one.cancelled).sum();
    print(&format!(
        "gateway: {} payments, captured {captured} won, cancelled {cancelled} won; {} queries; {} webhooks arrived; \
         payouts: {}",
        records.gateway.len(),
        records.queries.len(),
        records.webhooks.len(),
        records.payouts.len(),
    ))
}

/// The verdict.
///
/// # Errors
/// A promise was broken.
pub(crate) fn print_verdict(violations: &[Violation]) -> Result<(), PaymentsError> {
    if violations.is_empty() {
        let line = "the market's books equal the gateway's to the won; nothing twice, nothing lost";
        return Ok(print(line)?);
    }
    let mut kinds = BTreeMap::<&str, usize>::new();
    for violation in violations {
        let count = kinds.entry(violation.kind).or_default();
        *count += 1;
        if *count <= EXAMPLES_MAX {
            print(&format!("    {}: {}", violation.kind, violation.what))?;
        }
    }
    print(&format!("BROKEN: {kinds:?}"))?;
    Err(PaymentsError::Broken(violations.len()))
}

const fn label(answer: &Answer) -> &'static str {
    match answer {
        Answer::Captured(_) => "captured",
        Answer::Declined => "declined",
        Answer::BeingVerified => "being verified",
        Answer::Mismatch => "mismatch",
        Answer::None => "none",
        Answer::Odd(_) => "odd",
    }
}

const fn refund_label(answer: &RefundAnswer) -> &'static str {
    match answer {
        RefundAnswer::Accepted(..) => "refund accepted",
        RefundAnswer::Refused => "refund refused",
        RefundAnswer::None => "refund: none",
        RefundAnswer::Odd(_) => "refund: odd",
    }
}
