//! Cancels at the gateway that are not ours: an operator's, a repetition, one under the name of a leg that was
//! refused. Each takes its amount from the wallet once; what is not there is owed, and sales repay it.

use std::time::Duration;

use fakes::toss::{Call, Fault, How};
use futures_util::future::join_all;
use market_api::gateway::{CancelRequest, Gateway as _};
use market_api::payments::{ChargeAnswer, ChargeOrder, RefundError};
use shared::money::Won;

use crate::fixtures::member;
use crate::on_both;
use crate::support::On;
use crate::till::{Captured, Till, order_id};

on_both!(
    cancel_by_an_operator_is_taken_from_the_wallet,
    what_is_not_in_the_wallet_is_owed_and_sales_repay_it,
    cancel_before_the_capture_was_seen_leaves_nothing,
    cancels_are_booked_once_whoever_sees_them,
    operator_cancels_a_charge_whose_leg_is_in_flight,
    operator_and_leg_share_a_charge,
    doubled_leg_is_a_reversal,
    cancel_of_a_refused_leg_is_a_reversal,
    refund_whose_charge_was_reversed_repays_the_debt,
    other_amount_under_a_legs_name_is_a_reversal,
    charge_by_transfer_is_paid_out,
    cancel_that_does_not_fit_waits_for_an_operator,
);

impl Till {
    /// Somebody with our key cancels under a reason of their own.
    async fn cancel_as(&self, captured: &Captured, reason: &str, amount: i64) {
        let request = CancelRequest {
            key: captured.key.clone().try_into().unwrap(),
            amount: Won::new(amount),
            reason: reason.to_owned(),
            idempotency_key: format!("{reason}-{amount}-of-another").try_into().unwrap(),
        };
        self.gateway.cancel(&request).await.unwrap();
    }

    fn pass(&self, seconds: u64) {
        let clock = &self.shop.market.base.clock;
        clock.advance(Duration::from_secs(seconds));
    }

    async fn owed(&self, id: i64) -> i64 {
        let owed = format!("select owed from wallet where member_id = {id}");
        self.shop.market.int(&owed).await
    }
}

async fn cancel_by_an_operator_is_taken_from_the_wallet(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 400).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    assert!(till.toss.dashboard_cancel(&charge.key, 300));
    till.settle(1).await;
    assert_eq!(till.shop.cash(1).await, 1_100);
    assert!(till.toss.dashboard_cancel(&charge.key, 700));
    till.settle(1).await;
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (400, 0));
    // The member is told of each, and the month's total is the change of the cash.
    let events = "select count(*) from outbox where kind = 'cash.refunded'";
    assert_eq!(till.shop.market.int(events).await, 2);
    assert_eq!(till.month_total(1).await, 0);
    till.close().await;
}

async fn what_is_not_in_the_wallet_is_owed_and_sales_repay_it(on: On) {
    let till = Till::open(on).await;
    till.shop.members(3, 10_000).await;
    let charge = till.charge(1, "order-1", 3_000).await;
    let offer = till.shop.market.offer_as(2, 12_000, 10, false).await;
    till.shop.buy(1, offer.unwrap(), None).await.unwrap();
    assert_eq!(till.shop.cash(1).await, 1_000);
    till.settle(1).await;
    assert!(till.toss.dashboard_cancel(&charge.key, 3_000));
    till.settle(1).await;
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (0, 2_000));
    assert_eq!(till.month_total(1).await, 3_000 - 12_000 - 3_000);
    till.verify().await;
    // A member who owes gets no refund, also of what was charged since.
    till.charge(1, "order-2", 500).await;
    assert_eq!(till.refund(1, "r", 500).await, Err(RefundError::Amount));
    // Sales repay first: 1,500 of 2,000, then the rest.
    let sale = async |price: i64| {
        let offer = till.shop.market.offer_as(1, price, 3, false).await;
        till.shop.buy(3, offer.unwrap(), None).await.unwrap();
    };
    sale(1_500).await;
    assert_eq!(till.shop.cash(1).await, 500);
    assert_eq!(till.refund(1, "r", 500).await, Err(RefundError::Amount));
    sale(1_200).await;
    assert_eq!(till.shop.cash(1).await, 1_200);
    till.verify().await;
    till.refund(1, "r", 1_200).await.unwrap();
    till.settle(1).await;
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (0, 0));
    let repaid = "select cast(sum(amount) as bigint) from debt_repayment";
    assert_eq!(till.shop.market.int(repaid).await, 2_000);
    till.close().await;
}

