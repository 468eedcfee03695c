//! Legs of refunds: cancels of charges and payouts, with every outcome that the gateway and the provider have.

use std::time::Duration;

use fakes::payout::PayoutFault;
use fakes::toss::{Call, CancelStatus, Fault, FaultPlan, Rates};
use market_api::gateway::{CancelRequest, Gateway as _};
use market_api::trades::HistoryQuery;
use shared::clock::Month;
use shared::money::Won;

use crate::fixtures::{member, page_size};
use crate::on_both;
use crate::support::{On, eventually};
use crate::till::{Captured, Till};

on_both!(
    refund_takes_the_newest_charges_first_and_then_earned_cash,
    each_leg_is_sent_with_its_name_and_its_amount,
    cancel_without_an_answer_is_found_and_not_repeated,
    cancel_that_was_lost_is_sent_again_under_its_key,
    cancels_of_a_charge_keep_their_distance,
    refused_cancel_moves_to_the_next_charge,
    cancel_too_soon_after_another_is_repeated_later,
    cancel_in_progress_is_awaited,
    leg_whose_sender_has_ended_is_continued,
    payout_without_an_answer_is_never_sent_again,
    payout_is_awaited_until_the_bank_has_paid,
    refused_payout_returns_to_its_bucket,
    unknown_cancel_is_flagged_after_two_weeks,
);

/// Members 1 with charges of 3,000, 2,000 and 1,000 won, in this order.
async fn three_charges(till: &Till) -> [Captured; 3] {
    let first = till.charge(1, "order-a", 3_000).await;
    let second = till.charge(1, "order-b", 2_000).await;
    let third = till.charge(1, "order-c", 1_000).await;
    [first, second, third]
}

impl Till {
    /// The gateway's cancels of a payment: amounts with reasons.
    fn cancels(&self, captured: &Captured) -> Vec<(i64, String)> {
        let booked = self.toss.booked(&captured.key).unwrap();
        let cancels = booked.cancels.into_iter();
        cancels
            .map(|cancel| (cancel.amount, cancel.reason))
            .collect()
    }

    /// The change of a member's cash in the month, as the page shows it.
    pub(crate) async fn month_total(&self, id: i64) -> i64 {
        let month = Month::try_from(202_611).unwrap();
        let totals = self.shop.trades.histories().month_totals(member(id), month);
        totals.await.unwrap().total().unwrap().get()
    }
}

async fn refund_takes_the_newest_charges_first_and_then_earned_cash(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 5_000).await;
    let [first, second, third] = three_charges(&till).await;
    let answer = till.refund(1, "r", 8_000).await.unwrap();
    assert_eq!((answer.amount.get(), answer.remain.get()), (8_000, 3_000));
    till.settle(1).await;
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 1000 DONE",
            "1-2 CANCEL CHARGED 2000 DONE",
            "1-3 CANCEL CHARGED 3000 DONE",
            "1-4 PAYOUT EARNED 2000 DONE",
        ]
    );
    assert_eq!(till.refunds().await, ["DONE 8000 0"]);
    assert_eq!(till.cancels(&third), [(1_000, "refund-1-1".to_owned())]);
    assert_eq!(till.cancels(&second), [(2_000, "refund-1-2".to_owned())]);
    assert_eq!(till.cancels(&first), [(3_000, "refund-1-3".to_owned())]);
    assert_eq!(till.payout.total_paid(), 2_000);
    assert_eq!(till.shop.cash(1).await, 3_000);
    assert_eq!(till.month_total(1).await, 6_000 - 8_000);
    till.close().await;
}

async fn each_leg_is_sent_with_its_name_and_its_amount(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    three_charges(&till).await;
    till.refund(1, "r", 4_500).await.unwrap();
    till.settle(1).await;
    let seen = till.toss.requests_seen();
    let cancels: Vec<_> = seen
        .iter()
        .filter(|seen| seen.call == Call::Cancel)
        .map(|seen| {
            let (key, reason) = (&seen.idempotency_key, &seen.cancel_reason);
            (
                key.clone().unwrap(),
                reason.clone().unwrap(),
                seen.cancel_amount,
            )
        })
        .collect();
    let leg = |n: u32, amount| {
        (
            format!("refund-1-{n}"),
            format!("refund-1-{n}"),
            Some(amount),
        )
    };
    assert_eq!(cancels, [leg(1, 1_000), leg(2, 2_000), leg(3, 1_500)]);
    assert_eq!(till.shop.cash(1).await, 1_500);
    till.close().await;
}

