//! Judge: compares the gateway's own books with the market's, and both with what clients were answered.
//!
//! Pure: records in, violations out, so that a run can feed it altered records. It does not judge durations, but for
//! the pause between two queries of one charge.

use std::collections::{BTreeMap, BTreeSet};

use fakes::toss::{BookedPayment, Status};

use super::books::{Books, ChargeRow};
use super::records::{Answer, Arrival, Found, Order, Records, Rigour, Violation, is_paid};
use super::refund_judge::judge_refunds;

/// At most one query per charge in this time.
const QUERY_EVERY_MS: i64 = 5_000;

/// Every promise that these records break.
pub(crate) fn judge(records: &Records, rigour: Rigour) -> Vec<Violation> {
    let mut found = Found::default();
    for row in &records.ledger {
        found.add("ledger", row.clone());
    }
    judge_orders(records, rigour, &mut found);
    judge_events(&records.books, &mut found);
    judge_queries(records, &mut found);
    judge_refunds(records, rigour, &mut found);
    if rigour != Rigour::Webhooks {
        judge_sums(records, &mut found);
    }
    found.0
}

/// An order on both sides.
#[derive(Debug)]
struct Both<'a> {
    order: &'a str,
    charge: Option<&'a ChargeRow>,
    payments: Vec<&'a BookedPayment>,
    client: Option<&'a Order>,
    /// What others changed at the gateway may be unknown to the market.
    may_miss: bool,
}

fn judge_orders(records: &Records, rigour: Rigour, found: &mut Found) {
    let mut payments = BTreeMap::<&str, Vec<&BookedPayment>>::new();
    for payment in &records.gateway {
        payments.entry(&payment.order_id).or_default().push(payment);
    }
    let mut last_webhook = BTreeMap::<&str, i64>::new();
    for webhook in &records.webhooks {
        last_webhook.insert(&webhook.order, webhook.at);
    }
    let charges = records.books.charges.keys().map(String::as_str);
    let all: BTreeSet<&str> = charges
        .chain(payments.keys().copied())
        .chain(records.orders.keys().map(String::as_str))
        .collect();
    for order in all {
        let client = records.orders.get(order);
        let seen = last_webhook.get(order).copied().unwrap_or_default();
        let changed = client.and_then(|client| client.changed_at);
        let both = Both {
            order,
            charge: records.books.charges.get(order),
            payments: payments.remove(order).unwrap_or_default(),
            client,
            may_miss: rigour == Rigour::Webhooks && changed.is_some_and(|at| seen <= at),
        };
        judge_money(&both, &records.books, found);
        judge_state(&both, found);
        judge_answers(&both, found);
    }
}

/// Credits equal captures, and what was taken back equals cancels, to the won.
fn judge_money(both: &Both<'_>, books: &Books, found: &mut Found) {
    let order = both.order;
    let captured: Vec<_> = both
        .payments
        .iter()
        .filter(|one| one.captured > 0)
        .collect();
    found.check(captured.len() <= 1, "captured_twice", || {
        format!("{order}: {captured:?}")
    });
    let credits = both.charge.and_then(|charge| books.credits.get(&charge.id));
    let credits = credits.map(Vec::as_slice).unwrap_or_default();
    found.check(credits.len() <= 1, "credited_twice", || {
        format!("{order}: {credits:?}")
    });
    let held = books.suspense.get(order).copied().unwrap_or_default();
    let ours = credits.iter().sum::<i64>() + held.captured;
    let theirs = captured.iter().map(|one| one.captured).sum::<i64>();
    let is_missed = both.may_miss && ours == 0;
    found.check(ours == theirs || is_missed, "credit", || {
        format!("{order}: credited or held {ours}, captured {theirs}")
    });
    let given = both
        .charge
        .map_or(0, |charge| charge.refunded + charge.reversed)
        + held.canceled;
    let cancelled = both.payments.iter().map(|one| one.cancelled).sum::<i64>();
    let is_missed = both.may_miss && given < cancelled;
    found.check(given == cancelled || is_missed, "cancel", || {
        format!("{order}: given back {given}, cancelled {cancelled}")
    });
    let amount = both.charge.map_or(0, |charge| charge.amount);
    found.check(
        credits.iter().all(|credit| *credit == amount),
        "amount",
        || format!("{order}: of {amount}, credited {credits:?}"),
    );
}