/// The answer to the confirmation is lost, and an operator cancels before the reconciler queries: one transaction
/// credits and reverses.
async fn cancel_before_the_capture_was_seen_leaves_nothing(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    // Among other trades, so that the two numbers differ in length.
    for nth in 1..=8 {
        till.charge(1, &format!("order-{nth}"), 10).await;
    }
    let (order, won) = ("order-9", Won::new(1_000));
    let saved = till.payments.save_order(member(1), order_id(order), won);
    saved.await.unwrap();
    till.toss.script(Call::Confirm, order, &[Fault::LostAfter]);
    let key = till.toss.authorize(order, 1_000, How::Card);
    let answer = till.payments.charge(ChargeOrder {
        member: member(1),
        key: key.clone().try_into().unwrap(),
        order: order_id(order),
        amount: won,
    });
    assert_eq!(answer.await.unwrap(), ChargeAnswer::BeingVerified);
    assert!(till.toss.dashboard_cancel(&key, 1_000));
    till.settle(2).await;
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (80, 0));
    let trades = "select count(*) from trade where price = 1000";
    assert_eq!(till.shop.market.int(trades).await, 2);
    till.close().await;
}

async fn cancels_are_booked_once_whoever_sees_them(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    for amount in [100, 200, 300] {
        assert!(till.toss.dashboard_cancel(&charge.key, amount));
        till.pass(2);
    }
    till.refund(1, "r", 400).await.unwrap();
    // Twenty notifications and reconcilers at once.
    let body = format!(
        r#"{{"eventType":"PAYMENT_STATUS_CHANGED","data":{{"orderId":"{}"}}}}"#,
        "order-1"
    );
    for _ in 0..3 {
        let work = (0..20).map(async |_| {
            till.payments.notify(body.as_bytes()).await.unwrap();
            till.payments.run_due().await.unwrap();
        });
        join_all(work).await;
        till.pass(5);
    }
    till.settle(10).await;
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (0, 0));
    let booked = "select count(*) from gateway_cancel";
    assert_eq!(till.shop.market.int(booked).await, 4);
    till.close().await;
}

/// The leg is lost on its way; then an operator gives all back. The leg can never be executed, so the reversal waits
/// for nobody. What the member owes by that is repaid by the refund that cannot be paid.
async fn operator_cancels_a_charge_whose_leg_is_in_flight(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.toss
        .script(Call::Cancel, "order-1", &[Fault::LostBefore]);
    till.refund(1, "r", 600).await.unwrap();
    till.work().await;
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 600 UNKNOWN"]);
    assert!(till.toss.dashboard_cancel(&charge.key, 1_000));
    till.settle(2).await;
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 600 REFUSED",
            "1-2 PAYOUT CHARGED 600 REFUSED",
        ]
    );
    assert_eq!(till.refunds().await, ["DONE 600 600"]);
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (0, 0));
    assert_eq!(till.toss.calls(Call::Cancel, "order-1"), 1);
    assert_eq!(till.payout.total_paid(), 0);
    assert_eq!(till.month_total(1).await, 0);
    till.close().await;
}

/// Both fit: the operator's cancel is booked while the leg's outcome is unknown.
async fn operator_and_leg_share_a_charge(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.toss
        .script(Call::Cancel, "order-1", &[Fault::LostBefore]);
    till.refund(1, "r", 600).await.unwrap();
    till.work().await;
    assert!(till.toss.dashboard_cancel(&charge.key, 300));
    till.pass(5);
    till.work().await;
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 600 UNKNOWN"]);
    assert_eq!(till.shop.cash(1).await, 100);
    till.verify().await;
    till.settle(5).await;
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 600 DONE"]);
    assert_eq!(till.shop.cash(1).await, 100);
    till.close().await;
}

/// The gateway executes a leg twice, under two keys.
async fn doubled_leg_is_a_reversal(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.toss
        .script(Call::Cancel, "order-1", &[Fault::LostAfter]);
    till.refund(1, "r", 400).await.unwrap();
    till.payments.run_due().await.unwrap();
    till.pass(2);
    till.cancel_as(&charge, "refund-1-1", 400).await;
    till.settle(2).await;
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 400 DONE"]);
    let reversed = "select count(*) from gateway_cancel where leg_id is null";
    assert_eq!(till.shop.market.int(reversed).await, 1);
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (200, 0));
    till.close().await;
}