/// The cancel is executed, but its answer is lost, an error, or unreadable: the query shows it.
async fn cancel_without_an_answer_is_found_and_not_repeated(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let faults = [Fault::LostAfter, Fault::ServerErrorAfter, Fault::Malformed];
    for (nth, fault) in faults.into_iter().enumerate() {
        let order = format!("order-{nth}");
        let charge = till.charge(1, &order, 1_000).await;
        till.toss.script(Call::Cancel, &order, &[fault]);
        till.refund(1, &order, 700).await.unwrap();
        till.settle(2).await;
        assert_eq!(till.toss.calls(Call::Cancel, &order), 1, "{fault:?}");
        let leg = format!("refund-{}-1", nth + 1);
        assert_eq!(till.cancels(&charge), [(700, leg)], "{fault:?}");
        // The next charge is the newest.
        assert_eq!(till.refunds().await[nth], "DONE 700 0");
    }
    till.close().await;
}

async fn cancel_that_was_lost_is_sent_again_under_its_key(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let faults = [
        &[Fault::LostBefore; 3][..],
        &[Fault::ServerError, Fault::TooManyRequests],
        // The first answer of a key is repeated, also an error: the query says what happened.
        &[Fault::LostBefore, Fault::ServerErrorAfter],
    ];
    for (nth, faults) in faults.into_iter().enumerate() {
        let order = format!("order-{nth}");
        let charge = till.charge(1, &order, 1_000).await;
        till.toss.script(Call::Cancel, &order, faults);
        till.refund(1, &order, 700).await.unwrap();
        till.settle(60).await;
        let leg = format!("refund-{}-1", nth + 1);
        assert_eq!(till.cancels(&charge), [(700, leg.clone())], "{faults:?}");
        let sent = till.toss.requests_seen();
        let sent: Vec<_> = sent
            .iter()
            .filter(|seen| seen.call == Call::Cancel && seen.order_id == order)
            .collect();
        assert!(sent.len() >= 2, "{sent:?}");
        let has_key = |key: &Option<String>| key.as_deref() == Some(&leg);
        assert!(sent.iter().all(|seen| has_key(&seen.idempotency_key)));
        for pair in sent.windows(2) {
            let pause = pair[1].at.saturating_since(pair[0].at);
            assert!(pause >= Duration::from_secs(60), "{pause:?}");
        }
        assert_eq!(till.refunds().await[nth], "DONE 700 0");
    }
    till.close().await;
}

async fn cancels_of_a_charge_keep_their_distance(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    for request in ["a", "b", "c", "d"] {
        till.refund(1, request, 200).await.unwrap();
        // Each after the last one is done, at the same moment.
        till.work().await;
    }
    till.settle(5).await;
    assert_eq!(till.refunds().await, ["DONE 200 0"; 4]);
    let booked = till.toss.booked(&charge.key).unwrap();
    assert_eq!(booked.cancels.len(), 4);
    for pair in booked.cancels.windows(2) {
        let pause = pair[1].at.saturating_since(pair[0].at);
        assert!(pause >= Duration::from_millis(1_100), "{pause:?}");
    }
    assert_eq!(till.toss.calls(Call::Cancel, "order-1"), 4);
    till.close().await;
}

/// The newest charge was cancelled in part by an operator of the gateway, whose webhook comes late.
async fn refused_cancel_moves_to_the_next_charge(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let [_, second, third] = three_charges(&till).await;
    till.settle(1).await;
    assert!(till.toss.dashboard_cancel(&third.key, 400));
    till.shop.market.base.clock.advance(Duration::from_secs(2));
    till.refund(1, "r", 1_500).await.unwrap();
    // Without webhooks.
    while till.payments.run_due().await.unwrap() > 0 {}
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 1000 REFUSED",
            "1-2 CANCEL CHARGED 1500 DONE",
        ]
    );
    assert_eq!(till.cancels(&second), [(1_500, "refund-1-2".to_owned())]);
    assert_eq!(till.shop.cash(1).await, 4_500);
    // Then the operator's cancel is taken from the wallet.
    till.settle(1).await;
    assert_eq!(till.shop.cash(1).await, 4_100);
    assert_eq!(till.month_total(1).await, 4_100);
    till.close().await;
}

