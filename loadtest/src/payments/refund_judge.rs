//! The judge's part about refunds: each leg against the book of the gateway or of the payout provider.

use std::collections::{BTreeMap, BTreeSet};

use fakes::payout::{BookedPayout, PayoutStatus};
use fakes::toss::{BookedCancel, CancelStatus};

use super::books::LegRow;
use super::records::{Found, Records, RefundAnswer, Rigour, is_paid};

/// A payout is void after ten minutes, and never accepted if the provider does not have it 25 minutes later.
const PAYOUT_LOST_MS: i64 = 35 * 60_000;

/// A cancel that was lost is sent again at the first query after 60 seconds: 5, 35 and 95 seconds after it was sent.
const RESENT_MS: i64 = 120_000;

/// The start of a leg's name.
const LEG: &str = "refund-";

pub(crate) fn judge_refunds(records: &Records, rigour: Rigour, found: &mut Found) {
    let mut cancels = BTreeMap::<&str, Vec<&BookedCancel>>::new();
    for cancel in records.gateway.iter().flat_map(|payment| &payment.cancels) {
        if cancel.reason.starts_with(LEG) {
            cancels.entry(&cancel.reason).or_default().push(cancel);
        }
    }
    let mut payouts = BTreeMap::<&str, Vec<&BookedPayout>>::new();
    for payout in &records.payouts {
        payouts.entry(&payout.reference).or_default().push(payout);
    }
    let mut sums = BTreeMap::<i64, (i64, i64)>::new();
    for leg in &records.books.legs {
        let name = leg.name();
        let (done, open) = sums.entry(leg.refund).or_default();
        match leg.state.as_str() {
            "DONE" => *done += leg.amount,
            "REFUSED" => {}
            _ => *open += leg.amount,
        }
        if leg.kind == "CANCEL" {
            let cancels = cancels.remove(name.as_str()).unwrap_or_default();
            let is_soon = rigour == Rigour::Soon && records.now < leg.sent_at + RESENT_MS;
            judge_cancel(leg, &cancels, is_soon, found);
        } else {
            let payouts = payouts.remove(name.as_str()).unwrap_or_default();
            judge_payout(leg, &payouts, records.now, found);
        }
    }
    for (name, cancels) in cancels {
        found.add("stray_cancel", format!("{name}: no leg, {cancels:?}"));
    }
    for (name, payouts) in payouts {
        found.add("stray_payout", format!("{name}: no leg, {payouts:?}"));
    }
    judge_totals(records, &sums, found);
    judge_requests(records, found);
}

fn judge_cancel(leg: &LegRow, cancels: &[&BookedCancel], is_soon: bool, found: &mut Found) {
    let name = leg.name();
    let of = |status| cancels.iter().filter(move |one| one.status == status);
    let done = of(CancelStatus::Done).count();
    found.check(done <= 1, "given_back_twice", || {
        format!("{name}: {cancels:?}")
    });
    let sum: i64 = of(CancelStatus::Done).map(|one| one.amount).sum();
    let agrees = match leg.state.as_str() {
        "DONE" => sum == leg.amount,
        "REFUSED" => sum == 0,
        _ => true,
    };
    found.check(agrees, "leg", || {
        format!("{leg:?}, at the gateway {cancels:?}")
    });
    let is_open = ["READY", "UNKNOWN"].contains(&leg.state.as_str());
    let is_pending = of(CancelStatus::InProgress).count() > 0 && done == 0;
    let is_lost = is_soon && cancels.is_empty();
    found.check(!is_open || is_pending || is_lost, "leg_open", || {
        format!("{leg:?}, at the gateway {cancels:?}")
    });
}

fn judge_payout(leg: &LegRow, payouts: &[&BookedPayout], now: i64, found: &mut Found) {
    let paid: i64 = payouts
        .iter()
        .filter(|one| is_paid(one))
        .map(|one| one.amount)
        .sum();
    let agrees = match leg.state.as_str() {
        "DONE" => paid == leg.amount,
        "REFUSED" => paid == 0,
        _ => true,
    };
    found.check(agrees, "leg", || {
        format!("{leg:?}, at the provider {payouts:?}")
    });
    let is_open = ["READY", "UNKNOWN"].contains(&leg.state.as_str());
    let is_accepted = payouts
        .iter()
        .any(|one| one.status == PayoutStatus::Accepted);
    let is_lost = payouts.is_empty() && now < leg.sent_at + PAYOUT_LOST_MS;
    found.check(!is_open || is_accepted || is_lost, "leg_open", || {
        format!("{leg:?}, at the provider {payouts:?}")
    });
}

/// All of a refund has left, is in flight, waits, or has come back. It waits only for a leg of its own, or for one that
/// holds a charge of the same member.
fn judge_totals(records: &Records, sums: &BTreeMap<i64, (i64, i64)>, found: &mut Found) {
    let member_of = |refund: i64| {
        let mut refunds = records.books.refunds.iter();
        refunds.find(|row| row.id == refund).map(|row| row.member)
    };
    let in_flight = sums.iter().filter(|(_, (_, open))| *open > 0);
    let held: BTreeSet<u32> = in_flight
        .filter_map(|(refund, _)| member_of(*refund))
        .collect();
    let mut in_transit = 0;
    for refund in &records.books.refunds {
        let (done, open) = sums.get(&refund.id).copied().unwrap_or_default();
        let rest = refund.amount - refund.returned - done;
        in_transit += rest;
        found.check(rest >= open, "refund", || {
            format!("{refund:?}: done {done}, in flight {open}, left {rest}")
        });
        found.check(
            (refund.state == "DONE") == (rest == 0),
            "refund_state",
            || format!("{refund:?}: left {rest}"),
        );
        let waits = refund.is_due && held.contains(&refund.member);
        found.check(refund.state == "DONE" || waits, "refund_open", || {
            format!("{refund:?}: done {done}, in flight {open}, left {rest}")
        });
    }
    found.check(in_transit == records.books.in_transit, "in_transit", || {
        let books = records.books.in_transit;
        format!("{in_transit} by the refunds, {books} by the books")
    });
}

/// An accepted refund is in the books, once, with the answer's amount; repeated, it had the same answer.
fn judge_requests(records: &Records, found: &mut Found) {
    let refunds = records.books.refunds.iter();
    let rows: BTreeMap<_, _> = refunds
        .map(|row| ((row.member, row.request.as_str()), row))
        .collect();
    for request in &records.requests {
        let row = rows.get(&(request.member, request.request.as_str()));
        for answer in &request.answers {
            let is_kept = match answer {
                RefundAnswer::Accepted(amount, remain) => row.is_some_and(|row| {
                    row.amount == *amount && *amount == request.amount && row.remain == *remain
                }),
                RefundAnswer::Refused => row.is_none(),
                RefundAnswer::None => true,
                RefundAnswer::Odd(_) => false,
            };
            found.check(is_kept, "refund_answer", || {
                format!("{request:?}, in the books {row:?}")
            });
        }
    }
}