async fn cancel_of_a_refused_leg_is_a_reversal(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let first = till.charge(1, "order-1", 1_000).await;
    let second = till.charge(1, "order-2", 1_000).await;
    till.settle(1).await;
    // The gateway refuses: not enough is left of the newest charge.
    assert!(till.toss.dashboard_cancel(&second.key, 900));
    till.pass(2);
    till.refund(1, "r", 500).await.unwrap();
    while till.payments.run_due().await.unwrap() > 0 {}
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 500 REFUSED",
            "1-2 CANCEL CHARGED 500 DONE",
        ]
    );
    till.settle(1).await;
    assert_eq!(till.shop.cash(1).await, 600);
    till.cancel_as(&second, "refund-1-1", 100).await;
    till.cancel_as(&first, "refund-1-1", 500).await;
    till.settle(1).await;
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (0, 0));
    till.close().await;
}

/// The charge was given back by an operator after the refund was accepted and before its leg was planned: the member
/// would get the money twice. It goes back and repays what the reversal left owed.
async fn refund_whose_charge_was_reversed_repays_the_debt(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 500).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    till.refund(1, "r", 1_300).await.unwrap();
    assert!(till.toss.dashboard_cancel(&charge.key, 1_000));
    // The webhook is first.
    till.toss.run_webhooks().await;
    till.pass(5);
    while till.payments.run_due().await.unwrap() > 0 {}
    till.settle(5).await;
    // Of 1,500 won the operator gave 1,000 back; the refund paid the rest.
    assert_eq!(till.payout.total_paid(), 500);
    assert_eq!((till.shop.cash(1).await, till.owed(1).await), (0, 0));
    assert_eq!(till.month_total(1).await, -500);
    till.close().await;
}

async fn other_amount_under_a_legs_name_is_a_reversal(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    for (reason, amount) in [("refund-1-1", 30), ("refund-99-1", 20), ("refund-1", 10)] {
        till.cancel_as(&charge, reason, amount).await;
        till.pass(2);
    }
    till.refund(1, "r", 500).await.unwrap();
    till.settle(2).await;
    assert_eq!(till.legs().await, ["1-1 CANCEL CHARGED 500 DONE"]);
    assert_eq!(till.shop.cash(1).await, 440);
    till.close().await;
}

/// The cancel of a paid virtual account needs the customer's account, which only the payout provider has.
async fn charge_by_transfer_is_paid_out(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let (order, won) = ("order-1", Won::new(1_000));
    let saved = till.payments.save_order(member(1), order_id(order), won);
    saved.await.unwrap();
    let key = till.toss.authorize(order, 1_000, How::VirtualAccount);
    let answer = till.payments.charge(ChargeOrder {
        member: member(1),
        key: key.clone().try_into().unwrap(),
        order: order_id(order),
        amount: won,
    });
    assert_eq!(answer.await.unwrap(), ChargeAnswer::BeingVerified);
    assert!(till.toss.deposit(&key));
    till.settle(1).await;
    assert_eq!(till.shop.cash(1).await, 1_000);
    till.refund(1, "r", 1_000).await.unwrap();
    till.settle(2).await;
    assert_eq!(
        till.legs().await,
        [
            "1-1 CANCEL CHARGED 1000 REFUSED",
            "1-2 PAYOUT CHARGED 1000 DONE",
        ]
    );
    assert_eq!(till.payout.total_paid(), 1_000);
    till.close().await;
}

/// More was given back than the books have left, which a defect would cause: nothing is booked beyond the charge, the
/// charge is flagged, and booked when the books are right.
async fn cancel_that_does_not_fit_waits_for_an_operator(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-1", 1_000).await;
    till.settle(1).await;
    let books = async |sql: &str| till.shop.market.sql(vec![sql.to_owned()]).await;
    books("update charge set refunded = 900").await;
    assert!(till.toss.dashboard_cancel(&charge.key, 500));
    till.settle(10).await;
    let flagged = "select count(*) from charge where needs_attention = 1";
    assert_eq!(till.shop.market.int(flagged).await, 1);
    assert_eq!(till.shop.cash(1).await, 1_000);
    books("update charge set refunded = 0").await;
    till.settle(2).await;
    assert_eq!(till.shop.market.int(flagged).await, 0);
    assert_eq!(till.shop.cash(1).await, 500);
    till.close().await;
}