/// An operator cancels a moment before: the gateway refuses the second cancel within a second, and nothing else is
/// wrong with the charge.
async fn cancel_too_soon_after_another_is_repeated_later(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.refund(1, "r", 500).await.unwrap();
    assert!(till.toss.dashboard_cancel(&charge.key, 100));
    while till.payments.run_due().await.unwrap() > 0 {}
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 500 REFUSED"]);
    till.settle(1).await;
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 500 REFUSED",
            "1-2 CANCEL CHARGED 500 DONE",
        ]
    );
    assert_eq!(till.shop.cash(1).await, 400);
    till.close().await;
}

/// The gateway accepts a cancel and decides later: given back, or given up.
async fn cancel_in_progress_is_awaited(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    for (nth, outcome) in [CancelStatus::Done, CancelStatus::Aborted]
        .into_iter()
        .enumerate()
    {
        till.toss
            .script(Call::Cancel, "order-1", &[Fault::CancelPending]);
        till.refund(1, &format!("r{nth}"), 300).await.unwrap();
        // Not sent again, however long it takes.
        till.settle(3 * 60).await;
        assert_eq!(till.refunds().await[nth], "OPEN 300 0");
        till.verify().await;
        let booked = till.toss.booked(&charge.key).unwrap();
        let pending = booked.cancels.last().unwrap();
        assert!(
            till.toss
                .finish_cancel(&charge.key, &pending.transaction_key, outcome)
        );
        till.settle(2 * 60).await;
        assert_eq!(till.refunds().await[nth], "DONE 300 0");
    }
    assert_eq!(till.toss.calls(Call::Cancel, "order-1"), 2);
    // What was given up is paid out: no other charge is left.
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 300 DONE",
            "2-1 CANCEL CHARGED 300 REFUSED",
            "2-2 PAYOUT CHARGED 300 DONE",
        ]
    );
    till.close().await;
}

/// The process ends while a leg is being sent: another one continues after the lease, and finds the cancel done; the
/// payout without an answer is only queried.
async fn leg_whose_sender_has_ended_is_continued(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 5_000).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    let hangs = Fault::Delay(Duration::from_secs(1));
    till.toss.script(Call::Cancel, "order-1", &[hangs]);
    till.payout.script("refund-1-2", &[PayoutFault::LostAfter]);
    till.refund(1, "r", 3_000).await.unwrap();
    {
        let sending = till.payments.run_due();
        let sent = async {
            eventually("the cancel is sent", async || {
                till.toss.calls(Call::Cancel, "order-1") == 1
            })
            .await;
        };
        tokio::select! {
            _ = sending => panic!("the gateway hangs"),
            () = sent => {}
        }
    }
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 1000 READY"]);
    till.shop.verify().await;
    eventually("the gateway goes on", async || {
        !till.cancels(&charge).is_empty()
    })
    .await;
    till.settle(10).await;
    assert_eq!(till.refunds().await, ["DONE 3000 0"]);
    assert_eq!(till.toss.calls(Call::Cancel, "order-1"), 1);
    assert_eq!(till.cancels(&charge), [(1_000, "refund-1-1".to_owned())]);
    assert_eq!(till.payout.requests("refund-1-2"), 1);
    assert_eq!(till.payout.total_paid(), 2_000);
    till.close().await;
}

async fn payout_without_an_answer_is_never_sent_again(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 10_000).await;
    let faults = [
        PayoutFault::LostAfter,
        PayoutFault::LostBefore,
        PayoutFault::ServerError,
    ];
    for (nth, fault) in faults.into_iter().enumerate() {
        let reference = format!("refund-{}-1", nth + 1);
        till.payout.script(&reference, &[fault]);
        till.refund(1, &reference, 1_000).await.unwrap();
        till.settle(30).await;
        // Only after its validity and some time is it certain that the provider never had it.
        let early = till.refunds().await[nth].clone();
        till.settle(120).await;
        let late = till.refunds().await[nth].clone();
        assert_eq!(till.payout.requests(&reference), 1, "{fault:?}");
        let (expected_early, expected_late) = match fault {
            PayoutFault::LostAfter => ("DONE 1000 0", "DONE 1000 0"),
            PayoutFault::LostBefore | PayoutFault::ServerError | PayoutFault::Refused => {
                ("OPEN 1000 0", "DONE 1000 1000")
            }
        };
        assert_eq!(
            (&*early, &*late),
            (expected_early, expected_late),
            "{fault:?}"
        );
    }
    assert_eq!(till.payout.total_paid(), 1_000);
    assert_eq!(till.shop.cash(1).await, 9_000);
    assert_eq!(till.month_total(1).await, -1_000);
    till.close().await;
}