/// Nothing is open whose outcome the gateway knows, and nothing has ended that the gateway still waits for.
fn judge_state(both: &Both<'_>, found: &mut Found) {
    let Some(charge) = both.charge else {
        let is_saved = both.client.is_some_and(|client| client.is_saved);
        found.check(!is_saved, "order_lost", || both.order.to_owned());
        found.check(
            both.payments.iter().all(|one| one.captured == 0),
            "stray",
            || format!("{}: captured, and not in the books", both.order),
        );
        return;
    };
    let at_gateway = |status| both.payments.iter().any(|one| one.status == status);
    let is_justified = match charge.state.as_str() {
        "CONFIRMING" | "UNKNOWN" => at_gateway(Status::InProgress),
        "WAITING" => at_gateway(Status::WaitingForDeposit),
        "FAILED" | "EXPIRED" => !at_gateway(Status::WaitingForDeposit),
        "CREATED" | "CAPTURED" | "MISMATCH" => true,
        _ => false,
    };
    found.check(is_justified || both.may_miss, "open", || {
        let statuses: Vec<_> = both.payments.iter().map(|one| one.status).collect();
        format!(
            "{}: {} ({:?}, {} queries), at the gateway {statuses:?}",
            both.order, charge.state, charge.code, charge.checks
        )
    });
    let is_open = ["CONFIRMING", "UNKNOWN", "WAITING"].contains(&charge.state.as_str());
    found.check(!is_open || charge.is_due, "never_queried", || {
        format!("{}: {} without a next query", both.order, charge.state)
    });
}

/// What a client was answered is so, and stays so.
fn judge_answers(both: &Both<'_>, found: &mut Found) {
    let Some(client) = both.client else {
        found.add("foreign", format!("{}: not of this run", both.order));
        return;
    };
    let state = both.charge.map(|charge| charge.state.as_str());
    for answer in &client.answers {
        let is_kept = match answer {
            Answer::Captured(amount) => {
                state == Some("CAPTURED")
                    && *amount == client.amount
                    && both.payments.iter().any(|one| one.captured == *amount)
            }
            Answer::Declined => {
                client.is_late
                    || both
                        .payments
                        .iter()
                        .all(|one| one.captured == one.cancelled)
            }
            Answer::BeingVerified | Answer::Mismatch | Answer::None => true,
            Answer::Odd(_) => false,
        };
        found.check(is_kept, "answer", || {
            format!(
                "{}: answered {answer:?}, but {state:?}, {:?}",
                both.order, both.payments
            )
        });
    }
    let (member, amount) = (client.member, client.amount);
    if let Some(charge) = both.charge {
        found.check(
            charge.member == member && charge.amount == amount,
            "order",
            || format!("{}: {charge:?}, saved {amount} of {member}", both.order),
        );
    }
}

/// Each captured charge has one event, and nothing else has one.
fn judge_events(books: &Books, found: &mut Found) {
    let mut events = books.events.clone();
    for (order, charge) in &books.charges {
        let Some(trade) = charge.trade else { continue };
        let count = events.remove(&trade).unwrap_or_default();
        found.check(count == 1, "event", || {
            format!("{order}: {count} events of trade {trade}")
        });
    }
    for refund in &books.refunds {
        let count = books
            .refund_events
            .get(&refund.trade)
            .copied()
            .unwrap_or_default();
        found.check(count == 1, "refund_event", || {
            format!("{refund:?}: {count} events")
        });
    }
    for (trade, count) in events {
        found.add(
            "event",
            format!("{count} events of trade {trade}, which is no charge"),
        );
    }
}

/// Money in suspense has queries of its own, beside those of its charge.
fn judge_queries(records: &Records, found: &mut Found) {
    let mut last = BTreeMap::<&str, i64>::new();
    let is_held = |query: &&Arrival| records.books.suspense.contains_key(&query.order);
    for query in records.queries.iter().filter(|query| !is_held(query)) {
        let before = last.insert(&query.order, query.at);
        let pause = before.map_or(QUERY_EVERY_MS, |before| query.at - before);
        found.check(pause >= QUERY_EVERY_MS, "queried_too_often", || {
            format!("{}: after {pause} ms", query.order)
        });
    }
}

/// The members' money is what came in less what went out, as the gateway and the payout provider have it.
fn judge_sums(records: &Records, found: &mut Found) {
    let books = &records.books;
    let captured: i64 = records.gateway.iter().map(|one| one.captured).sum();
    let cancelled: i64 = records.gateway.iter().map(|one| one.cancelled).sum();
    let paid: i64 = records
        .payouts
        .iter()
        .filter(|one| is_paid(one))
        .map(|one| one.amount)
        .sum();
    let outside = books.opening + captured - cancelled - paid;
    let held: i64 = books
        .suspense
        .values()
        .map(|one| one.captured - one.canceled)
        .sum();
    let inside = books.wallets + books.credits_open - books.owed + books.in_transit + held;
    found.check(outside == inside, "sum", || {
        format!(
            "opened with {}, captured {captured}, cancelled {cancelled}, paid out {paid}: {outside}; \
             in the market's books {inside}: {books:?}",
            books.opening,
            books = books.sums()
        )
    });
}
