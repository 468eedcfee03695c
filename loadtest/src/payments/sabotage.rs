//! Sabotage: alters one record before judging, to test that the judge finds it.

use clap::ValueEnum;

use super::judge::judge;
use super::records::{Answer, Arrival, Order, Records, RefundAnswer, Rigour};
use crate::fault::FaultError;

/// What is altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// A charge is credited twice
    Twice,
    /// A credit is a won too high
    Won,
    /// A credit is missing
    Missing,
    /// A captured charge is unknown again
    Unknown,
    /// A client was answered that a charge is captured, which is not
    Captured,
    /// A client was answered that a charge is declined, which is captured
    Declined,
    /// The gateway has captured two payments of an order
    Capture,
    /// An event to the chat server is missing
    Event,
    /// A charge was queried twice at the same time
    Query,
    /// Somebody cancels a won at the gateway
    Cancel,
    /// A member's wallet has a won more
    Wallet,
    /// A refund's part was given back twice
    Leg,
    /// A payout was paid that the market has as refused
    Payout,
    /// An accepted refund is not in the books
    Refund,
}

impl Sabotage {
    /// Whether it needs refunds.
    const fn is_of_refunds(self) -> bool {
        matches!(self, Self::Leg | Self::Payout | Self::Refund)
    }
}

const NOTHING: FaultError = FaultError::Unfit("there is nothing to spoil");

/// Alters one record.
pub(crate) fn spoil(sabotage: Sabotage, records: &mut Records) -> Result<(), FaultError> {
    if sabotage.is_of_refunds() {
        return spoil_refund(sabotage, records);
    }
    let captured = |state: &str| state == "CAPTURED";
    let books = &mut records.books;
    let charge = books
        .charges
        .iter_mut()
        .find(|(_, one)| captured(&one.state));
    let (order, charge) = charge.ok_or(NOTHING)?;
    let credits = books.credits.get_mut(&charge.id).ok_or(NOTHING)?;
    let client = records.orders.get_mut(order).ok_or(NOTHING)?;
    let mut payments = records.gateway.iter_mut();
    let payment = payments.find(|one| one.order_id == *order && one.captured > 0);
    let payment = payment.ok_or(NOTHING)?;
    match sabotage {
        Sabotage::Twice => credits.push(charge.amount),
        Sabotage::Won => credits[0] += 1,
        Sabotage::Missing => credits.clear(),
        Sabotage::Unknown => {
            "UNKNOWN".clone_into(&mut charge.state);
            charge.is_due = true;
        }
        Sabotage::Captured => {
            let other = Order {
                amount: 1_000,
                answers: vec![Answer::Captured(1_000)],
                ..Order::default()
            };
            records.orders.insert("order-unknown".to_owned(), other);
        }
        Sabotage::Declined => {
            client.is_late = false;
            client.answers.push(Answer::Declined);
            payment.cancelled = 0;
        }
        Sabotage::Capture => {
            let mut again = payment.clone();
            again.payment_key.push('2');
            records.gateway.push(again);
        }
        Sabotage::Event => {
            let trade = charge.trade.ok_or(NOTHING)?;
            books.events.remove(&trade);
        }
        Sabotage::Query => {
            let (order, at) = (order.clone(), i64::MAX / 2);
            let twice = [at, at].map(|at| Arrival {
                order: order.clone(),
                at,
            });
            records.queries.extend(twice);
        }
        Sabotage::Cancel => {
            client.changed_at = None;
            payment.cancelled += 1;
        }
        Sabotage::Wallet => books.wallets += 1,
        Sabotage::Leg | Sabotage::Payout | Sabotage::Refund => {}
    }
    Ok(())
}

fn spoil_refund(sabotage: Sabotage, records: &mut Records) -> Result<(), FaultError> {
    match sabotage {
        Sabotage::Leg => {
            let mut payments = records.gateway.iter_mut();
            let payment = payments.find_map(|one| {
                let leg = one.cancels.iter().find(|cancel| {
                    let is_done = cancel.status == fakes::toss::CancelStatus::Done;
                    is_done && cancel.reason.starts_with("refund-")
                });
                leg.cloned().map(|leg| (one, leg))
            });
            let (payment, mut leg) = payment.ok_or(NOTHING)?;
            leg.transaction_key.push('2');
            payment.cancelled += leg.amount;
            payment.cancels.push(leg);
        }
        Sabotage::Payout => {
            let mut legs = records.books.legs.iter_mut();
            let leg = legs.find(|one| one.kind == "PAYOUT" && one.state == "DONE");
            "REFUSED".clone_into(&mut leg.ok_or(NOTHING)?.state);
        }
        Sabotage::Refund
        | Sabotage::Twice
        | Sabotage::Won
        | Sabotage::Missing
        | Sabotage::Unknown
        | Sabotage::Captured
        | Sabotage::Declined
        | Sabotage::Capture
        | Sabotage::Event
        | Sabotage::Query
        | Sabotage::Cancel
        | Sabotage::Wallet => {
            let mut requests = records.requests.iter();
            let accepted = requests.find(|one| {
                let is_accepted =
                    |answer: &RefundAnswer| matches!(answer, RefundAnswer::Accepted(..));
                one.answers.iter().any(is_accepted)
            });
            let mut lost = accepted.ok_or(NOTHING)?.clone();
            lost.request.push_str("-lost");
            records.requests.push(lost);
        }
    }
    Ok(())
}

/// What a judge of these records passes over although it was altered. The records are those of a run that broke no
/// promise.
pub(crate) fn passed_over(records: &Records, rigour: Rigour) -> Result<Vec<Sabotage>, FaultError> {
    let mut passed = Vec::new();
    for sabotage in Sabotage::value_variants() {
        if sabotage.is_of_refunds() && records.requests.is_empty() {
            continue;
        }
        let mut records = records.clone();
        match spoil(*sabotage, &mut records) {
            // A short run may have no payout that was paid.
            Err(_nothing) if sabotage.is_of_refunds() => continue,
            spoilt => spoilt?,
        }
        if judge(&records, rigour).is_empty() {
            passed.push(*sabotage);
        }
    }
    Ok(passed)
}