async fn payout_is_awaited_until_the_bank_has_paid(on: On) {
    let hours = Duration::from_secs(5 * 3_600);
    let till = Till::with_payouts(on, |payout| payout.pays_after(hours)).await;
    till.shop.members(1, 10_000).await;
    till.refund(1, "paid", 3_000).await.unwrap();
    till.refund(1, "sent back", 4_000).await.unwrap();
    till.settle(60).await;
    assert_eq!(till.refunds().await, ["OPEN 3000 0", "OPEN 4000 0"]);
    assert!(till.payout.reject("refund-2-1", "ACCOUNT_CLOSED"));
    till.settle(360).await;
    assert_eq!(till.refunds().await, ["DONE 3000 0", "DONE 4000 4000"]);
    assert_eq!(till.payout.requests("refund-1-1"), 1);
    assert_eq!(till.shop.cash(1).await, 7_000);
    till.close().await;
}

/// A refund of both buckets: the charged part cannot be cancelled and the account is closed.
async fn refused_payout_returns_to_its_bucket(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 5_000).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.payout.close_account("1");
    till.refund(1, "r", 3_000).await.unwrap();
    till.settle(1).await;
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 1000 DONE",
            "1-2 PAYOUT EARNED 2000 REFUSED",
        ]
    );
    assert_eq!(till.cancels(&charge), [(1_000, "refund-1-1".to_owned())]);
    assert_eq!(till.refunds().await, ["DONE 3000 2000"]);
    assert_eq!(till.shop.cash(1).await, 5_000);
    assert_eq!(till.month_total(1).await, 0);
    // The history has what was paid, and the member a notice of the rest.
    let query = HistoryQuery {
        member: member(1),
        size: page_size(10),
        after: None,
    };
    let month = Month::try_from(202_611).unwrap();
    let rows = till.shop.trades.histories().cash_rows(&query, month);
    let amounts: Vec<_> = rows.await.unwrap().rows;
    let amounts: Vec<_> = amounts.iter().map(|row| row.amount.get()).collect();
    assert_eq!(amounts, [1_000, 1_000]);
    let notices = till
        .texts("select kind || ' ' || aggregate_seq from outbox where aggregate = 'trade:2' order by aggregate_seq")
        .await;
    assert_eq!(notices, ["cash.refunded 1", "cash.returned 2"]);
    // All of the next refund comes back: its line disappears.
    till.refund(1, "again", 2_000).await.unwrap();
    till.settle(1).await;
    assert_eq!(till.refunds().await[1], "DONE 2000 2000");
    assert_eq!(till.month_total(1).await, 0);
    let zero = "select count(*) from trade where kind = 'REFUND' and price = 0";
    assert_eq!(till.shop.market.int(zero).await, 1);
    till.close().await;
}

/// No cancel reaches the gateway for two weeks: then it is not sent any more, since its key may be forgotten, and an
/// operator decides.
async fn unknown_cancel_is_flagged_after_two_weeks(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.toss.set_plan(FaultPlan {
        cancel: Rates {
            lost_before: 1_000,
            ..Rates::default()
        },
        ..FaultPlan::default()
    });
    till.refund(1, "r", 1_000).await.unwrap();
    let flagged = "select count(*) from refund where needs_attention = 1";
    till.settle(13 * 24 * 60).await;
    assert_eq!(till.shop.market.int(flagged).await, 0);
    till.settle(2 * 24 * 60).await;
    assert_eq!(till.shop.market.int(flagged).await, 1);
    let sent = till.toss.calls(Call::Cancel, "order-1");
    till.toss.set_plan(FaultPlan::default());
    till.settle(3 * 24 * 60).await;
    assert_eq!(till.toss.calls(Call::Cancel, "order-1"), sent);
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 1000 UNKNOWN"]);
    till.verify().await;
    // The operator cancels at the gateway under the leg's name.
    let by_hand = CancelRequest {
        key: charge.key.clone().try_into().unwrap(),
        amount: Won::new(1_000),
        reason: "refund-1-1".to_owned(),
        idempotency_key: "by-hand".to_owned().try_into().unwrap(),
    };
    till.gateway.cancel(&by_hand).await.unwrap();
    till.settle(1).await;
    assert_eq!(till.refunds().await, ["DONE 1000 0"]);
    assert_eq!(till.shop.market.int(flagged).await, 0);
    till.close().await;
}
